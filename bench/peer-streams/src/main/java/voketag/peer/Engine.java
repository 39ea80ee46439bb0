package voketag.peer;

/**
 * What every processor of the peer needs to know: the key, the topics, how a large batch is split.
 */
record Engine(
    String prefix, String sha256Way, byte[] key, long directProductsMax, long taskProducts) {
  private static final long TASKS_MAX = 64;

  static Sha256 sha256(String way, byte[] key) {
    return switch (way) {
      case "block" -> new BlockSha256(key, Tokens.LABEL);
      case "digest" -> new DigestSha256(key, Tokens.LABEL);
      default -> throw new IllegalArgumentException("--sha256 is block or digest, not " + way);
    };
  }

  Sha256 sha256() {
    return sha256(sha256Way, key);
  }

  String requestTopic() {
    return prefix + "batch-requested";
  }

  String chunkTopic() {
    return prefix + "tokens-generated";
  }

  String rootTopic() {
    return prefix + "merkle-root-computed";
  }

  String taskTopic() {
    return prefix + "chunk-task-requested";
  }

  String subtreeTopic() {
    return prefix + "merkle-subtree-computed";
  }

  /** Products of one task of a large batch: a power of two, so its root is a node of the tree. */
  long taskProductsFor(long productCount) {
    long size = taskProducts;
    while (size * TASKS_MAX < productCount) {
      size *= 2;
    }
    return size;
  }
}
