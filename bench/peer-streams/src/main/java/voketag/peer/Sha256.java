package voketag.peer;

/**
 * SHA-256 as the main job needs it: whole 64-byte blocks from a saved state, with no allocation.
 * Not thread-safe: one instance for each stream thread.
 *
 * <p>Two implementations: {@link DigestSha256} uses the public {@code MessageDigest}; {@link
 * BlockSha256} calls the compression function of the JDK's own provider (the HotSpot intrinsic,
 * SHA-NI where the machine has it) on one block.
 */
interface Sha256 {
  int HASH_BYTES = 32;
  int BLOCK_BYTES = 64;

  /**
   * HMAC-SHA256 over the label and the 18 bytes at {@code head}, truncated to 16 bytes, written to
   * {@code mac}.
   */
  void mac(byte[] head, byte[] mac);

  /**
   * RFC 6962 leaf hash of the 46-byte token at {@code token[offset]}, written to {@code
   * out[outOffset..+32)}.
   */
  void leaf(byte[] token, int offset, byte[] out, int outOffset);

  /**
   * RFC 6962 node hash of two hashes that lie side by side at {@code pair[offset..+64)}; may write
   * over them.
   */
  void node(byte[] pair, int offset, byte[] out, int outOffset);
}
