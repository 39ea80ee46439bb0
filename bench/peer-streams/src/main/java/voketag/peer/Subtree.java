package voketag.peer;

import java.nio.ByteBuffer;

/**
 * The root of one task's subtree, as it travels through the peer's internal topic (big-endian, 48
 * bytes).
 */
record Subtree(long productCount, int index, int tasks, byte[] root) {
  private static final int BYTES = Long.BYTES + 2 * Integer.BYTES + Sha256.HASH_BYTES;

  byte[] encode() {
    return ByteBuffer.allocate(BYTES)
        .putLong(productCount)
        .putInt(index)
        .putInt(tasks)
        .put(root)
        .array();
  }

  static Subtree decode(byte[] bytes) {
    ByteBuffer in = ByteBuffer.wrap(bytes);
    long productCount = in.getLong();
    int index = in.getInt();
    int tasks = in.getInt();
    byte[] root = new byte[Sha256.HASH_BYTES];
    in.get(root);
    return new Subtree(productCount, index, tasks, root);
  }
}
