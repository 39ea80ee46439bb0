package voketag.peer;

import java.nio.file.Path;
import java.time.Duration;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.ExecutionException;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.Serdes;
import org.apache.kafka.streams.KafkaStreams;
import org.apache.kafka.streams.StreamsConfig;
import org.apache.kafka.streams.Topology;
import org.apache.kafka.streams.state.Stores;

/**
 * The peer: batch requests become token chunks and Merkle roots, exactly once, as a Kafka Streams
 * application.
 *
 * <p>Runs until it is terminated or, with {@code --expect-batches}, until it has read that many
 * roots back with read_committed; then it reports products a second from the first request it saw
 * to the last root.
 */
public final class StreamsPeer {
  private static final Map<String, String> DEFAULTS =
      Map.ofEntries(Map.entry("bootstrap", "127.0.0.1:9092"), Map.entry("prefix", "peer."),
          Map.entry("state-dir",
              Path.of(System.getProperty("java.io.tmpdir"), "peer-streams").toString()),
          Map.entry("partitions", "12"),
          Map.entry("threads", "2"), Map.entry("sha256", "block"),
          Map.entry("direct-products-max", "131072"), Map.entry("task-products", "32768"),
          Map.entry("commit-interval-ms", "100"), Map.entry("batch-bytes", "524288"),
          Map.entry("linger-ms", "20"), Map.entry("buffer-bytes", "33554432"),
          Map.entry("max-poll-records", "1000"), Map.entry("create-topics", "true"),
          Map.entry("expect-batches", "0"), Map.entry("result", ""));

  private final Settings settings;
  private final Engine engine;
  private final RunClock clock = new RunClock();

  private StreamsPeer(Settings settings) {
    this.settings = settings;
    engine = new Engine(settings.text("prefix"), settings.text("sha256"), Settings.signingKey(),
        settings.number("direct-products-max"), settings.number("task-products"));
  }

  public static void main(String[] arguments) throws Exception {
    new StreamsPeer(Settings.parse(arguments, DEFAULTS)).run();
  }

  private void run() throws Exception {
    if (settings.flag("create-topics")) {
      createTopics();
    }
    try (KafkaStreams streams = new KafkaStreams(topology(), new StreamsConfig(properties()))) {
      streams.setStateListener((state, before) -> {
        if (state == KafkaStreams.State.RUNNING) {
          System.out.println("running");
        }
      });
      Runtime.getRuntime().addShutdownHook(new Thread(() -> streams.close(Duration.ofSeconds(20))));
      streams.start();
      if (settings.number("expect-batches") > 0) {
        awaitRoots(settings.number("expect-batches"));
      } else {
        Thread.currentThread().join();
      }
    }
  }

  private void createTopics() throws ExecutionException, InterruptedException {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", settings.text("bootstrap"));
    try (Admin admin = Admin.create(properties)) {
      var existing = admin.listTopics().names().get();
      List<NewTopic> missing =
          Stream
              .of(engine.requestTopic(), engine.chunkTopic(), engine.rootTopic(),
                  engine.taskTopic(), engine.subtreeTopic())
              .filter(name -> !existing.contains(name))
              .map(name -> new NewTopic(name, settings.number("partitions"), (short) 1))
              .toList();
      admin.createTopics(missing).all().get();
    }
  }

  private Topology topology() {
    var serde = Serdes.ByteArray();
    var read = serde.deserializer();
    var write = serde.serializer();
    var store = Stores.keyValueStoreBuilder(
        Stores.inMemoryKeyValueStore(SubtreeProcessor.STORE), Serdes.String(), Serdes.ByteArray());
    return new Topology()
        .addSource("requests", read, read, engine.requestTopic())
        .addProcessor("request", () -> new RequestProcessor(engine, clock), "requests")
        .addSink(RequestProcessor.TASKS, engine.taskTopic(), write, write, "request")
        .addSource("task-source", read, read, engine.taskTopic())
        .addProcessor("task", () -> new TaskProcessor(engine), "task-source")
        .addSink(TaskProcessor.SUBTREES, engine.subtreeTopic(), write, write, "task")
        .addSource("subtree-source", read, read, engine.subtreeTopic())
        .addProcessor("subtree", () -> new SubtreeProcessor(engine), "subtree-source")
        .addStateStore(store, "subtree")
        .addSink(RequestProcessor.CHUNKS, engine.chunkTopic(), write, write, "request", "task")
        .addSink(RequestProcessor.ROOTS, engine.rootTopic(), write, write, "request", "subtree");
  }

