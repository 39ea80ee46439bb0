package voketag.peer;

import java.nio.charset.StandardCharsets;
import java.security.DigestException;
import java.security.GeneralSecurityException;
import java.security.MessageDigest;

/**
 * SHA-256 through the JDK's public API. The HMAC pads are hashed once and the digest is cloned
 * after them (RFC 2104, section 4), which saves two of four compressions at the price of two
 * short-lived objects for each token.
 */
final class DigestSha256 implements Sha256 {
  private final MessageDigest inner;
  private final MessageDigest outer;
  private final MessageDigest digest;
  private final byte[] innerHash = new byte[HASH_BYTES];
  private final byte[] outerHash = new byte[HASH_BYTES];

  DigestSha256(byte[] key, String label) {
    try {
      byte[] block = Pads.keyBlock(key);
      inner = MessageDigest.getInstance("SHA-256");
      outer = MessageDigest.getInstance("SHA-256");
      digest = MessageDigest.getInstance("SHA-256");
      inner.update(Pads.xor(block, Pads.INNER));
      inner.update(label.getBytes(StandardCharsets.US_ASCII));
      outer.update(Pads.xor(block, Pads.OUTER));
    } catch (GeneralSecurityException e) {
      throw new IllegalStateException("this JDK has no SHA-256", e);
    }
  }

  @Override
  public void mac(byte[] head, byte[] mac) {
    try {
      MessageDigest first = (MessageDigest) inner.clone();
      first.update(head, 0, 18);
      first.digest(innerHash, 0, HASH_BYTES);
      MessageDigest second = (MessageDigest) outer.clone();
      second.update(innerHash, 0, HASH_BYTES);
      second.digest(outerHash, 0, HASH_BYTES);
      System.arraycopy(outerHash, 0, mac, 0, 16);
    } catch (CloneNotSupportedException | DigestException e) {
      throw new IllegalStateException(e);
    }
  }

  @Override
  public void leaf(byte[] token, int offset, byte[] out, int outOffset) {
    digest.update((byte) 0);
    digest.update(token, offset, Tokens.TOKEN_CHARS);
    finish(out, outOffset);
  }

  @Override
  public void node(byte[] pair, int offset, byte[] out, int outOffset) {
    digest.update((byte) 1);
    digest.update(pair, offset, 2 * HASH_BYTES);
    finish(out, outOffset);
  }

  private void finish(byte[] out, int outOffset) {
    try {
      digest.digest(out, outOffset, HASH_BYTES);
    } catch (DigestException e) {
      throw new IllegalStateException(e);
    }
  }
}
