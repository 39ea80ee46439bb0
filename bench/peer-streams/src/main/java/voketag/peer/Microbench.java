package voketag.peer;

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;

/**
 * Nanoseconds a product for tokens, JSON and tree in one thread, without Kafka; prints a root to
 * compare ways with.
 */
final class Microbench {
  private Microbench() {}

  public static void main(String[] arguments) {
    for (String way : new String[] {"block", "digest"}) {
      ChunkWriter writer = new ChunkWriter(Engine.sha256(way, Settings.signingKey()));
      byte[] batchId = "01234567-89ab-4def-8123-456789abcdef".getBytes(StandardCharsets.US_ASCII);
      byte[] root = new byte[32];
      long[] sum = new long[1];
      for (int round = 0; round < 8; round++) {
        long start = System.nanoTime();
        writer.write(batchId, 1_700_000_000_000L, 0, 500_000, 0,
            (key, value) -> sum[0] += value.length, root);
        System.out.printf("%s: %.0f ns a product, root %s, %d bytes%n", way,
            (System.nanoTime() - start) / 500_000.0, HexFormat.of().formatHex(root, 0, 8), sum[0]);
        sum[0] = 0;
      }
    }
  }
}