  /** README.md says why each value is what it is. */
  private Properties properties() {
    Properties result = new Properties();
    result.put(StreamsConfig.APPLICATION_ID_CONFIG, engine.prefix() + "peer-streams");
    result.put(StreamsConfig.BOOTSTRAP_SERVERS_CONFIG, settings.text("bootstrap"));
    result.put(StreamsConfig.STATE_DIR_CONFIG, settings.text("state-dir"));
    result.put(StreamsConfig.PROCESSING_GUARANTEE_CONFIG, StreamsConfig.EXACTLY_ONCE_V2);
    result.put(StreamsConfig.NUM_STREAM_THREADS_CONFIG, settings.number("threads"));
    result.put(StreamsConfig.COMMIT_INTERVAL_MS_CONFIG, settings.number("commit-interval-ms"));
    result.put(StreamsConfig.REPLICATION_FACTOR_CONFIG, 1);
    result.put(StreamsConfig.STATESTORE_CACHE_MAX_BYTES_CONFIG, 0);
    result.put(StreamsConfig.POLL_MS_CONFIG, 20);
    result.put(StreamsConfig.DEFAULT_KEY_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    result.put(StreamsConfig.DEFAULT_VALUE_SERDE_CLASS_CONFIG, Serdes.ByteArraySerde.class);
    result.put(StreamsConfig.producerPrefix(ProducerConfig.BATCH_SIZE_CONFIG),
        settings.number("batch-bytes"));
    result.put(StreamsConfig.producerPrefix(ProducerConfig.LINGER_MS_CONFIG),
        settings.number("linger-ms"));
    result.put(StreamsConfig.producerPrefix(ProducerConfig.BUFFER_MEMORY_CONFIG),
        settings.number("buffer-bytes"));
    result.put(StreamsConfig.producerPrefix(ProducerConfig.MAX_REQUEST_SIZE_CONFIG), 8 << 20);
    result.put(StreamsConfig.producerPrefix(ProducerConfig.COMPRESSION_TYPE_CONFIG), "none");
    result.put(StreamsConfig.producerPrefix(ProducerConfig.SEND_BUFFER_CONFIG), 1 << 20);
    result.put(StreamsConfig.consumerPrefix(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG), "earliest");
    result.put(StreamsConfig.consumerPrefix(ConsumerConfig.MAX_POLL_RECORDS_CONFIG),
        settings.number("max-poll-records"));
    return result;
  }

  private void awaitRoots(int batches) throws Exception {
    Properties properties = new Properties();
    properties.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, settings.text("bootstrap"));
    properties.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
    properties.put(ConsumerConfig.AUTO_OFFSET_RESET_CONFIG, "earliest");
    long seen = 0;
    long products = 0;
    try (var consumer = new KafkaConsumer<>(
             properties, new ByteArrayDeserializer(), new ByteArrayDeserializer())) {
      List<TopicPartition> partitions =
          consumer.partitionsFor(engine.rootTopic())
              .stream()
              .map(info -> new TopicPartition(info.topic(), info.partition()))
              .toList();
      consumer.assign(partitions);
      consumer.seekToEnd(partitions);
      partitions.forEach(consumer::position);
      System.out.println("awaiting");
      while (seen < batches) {
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(100))) {
          BatchRequest counted = BatchRequest.parse(record.value());
          products += counted == null ? 0 : counted.productCount();
          seen++;
        }
      }
    }
    double seconds = (System.nanoTime() - clock.firstRequestNs()) / 1e9;
    Measurement.report("kafka-streams", seen, products, seconds, settings.text("result"));
  }
}
