package voketag.peer;

import java.nio.charset.StandardCharsets;
import java.util.HashMap;
import java.util.Map;

/**
 * Writes the products of one batch, or of one aligned part of it, as JSON chunks of 500 tokens and
 * folds them into a Merkle tree on the way, while they are still in the first-level cache. Not
 * thread-safe.
 */
final class ChunkWriter {
  static final int CHUNK_PRODUCTS = 500;

  /**
   * Takes one chunk record. The value is only valid until the call returns: it is written over by
   * a later chunk.
   */
  interface Sink {
    void chunk(byte[] key, byte[] value);
  }

  private static final byte[] OPEN = ascii("{\"batch_id\":\"");
  private static final byte[] CHUNK_INDEX = ascii("\",\"chunk_index\":");
  private static final byte[] FIRST_SERIAL = ascii(",\"first_serial\":");
  private static final byte[] COUNT = ascii(",\"count\":");
  private static final byte[] TOKENS = ascii(",\"tokens\":[");
  private static final int HEAD_BYTES_MAX = 160;

  private final Tokens tokens;
  private final MerkleTree tree;
  private final byte[] head = new byte[HEAD_BYTES_MAX];
  /**
   * Buffers of the few lengths that full chunks have: the producer copies a value before send()
   * returns.
   */
  private final Map<Integer, byte[]> fullChunkValues = new HashMap<>();

  ChunkWriter(Sha256 sha256) {
    tokens = new Tokens(sha256);
    tree = new MerkleTree(sha256);
  }

  private static byte[] ascii(String text) {
    return text.getBytes(StandardCharsets.US_ASCII);
  }

  /**
   * Writes products [first, first + count) of a batch, chunks numbered from {@code chunkIndex};
   * root to {@code root}.
   */
  void write(byte[] batchId, long requestedAtMs, long first, long count, int chunkIndex, Sink sink,
      byte[] root) {
    tokens.begin(batchId, requestedAtMs);
    tree.clear();
    long end = first + count;
    int index = chunkIndex;
    for (long at = first; at < end; at += CHUNK_PRODUCTS) {
      int products = (int) Math.min(CHUNK_PRODUCTS, end - at);
      sink.chunk(key(batchId, index), value(batchId, index, at, products));
      index++;
    }
    tree.root(root, 0);
  }

  private static byte[] key(byte[] batchId, int index) {
    byte[] result = new byte[batchId.length + 1 + digits(index)];
    System.arraycopy(batchId, 0, result, 0, batchId.length);
    result[batchId.length] = ':';
    number(result, batchId.length + 1, index);
    return result;
  }

  private byte[] value(byte[] batchId, int index, long first, int products) {
    int headBytes = writeHead(batchId, index, first, products);
    byte[] value = buffer(headBytes + products * (Tokens.TOKEN_CHARS + 3) - 1 + 2, products);
    System.arraycopy(head, 0, value, 0, headBytes);
    int at = headBytes;
    for (int i = 0; i < products; i++) {
      value[at] = '"';
      tokens.write(first + i, value, at + 1);
      tree.addToken(value, at + 1);
      value[at + 1 + Tokens.TOKEN_CHARS] = '"';
      value[at + 2 + Tokens.TOKEN_CHARS] = ',';
      at += Tokens.TOKEN_CHARS + 3;
    }
    value[at - 1] = ']';
    value[at] = '}';
    return value;
  }

  private byte[] buffer(int bytes, int products) {
    return products < CHUNK_PRODUCTS ? new byte[bytes]
                                     : fullChunkValues.computeIfAbsent(bytes, byte[] ::new);
  }

  private int writeHead(byte[] batchId, int index, long first, int products) {
    int at = copy(OPEN, 0);
    at = copy(batchId, at);
    at = copy(CHUNK_INDEX, at);
    at = number(head, at, index);
    at = copy(FIRST_SERIAL, at);
    at = number(head, at, first);
    at = copy(COUNT, at);
    at = number(head, at, products);
    return copy(TOKENS, at);
  }

  private int copy(byte[] from, int at) {
    System.arraycopy(from, 0, head, at, from.length);
    return at + from.length;
  }

  private static int digits(long value) {
    int result = 1;
    for (long rest = value; rest >= 10; rest /= 10) {
      result++;
    }
    return result;
  }

  private static int number(byte[] out, int at, long value) {
    int end = at + digits(value);
    long rest = value;
    for (int i = end - 1; i >= at; i--) {
      out[i] = (byte) ('0' + rest % 10);
      rest /= 10;
    }
    return end;
  }
}
