package voketag.peer;

import java.nio.charset.StandardCharsets;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/**
 * A batch request becomes its chunks and its root; a large one becomes tasks that all partitions
 * share.
 */
final class RequestProcessor implements Processor<byte[], byte[], byte[], byte[]> {
  static final String CHUNKS = "chunks";
  static final String ROOTS = "roots";
  static final String TASKS = "tasks";

  private final Engine engine;
  private final RunClock clock;
  private final ChunkWriter writer;
  private final byte[] root = new byte[Sha256.HASH_BYTES];
  private ProcessorContext<byte[], byte[]> context;

  RequestProcessor(Engine engine, RunClock clock) {
    this.engine = engine;
    this.clock = clock;
    writer = new ChunkWriter(engine.sha256());
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> processorContext) {
    context = processorContext;
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    clock.requestSeen();
    BatchRequest request = BatchRequest.parse(record.value());
    if (request == null) {
      clock.requestRefused();
    } else if (request.productCount() <= engine.directProductsMax()) {
      generate(request, record.timestamp());
    } else {
      split(request, record.timestamp());
    }
  }

  private void generate(BatchRequest request, long timestampMs) {
    writer.write(request.batchId(), timestampMs, 0, request.productCount(), 0,
        (key, value) -> context.forward(new Record<>(key, value, timestampMs), CHUNKS), root);
    byte[] value = rootValue(request.batchId(), root, request.productCount());
    context.forward(new Record<>(request.batchId(), value, timestampMs), ROOTS);
  }

  private void split(BatchRequest request, long timestampMs) {
    long size = engine.taskProductsFor(request.productCount());
    int tasks = (int) ((request.productCount() + size - 1) / size);
    for (int index = 0; index < tasks; index++) {
      long first = index * size;
      long count = Math.min(size, request.productCount() - first);
      Task task = new Task(
          request.batchId(), timestampMs, request.productCount(), first, count, index, tasks);
      context.forward(
          new Record<>(taskKey(request.batchId(), index), task.encode(), timestampMs), TASKS);
    }
  }

  private static byte[] taskKey(byte[] batchId, int index) {
    return (new String(batchId, StandardCharsets.US_ASCII) + ":" + index)
        .getBytes(StandardCharsets.US_ASCII);
  }

  /** {@code {"batch_id", "merkle_root", "product_count"}}. */
  static byte[] rootValue(byte[] batchId, byte[] root, long productCount) {
    String json = "{\"batch_id\":\"" + new String(batchId, StandardCharsets.US_ASCII)
        + "\",\"merkle_root\":\"" + java.util.HexFormat.of().formatHex(root)
        + "\",\"product_count\":" + productCount + "}";
    return json.getBytes(StandardCharsets.US_ASCII);
  }
}
