package voketag.peer;

import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.Arrays;

/** The two HMAC pads of RFC 2104, section 2, for a hash with 64-byte blocks. */
final class Pads {
  static final byte INNER = 0x36;
  static final byte OUTER = 0x5c;

  private Pads() {}

  /** The key as one block: zero-padded, or hashed first where it is longer than a block. */
  static byte[] keyBlock(byte[] key) {
    if (key.length <= Sha256.BLOCK_BYTES) {
      return Arrays.copyOf(key, Sha256.BLOCK_BYTES);
    }
    try {
      return Arrays.copyOf(MessageDigest.getInstance("SHA-256").digest(key), Sha256.BLOCK_BYTES);
    } catch (NoSuchAlgorithmException e) {
      throw new IllegalStateException("this JDK has no SHA-256", e);
    }
  }

  static byte[] xor(byte[] block, byte pad) {
    byte[] result = new byte[block.length];
    for (int i = 0; i < block.length; i++) {
      result[i] = (byte) (block[i] ^ pad);
    }
    return result;
  }
}
