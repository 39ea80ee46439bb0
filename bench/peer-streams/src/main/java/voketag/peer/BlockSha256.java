package voketag.peer;

import java.lang.invoke.MethodHandle;
import java.lang.invoke.MethodHandles;
import java.lang.invoke.MethodType;
import java.lang.invoke.VarHandle;
import java.lang.reflect.Field;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/**
 * SHA-256 block by block on the compression function of the JDK's provider {@code
 * sun.security.provider.SHA2}: five compressions for each product and nothing allocated. The
 * padding of each message stands ready in a template block, since every message here has a fixed
 * length. Needs {@code --add-opens java.base/sun.security.provider=ALL-UNNAMED}.
 */
final class BlockSha256 implements Sha256 {
  private static final int[] INITIAL_STATE = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
      0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  private static final VarHandle INTS =
      MethodHandles.byteArrayViewVarHandle(int[].class, ByteOrder.BIG_ENDIAN);
  private static final MethodHandle NEW;
  private static final MethodHandle COMPRESS;
  private static final Field STATE;

  static {
    try {
      Class<?> sha2 = Class.forName("sun.security.provider.SHA2");
      Class<?> sha256 = Class.forName("sun.security.provider.SHA2$SHA256");
      MethodHandles.Lookup lookup = MethodHandles.privateLookupIn(sha2, MethodHandles.lookup());
      NEW = MethodHandles.privateLookupIn(sha256, MethodHandles.lookup())
                .findConstructor(sha256, MethodType.methodType(void.class))
                .asType(MethodType.methodType(Object.class));
      COMPRESS =
          lookup
              .findVirtual(
                  sha2, "implCompress", MethodType.methodType(void.class, byte[].class, int.class))
              .asType(MethodType.methodType(void.class, Object.class, byte[].class, int.class));
      STATE = sha2.getDeclaredField("state");
      STATE.setAccessible(true);
    } catch (ReflectiveOperationException e) {
      throw new ExceptionInInitializerError(e);
    }
  }

  private final Object digest;
  private final int[] state;
  private final int[] innerState = new int[8];
  private final int[] outerState = new int[8];
  private final byte[] innerBlock = new byte[BLOCK_BYTES];
  private final byte[] outerBlock = new byte[BLOCK_BYTES];
  private final byte[] leafBlock = new byte[BLOCK_BYTES];
  private final byte[] nodeBlocks = new byte[2 * BLOCK_BYTES];
  private final int labelBytes;

  BlockSha256(byte[] key, String label) {
    try {
      digest = NEW.invokeExact();
      state = (int[]) STATE.get(digest);
    } catch (Throwable e) {
      throw new IllegalStateException("cannot reach the JDK's SHA-256", e);
    }
    byte[] keyBlock = Pads.keyBlock(key);
    begin(INITIAL_STATE);
    compress(Pads.xor(keyBlock, Pads.INNER), 0);
    System.arraycopy(state, 0, innerState, 0, 8);
    begin(INITIAL_STATE);
    compress(Pads.xor(keyBlock, Pads.OUTER), 0);
    System.arraycopy(state, 0, outerState, 0, 8);

    byte[] labelAscii = label.getBytes(StandardCharsets.US_ASCII);
    labelBytes = labelAscii.length;
    System.arraycopy(labelAscii, 0, innerBlock, 0, labelBytes);
    pad(innerBlock, labelBytes + 18, BLOCK_BYTES + labelBytes + 18);
    pad(outerBlock, HASH_BYTES, BLOCK_BYTES + HASH_BYTES);
    pad(leafBlock, 1 + Tokens.TOKEN_CHARS, 1 + Tokens.TOKEN_CHARS);
    nodeBlocks[0] = 1;
    pad(nodeBlocks, 1 + 2 * HASH_BYTES, 1 + 2 * HASH_BYTES);
  }

  /** FIPS 180-4, 5.1.1: a one bit after the message, and its length in bits in the last 8 bytes. */
  private static void pad(byte[] blocks, int end, int messageBytes) {
    blocks[end] = (byte) 0x80;
    INTS.set(blocks, blocks.length - 4, messageBytes * 8);
  }

  @Override
  public void mac(byte[] head, byte[] mac) {
    System.arraycopy(head, 0, innerBlock, labelBytes, 18);
    begin(innerState);
    compress(innerBlock, 0);
    finish(outerBlock, 0, 8);
    begin(outerState);
    compress(outerBlock, 0);
    finish(mac, 0, 4);
  }

  @Override
  public void leaf(byte[] token, int offset, byte[] out, int outOffset) {
    System.arraycopy(token, offset, leafBlock, 1, Tokens.TOKEN_CHARS);
    begin(INITIAL_STATE);
    compress(leafBlock, 0);
    finish(out, outOffset, 8);
  }

  @Override
  public void node(byte[] pair, int offset, byte[] out, int outOffset) {
    System.arraycopy(pair, offset, nodeBlocks, 1, 2 * HASH_BYTES);
    begin(INITIAL_STATE);
    compress(nodeBlocks, 0);
    compress(nodeBlocks, BLOCK_BYTES);
    finish(out, outOffset, 8);
  }

  private void begin(int[] from) {
    System.arraycopy(from, 0, state, 0, 8);
  }

  private void compress(byte[] block, int offset) {
    try {
      COMPRESS.invokeExact(digest, block, offset);
    } catch (Throwable e) {
      throw new IllegalStateException(e);
    }
  }

  private void finish(byte[] out, int outOffset, int words) {
    for (int i = 0; i < words; i++) {
      INTS.set(out, outOffset + 4 * i, state[i]);
    }
  }
}
