import static java.nio.charset.StandardCharsets.ISO_8859_1;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutionException;
import java.util.stream.Stream;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.apache.kafka.common.serialization.ByteArraySerializer;

/**
 * The golden records (schemas/golden) through Java's own client. {@code write BOOTSTRAP TOPIC
 * DIRECTORY} creates the topic and produces each of them into it, in the order of their files;
 * {@code read BOOTSTRAP TOPIC DIRECTORY} requires that the topic holds them twice, once as written
 * here and once by whoever came after: key, headers and value, byte by byte.
 */
public final class GoldenRecords {
  private static final Duration TIMEOUT = Duration.ofSeconds(60);

  private record Golden(String name, byte[] key, List<Header> headers, byte[] value) {}

  private static void require(boolean condition, String what) {
    if (!condition) throw new IllegalStateException(what);
  }

  /** Latin-1 gives each byte a character of its own, and so back. */
  private static Golden read(Path head) throws IOException {
    String name = head.getFileName().toString().replace(".headers", "");
    byte[] key = null;
    List<Header> headers = new ArrayList<>();
    for (String line : Files.readString(head, ISO_8859_1).split("\n")) {
      String[] parts = line.split(": ", 2);
      byte[] bytes = parts[1].getBytes(ISO_8859_1);
      if (parts[0].equals("key")) {
        key = bytes;
      } else {
        headers.add(new RecordHeader(parts[0], bytes));
      }
    }
    Path json = head.resolveSibling(name + ".json");
    Path value = Files.exists(json) ? json : head.resolveSibling(name + ".value");
    return new Golden(name, key, headers, Files.readAllBytes(value));
  }

  private static List<Golden> readAll(String directory) throws IOException {
    List<Golden> all = new ArrayList<>();
    try (Stream<Path> files = Files.list(Path.of(directory))) {
      for (Path head : files.filter(f -> f.toString().endsWith(".headers")).sorted().toList()) {
        all.add(read(head));
      }
    }
    require(!all.isEmpty(), "no golden records in " + directory);
    return all;
  }

  private static void write(String bootstrap, String topic, List<Golden> all)
      throws InterruptedException, ExecutionException {
    Map<String, Object> properties = Map.of("bootstrap.servers", bootstrap);
    try (Admin admin = Admin.create(properties)) {
      admin.createTopics(List.of(new NewTopic(topic, 1, (short) 1))).all().get();
    }
    ByteArraySerializer bytes = new ByteArraySerializer();
    try (KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(properties, bytes, bytes)) {
      for (Golden each : all) {
        producer.send(new ProducerRecord<>(topic, 0, each.key, each.value, each.headers)).get();
      }
    }
  }

  private static void check(Golden golden, ConsumerRecord<byte[], byte[]> record) {
    String where = golden.name + " at offset " + record.offset() + ": ";
    require(Arrays.equals(record.key(), golden.key), where + "the key");
    require(Arrays.equals(record.value(), golden.value), where + "the value");
    // RecordHeader compares name and bytes.
    require(List.of(record.headers().toArray()).equals(golden.headers),
            where + record.headers() + " and not " + golden.headers);
  }

  private static void read(String bootstrap, String topic, List<Golden> all) {
    TopicPartition partition = new TopicPartition(topic, 0);
    Instant deadline = Instant.now().plus(TIMEOUT);
    ByteArrayDeserializer bytes = new ByteArrayDeserializer();
    try (KafkaConsumer<byte[], byte[]> consumer =
             new KafkaConsumer<>(Map.of("bootstrap.servers", bootstrap), bytes, bytes)) {
      consumer.assign(List.of(partition));
      consumer.seekToBeginning(List.of(partition));
      long end = consumer.endOffsets(List.of(partition)).get(partition);
      require(end == 2 * all.size(), end + " records, not twice " + all.size());
      for (int seen = 0; seen < end;) {
        require(Instant.now().isBefore(deadline), seen + " of " + end + " records in time");
        for (ConsumerRecord<byte[], byte[]> record : consumer.poll(Duration.ofMillis(200))) {
          check(all.get(seen++ % all.size()), record);
        }
      }
    }
  }

  public static void main(String[] arguments) throws Exception {
    List<Golden> all = readAll(arguments[3]);
    switch (arguments[0]) {
      case "write" -> write(arguments[1], arguments[2], all);
      case "read" -> read(arguments[1], arguments[2], all);
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }
}
