package voketag.peer;

import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;

/** One task of a large batch becomes its chunks and the root of its subtree, keyed by the batch. */
final class TaskProcessor implements Processor<byte[], byte[], byte[], byte[]> {
  static final String SUBTREES = "subtrees";

  private final ChunkWriter writer;
  private final byte[] root = new byte[Sha256.HASH_BYTES];
  private ProcessorContext<byte[], byte[]> context;

  TaskProcessor(Engine engine) {
    writer = new ChunkWriter(engine.sha256());
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> processorContext) {
    context = processorContext;
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    Task task = Task.decode(record.value());
    long timestampMs = record.timestamp();
    int chunksOfFullTask = (int) ((task.index() == 0 ? 0 : task.first() / task.index())
                               + ChunkWriter.CHUNK_PRODUCTS - 1)
        / ChunkWriter.CHUNK_PRODUCTS;
    writer.write(task.batchId(), task.requestedAtMs(), task.first(), task.count(),
        task.index() * chunksOfFullTask,
        (key, value)
            -> context.forward(new Record<>(key, value, timestampMs), RequestProcessor.CHUNKS),
        root);
    byte[] value = new Subtree(task.productCount(), task.index(), task.tasks(), root).encode();
    context.forward(new Record<>(task.batchId(), value, timestampMs), SUBTREES);
  }
}
