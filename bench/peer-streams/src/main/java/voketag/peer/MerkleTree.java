package voketag.peer;

/**
 * The root of an RFC 6962 tree, leaf by leaf, in memory for one path. The same object folds leaves
 * and, in the aggregation, the roots of perfect subtrees of equal size. Not thread-safe.
 */
final class MerkleTree {
  private static final int LEVELS_MAX = 64;

  private final Sha256 sha256;
  /**
   * The roots of the perfect subtrees so far, largest first, side by side: the last two are a
   * node's input.
   */
  private final byte[] stack = new byte[(LEVELS_MAX + 2) * Sha256.HASH_BYTES];
  private int depth;
  private long leaves;

  MerkleTree(Sha256 sha256) {
    this.sha256 = sha256;
  }

  void clear() {
    depth = 0;
    leaves = 0;
  }

  /** Adds the token at {@code json[offset..+46)} as the next leaf. */
  void addToken(byte[] json, int offset) {
    sha256.leaf(json, offset, stack, depth * Sha256.HASH_BYTES);
    carry();
  }

  /** Adds a hash as the next leaf of this tree. */
  void addHash(byte[] hashes, int offset) {
    System.arraycopy(hashes, offset, stack, depth * Sha256.HASH_BYTES, Sha256.HASH_BYTES);
    carry();
  }

  private void carry() {
    depth++;
    // As in binary counting: each trailing one bit of the number of leaves before this one is a
    // subtree to join.
    for (long before = leaves; (before & 1) != 0; before >>>= 1) {
      joinLastTwo();
    }
    leaves++;
  }

  private void joinLastTwo() {
    depth--;
    int left = (depth - 1) * Sha256.HASH_BYTES;
    sha256.node(stack, left, stack, left);
  }

  /**
   * Writes the root to {@code out[offset..+32)} and clears the tree. At least one leaf must have
   * been added.
   */
  void root(byte[] out, int offset) {
    if (depth == 0) {
      throw new IllegalStateException("a tree without leaves was asked for its root");
    }
    while (depth > 1) {
      joinLastTwo();
    }
    System.arraycopy(stack, 0, out, offset, Sha256.HASH_BYTES);
    clear();
  }
}
