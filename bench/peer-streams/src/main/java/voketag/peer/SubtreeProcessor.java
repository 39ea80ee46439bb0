package voketag.peer;

import java.nio.ByteBuffer;
import org.apache.kafka.streams.processor.api.Processor;
import org.apache.kafka.streams.processor.api.ProcessorContext;
import org.apache.kafka.streams.processor.api.Record;
import org.apache.kafka.streams.state.KeyValueStore;

/**
 * Collects the subtree roots of a large batch in a store and emits the batch's root with the last
 * one. The store is in memory with a changelog: it holds at most 64 hashes for each batch in
 * flight.
 */
final class SubtreeProcessor implements Processor<byte[], byte[], byte[], byte[]> {
  static final String STORE = "subtree-roots";

  private static final int SEEN_OFFSET = Integer.BYTES;
  private static final int ROOTS_OFFSET = Integer.BYTES + Long.BYTES;

  private final MerkleTree tree;
  private final byte[] root = new byte[Sha256.HASH_BYTES];
  private ProcessorContext<byte[], byte[]> context;
  private KeyValueStore<String, byte[]> store;

  SubtreeProcessor(Engine engine) {
    tree = new MerkleTree(engine.sha256());
  }

  @Override
  public void init(ProcessorContext<byte[], byte[]> processorContext) {
    context = processorContext;
    store = processorContext.getStateStore(STORE);
  }

  @Override
  public void process(Record<byte[], byte[]> record) {
    Subtree subtree = Subtree.decode(record.value());
    String batchId = new String(record.key(), java.nio.charset.StandardCharsets.US_ASCII);
    byte[] stored = store.get(batchId);
    byte[] collected = stored == null ? new byte[ROOTS_OFFSET + subtree.tasks() * Sha256.HASH_BYTES]
                                      : stored.clone();
    ByteBuffer fields = ByteBuffer.wrap(collected);
    long seen = fields.getLong(SEEN_OFFSET);
    if ((seen & (1L << subtree.index())) != 0) {
      return;
    }
    int received = fields.getInt(0) + 1;
    fields.putInt(0, received).putLong(SEEN_OFFSET, seen | (1L << subtree.index()));
    fields.put(ROOTS_OFFSET + subtree.index() * Sha256.HASH_BYTES, subtree.root());
    if (received < subtree.tasks()) {
      store.put(batchId, collected);
      return;
    }
    store.delete(batchId);
    tree.clear();
    for (int i = 0; i < subtree.tasks(); i++) {
      tree.addHash(collected, ROOTS_OFFSET + i * Sha256.HASH_BYTES);
    }
    tree.root(root, 0);
    byte[] value = RequestProcessor.rootValue(record.key(), root, subtree.productCount());
    context.forward(new Record<>(record.key(), value, record.timestamp()), RequestProcessor.ROOTS);
  }
}
