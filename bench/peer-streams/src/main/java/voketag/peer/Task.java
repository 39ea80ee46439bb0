package voketag.peer;

import java.nio.ByteBuffer;

/**
 * One aligned part of a large batch, as it travels through the peer's internal topic (big-endian,
 * 80 bytes).
 */
record Task(byte[] batchId, long requestedAtMs, long productCount, long first, long count,
    int index, int tasks) {
  private static final int BATCH_ID_BYTES = 36;
  private static final int BYTES = BATCH_ID_BYTES + 4 * Long.BYTES + 2 * Integer.BYTES;

  byte[] encode() {
    return ByteBuffer.allocate(BYTES)
        .put(batchId)
        .putLong(requestedAtMs)
        .putLong(productCount)
        .putLong(first)
        .putLong(count)
        .putInt(index)
        .putInt(tasks)
        .array();
  }

  static Task decode(byte[] bytes) {
    ByteBuffer in = ByteBuffer.wrap(bytes);
    byte[] batchId = new byte[BATCH_ID_BYTES];
    in.get(batchId);
    return new Task(
        batchId, in.getLong(), in.getLong(), in.getLong(), in.getLong(), in.getInt(), in.getInt());
  }
}
