package voketag.peer;

import java.nio.charset.StandardCharsets;

/** {@code {"batch_id": uuid, "product_count": n}}, read without a JSON library. */
record BatchRequest(byte[] batchId, long productCount) {
  private static final byte[] BATCH_ID = "\"batch_id\"".getBytes(StandardCharsets.US_ASCII);
  private static final byte[] PRODUCT_COUNT =
      "\"product_count\"".getBytes(StandardCharsets.US_ASCII);
  private static final int UUID_CHARS = 36;
  private static final long PRODUCTS_MAX = 10_000_000;

  /** Null where the value is not such a request: the peer counts and skips it. */
  static BatchRequest parse(byte[] json) {
    if (json == null) {
      return null;
    }
    int id = valueAfter(json, BATCH_ID);
    int count = valueAfter(json, PRODUCT_COUNT);
    if (id < 0 || count < 0 || json[id] != '"' || id + 1 + UUID_CHARS >= json.length) {
      return null;
    }
    byte[] batchId = new byte[UUID_CHARS];
    System.arraycopy(json, id + 1, batchId, 0, UUID_CHARS);
    long products = 0;
    for (int i = count;
         i < json.length && json[i] >= '0' && json[i] <= '9' && products <= PRODUCTS_MAX; i++) {
      products = products * 10 + (json[i] - '0');
    }
    return products < 1 || products > PRODUCTS_MAX ? null : new BatchRequest(batchId, products);
  }

  private static int valueAfter(byte[] json, byte[] name) {
    for (int start = 0; start + name.length < json.length; start++) {
      int matched = 0;
      while (matched < name.length && json[start + matched] == name[matched]) {
        matched++;
      }
      if (matched == name.length) {
        int at = start + matched;
        while (at < json.length && (json[at] == ':' || json[at] == ' ')) {
          at++;
        }
        return at < json.length ? at : -1;
      }
    }
    return -1;
  }
}
