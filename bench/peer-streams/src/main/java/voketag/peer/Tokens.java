package voketag.peer;

import java.lang.invoke.MethodHandles;
import java.lang.invoke.VarHandle;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;

/**
 * Makes product ids and tokens of one batch at a time, straight into the JSON that is being
 * written. Not thread-safe.
 *
 * <p>Product id: UUIDv8 of 48-bit milliseconds of the request, a 32-bit tag of the batch and a
 * 42-bit position that rises with the serial by a secret stride and jitter. Token: base64url,
 * unpadded, of version 1, key id 1, the product id and a MAC of 16 bytes: 34 bytes as 46
 * characters.
 */
final class Tokens {
  static final int TOKEN_CHARS = 46;
  static final String LABEL = "voketag-token-v1";

  private static final long POSITION_MASK = (1L << 42) - 1;
  private static final VarHandle LONGS =
      MethodHandles.byteArrayViewVarHandle(long[].class, ByteOrder.BIG_ENDIAN);
  private static final VarHandle CHAR_PAIRS =
      MethodHandles.byteArrayViewVarHandle(short[].class, ByteOrder.LITTLE_ENDIAN);
  /** Two base64url characters for every 12-bit value, so a token takes 23 look-ups. */
  private static final short[] PAIRS = pairs();

  private final Sha256 sha256;
  private final byte[] head = new byte[18];
  private final byte[] mac = new byte[16];
  private long high;
  private long tagLow;
  private long base;
  private long strideMask;
  private int strideBits;
  private long jitterSeed;

  Tokens(Sha256 sha256) {
    this.sha256 = sha256;
    head[0] = 1;
    head[1] = 1;
  }

  private static short[] pairs() {
    byte[] alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_".getBytes(
        StandardCharsets.US_ASCII);
    short[] result = new short[4096];
    for (int i = 0; i < result.length; i++) {
      result[i] = (short) ((alphabet[i >> 6] & 0xff) | (alphabet[i & 63] << 8));
    }
    return result;
  }

  /**
   * Sets the batch that the next tokens belong to. Once for each batch or task, so it may be slow.
   */
  void begin(byte[] batchId, long requestedAtMs) {
    byte[] drawn;
    try {
      drawn = MessageDigest.getInstance("SHA-256").digest(batchId);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException(e);
    }
    long tag = (long) LONGS.get(drawn, 0) & 0xffffffffL;
    strideBits = 12 + (drawn[8] & 0xff) % 7;
    strideMask = (1L << strideBits) - 1;
    base = ((long) LONGS.get(drawn, 16) & POSITION_MASK) >>> 2;
    jitterSeed = (long) LONGS.get(drawn, 24);
    // 48 bits of time, version 8, the tag's first 12 bits; then variant 2, its last 20 bits, the
    // position.
    high = (requestedAtMs << 16) | 0x8000L | (tag >>> 20);
    tagLow = 0x8000000000000000L | ((tag & 0xfffffL) << 42);
  }

  /**
   * Writes the token of the product at {@code index} within its batch to {@code out[offset..+46)}.
   */
  void write(long index, byte[] out, int offset) {
    // Below 2^42 always: base < 2^40, and 10 M products take at most 10 M x 2^18 < 2^41.3.
    long position =
        (base + (index << strideBits) + (mix(jitterSeed + index) & strideMask)) & POSITION_MASK;
    LONGS.set(head, 2, high);
    LONGS.set(head, 10, tagLow | position);
    sha256.mac(head, mac);

    // Six bytes give eight characters; 34 bytes are five such groups and four bytes left over.
    group((long) LONGS.get(head, 0) >>> 16, out, offset);
    group((long) LONGS.get(head, 6) >>> 16, out, offset + 8);
    group(((long) LONGS.get(head, 10)) & 0xffffffffffffL, out, offset + 16);
    group((long) LONGS.get(mac, 0) >>> 16, out, offset + 24);
    group((long) LONGS.get(mac, 6) >>> 16, out, offset + 32);
    int rest = (int) (long) LONGS.get(mac, 8);
    CHAR_PAIRS.set(out, offset + 40, PAIRS[rest >>> 20]);
    CHAR_PAIRS.set(out, offset + 42, PAIRS[(rest >>> 8) & 0xfff]);
    CHAR_PAIRS.set(out, offset + 44, PAIRS[(rest & 0xff) << 4]);
  }

  private static void group(long bits48, byte[] out, int offset) {
    CHAR_PAIRS.set(out, offset, PAIRS[(int) (bits48 >>> 36) & 0xfff]);
    CHAR_PAIRS.set(out, offset + 2, PAIRS[(int) (bits48 >>> 24) & 0xfff]);
    CHAR_PAIRS.set(out, offset + 4, PAIRS[(int) (bits48 >>> 12) & 0xfff]);
    CHAR_PAIRS.set(out, offset + 6, PAIRS[(int) bits48 & 0xfff]);
  }

  /** The finaliser of SplitMix64: spreads a counter over 64 bits. */
  private static long mix(long value) {
    value *= 0x9e3779b97f4a7c15L;
    value = (value ^ (value >>> 30)) * 0xbf58476d1ce4e5b9L;
    value = (value ^ (value >>> 27)) * 0x94d049bb133111ebL;
    return value ^ (value >>> 31);
  }
}
