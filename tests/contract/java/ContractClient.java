import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.time.Duration;
import java.time.Instant;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.Set;
import java.util.TreeMap;
import java.util.UUID;
import java.util.concurrent.ExecutionException;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerConfig;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;
import org.apache.kafka.common.utils.Utils;

/**
 * An outsider's client: Java's own Kafka client with its default partitioner, plain JSON, no
 * CloudEvents. {@code request BOOTSTRAP PREFIX BATCHES PRODUCTS} asks for batches and sends one
 * request that is out of order; {@code check BOOTSTRAP PREFIX TIMEOUT_S ROOT BATCH_ID...} reads, as
 * read_committed, until each of these batches is completed and the outsider's root (in the form
 * ID:HEX:COUNT) is anchored, and checks everything on the way.
 */
public final class ContractClient {
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final String[] CE_HEADERS = {"ce_specversion", "ce_id", "ce_source", "ce_type", "ce_time",
                                              "content-type", "traceparent"};
  /** Of these the partition and the envelope are looked at. */
  private static final List<String> OF_FORM =
      List.of("batch-accepted", "anchor-accepted", "anchor-queue", "anchor-submitted");
  /** Of these every member that can be recomputed. */
  private static final List<String> OF_CONTENT =
      List.of("token-chunk-requested", "tokens-generated", "merkle-subtree-computed", "merkle-root-computed",
              "anchor-completed", "batch-completed", "dead-letters");
  /** A greater batch is cut into chunks that are asked for, each with a subtree of its own. */
  private static final int MADE_AT_ONCE = 131072;

  /** What was read of one batch. */
  private static final class Batch {
    final TreeMap<Integer, JsonNode> requests = new TreeMap<>();
    final TreeMap<Integer, JsonNode> chunks = new TreeMap<>();
    final TreeMap<Integer, JsonNode> subtrees = new TreeMap<>();
    JsonNode root;
    JsonNode anchor;
    JsonNode completed;
  }

  private final String prefix;
  private final Map<String, Batch> batches = new HashMap<>();
  private final Set<String> ids = new HashSet<>();
  private final Set<String> tokens = new HashSet<>();
  private int deadLetters;

  private ContractClient(String prefix) {
    this.prefix = prefix;
  }

  private static void require(boolean condition, String what) {
    if (!condition) throw new IllegalStateException(what);
  }

  private static Properties properties(String bootstrap) {
    Properties properties = new Properties();
    properties.put("bootstrap.servers", bootstrap);
    return properties;
  }

  private static void request(String bootstrap, String prefix, int batches, int products)
      throws InterruptedException, ExecutionException {
    Properties properties = properties(bootstrap);
    properties.put(ProducerConfig.KEY_SERIALIZER_CLASS_CONFIG, StringSerializer.class.getName());
    properties.put(ProducerConfig.VALUE_SERIALIZER_CLASS_CONFIG, StringSerializer.class.getName());
    String topic = prefix + "batch-requested";
    try (KafkaProducer<String, String> producer = new KafkaProducer<>(properties)) {
      for (int i = 0; i < batches; ++i) {
        String id = UUID.randomUUID().toString();
        String value = "{\"batch_id\": \"" + id + "\", \"product_count\": " + products + "}";
        producer.send(new ProducerRecord<>(topic, id, value)).get();
        // Twice the same request, under another key, is still one batch.
        if (i == 0) producer.send(new ProducerRecord<>(topic, "elsewhere", value)).get();
        System.out.println(id);
      }
      producer.send(new ProducerRecord<>(topic, "out-of-order", "{\"batch_id\": \"" + UUID.randomUUID()
                                             + "\", \"product_count\": 0}")).get();
    }
  }

  private static String header(ConsumerRecord<String, byte[]> record, String name) {
    Header header = record.headers().lastHeader(name);
    require(header != null, record.topic() + " has no header " + name);
    return new String(header.value(), StandardCharsets.UTF_8);
  }

  private void checkEnvelope(ConsumerRecord<String, byte[]> record, String topic) {
    for (String name : CE_HEADERS) require(!header(record, name).isEmpty(), topic + ": empty " + name);
    require(header(record, "ce_specversion").equals("1.0"), "specversion");
    require(header(record, "ce_type").equals("voketag." + topic + ".v1"), "type of " + topic);
    require(header(record, "ce_source").startsWith("/voketag/"), "source of " + topic);
    Instant.parse(header(record, "ce_time"));
    require(header(record, "traceparent").matches("00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}"), "traceparent");
    require(ids.add(header(record, "ce_id")), topic + ": ce_id " + header(record, "ce_id") + " twice");
  }

  private void checkPartition(ConsumerRecord<String, byte[]> record) {
    int hash = Utils.murmur2(record.key().getBytes(StandardCharsets.UTF_8));
    require(record.partition() == Utils.toPositive(hash) % 12, "partition of " + record.key());
  }

  private void take(ConsumerRecord<String, byte[]> record) throws IOException {
    String topic = record.topic().substring(prefix.length());
    checkEnvelope(record, topic);
    if (topic.equals("dead-letters")) {
      takeDeadLetter(record);
      return;
    }
    checkPartition(record);
    JsonNode event = JSON.readTree(record.value());
    if (OF_FORM.contains(topic)) return;
    String id = event.get("batch_id").asText();
    Batch batch = batches.computeIfAbsent(id, unused -> new Batch());
    String chunk = event.path("chunk_index").asText();
    boolean ofChunk = topic.equals("token-chunk-requested") || topic.equals("tokens-generated");
    require(record.key().equals(ofChunk ? id + ":" + chunk : id), "key of " + topic);
    switch (topic) {
      case "token-chunk-requested" -> batch.requests.put(Integer.parseInt(chunk), event);
      case "tokens-generated" -> require(batch.chunks.put(Integer.parseInt(chunk), event) == null,
                                         "chunk " + chunk + " of " + id + " twice");
      case "merkle-subtree-computed" -> require(batch.subtrees.put(Integer.parseInt(chunk), event) == null,
                                                "subtree " + chunk + " of " + id + " twice");
      case "merkle-root-computed" -> {
        require(batch.root == null, "two roots of " + id);
        batch.root = event;
      }
      case "anchor-completed" -> {
        require(batch.anchor == null, "two anchors of " + id);
        batch.anchor = event;
      }
      case "batch-completed" -> {
        require(batch.completed == null, "two completions of " + id);
        batch.completed = event;
      }
      default -> throw new IllegalStateException("unexpected topic " + topic);
    }
  }

  private void takeDeadLetter(ConsumerRecord<String, byte[]> record) throws IOException {
    ++deadLetters;
    require(record.key().equals("out-of-order"), "the dead letter has its record's key");
    require(header(record, "dead_letter_topic").equals("batch-requested"), "dead_letter_topic");
    require(header(record, "dead_letter_processor").equals("ingress"), "dead_letter_processor");
    require(header(record, "dead_letter_detail").contains("product_count"), "dead_letter_detail");
    Integer.parseInt(header(record, "dead_letter_partition"));
    Long.parseLong(header(record, "dead_letter_offset"));
    require(JSON.readTree(record.value()).get("product_count").asInt() == 0, "the raw bytes");
  }

  private static byte[] sha256(byte prefixByte, byte[]... parts) {
    try {
      MessageDigest digest = MessageDigest.getInstance("SHA-256");
      digest.update(prefixByte);
      for (byte[] part : parts) digest.update(part);
      return digest.digest();
    } catch (NoSuchAlgorithmException impossible) {
      throw new IllegalStateException(impossible);
    }
  }

  /** RFC 6962, section 2.1, as it is written there. */
  private static byte[] treeHash(List<byte[]> leaves) {
    if (leaves.size() == 1) return leaves.get(0);
    int split = Integer.highestOneBit(leaves.size() - 1);
    return sha256((byte) 1, treeHash(leaves.subList(0, split)), treeHash(leaves.subList(split, leaves.size())));
  }

  /** Of a great batch each chunk was asked for, and its root is over its tokens; of others there is neither. */
  private static void checkSubtrees(String id, Batch batch, List<byte[]> leaves) {
    boolean great = leaves.size() > MADE_AT_ONCE;
    Set<Integer> wanted = great ? batch.chunks.keySet() : Set.of();
    require(batch.requests.keySet().equals(wanted), "the chunks of " + id + " are asked for");
    require(batch.subtrees.keySet().equals(wanted), "the chunks of " + id + " have their roots");
    for (int index : wanted) {
      JsonNode request = batch.requests.get(index);
      JsonNode subtree = batch.subtrees.get(index);
      int size = request.get("chunk_size").asInt();
      List<byte[]> part = leaves.subList(index * size, Math.min((index + 1) * size, leaves.size()));
      require(batch.chunks.get(index).get("count").asInt() == part.size(), "products of chunk " + index);
      for (JsonNode event : List.of(request, subtree)) {
        require(event.get("chunk_count").asInt() == wanted.size(), "chunk_count of " + id);
        require(event.get("product_count").asInt() == leaves.size(), "product_count of " + id);
      }
      require(subtree.get("root").asText().equals(HexFormat.of().formatHex(treeHash(part))),
              "the root of chunk " + index + " of " + id + " is over its tokens");
    }
  }

  /** The path from the root, as a leaf of kind 1, to the aggregate's: RFC 9162, section 2.1.3.2. */
  private static void checkAnchor(String id, JsonNode anchor) {
    UUID uuid = UUID.fromString(id);
    ByteBuffer leaf = ByteBuffer.allocate(57).put((byte) 1).putLong(uuid.getMostSignificantBits())
        .putLong(uuid.getLeastSignificantBits()).putLong(anchor.get("product_count").asLong())
        .put(HexFormat.of().parseHex(anchor.get("merkle_root").asText()));
    JsonNode aggregate = anchor.get("aggregate");
    long index = aggregate.get("leaf_index").asLong();
    long last = aggregate.get("tree_size").asLong() - 1;
    require(index <= last, "the leaf of " + id + " is in its tree");
    byte[] hash = sha256((byte) 0, leaf.array());
    for (JsonNode step : aggregate.get("path")) {
      require(last > 0, "the path of " + id + " has no step too many");
      byte[] sibling = HexFormat.of().parseHex(step.asText());
      boolean isRight = index % 2 == 1 || index == last;
      hash = isRight ? sha256((byte) 1, sibling, hash) : sha256((byte) 1, hash, sibling);
      while (isRight && index % 2 == 0 && index > 0) {
        index /= 2;
        last /= 2;
      }
      index /= 2;
      last /= 2;
    }
    require(last == 0 && HexFormat.of().formatHex(hash).equals(aggregate.get("root").asText()),
            "the path of " + id + " leads to the aggregate's root");
  }

  /** ID:HEX:COUNT, a root that is none of ours. */
  private static void checkForeign(String foreign, JsonNode anchor) {
    require(foreign.equals(anchor.get("batch_id").asText() + ":" + anchor.get("merkle_root").asText() + ":"
                           + anchor.get("product_count").asText()), "an outsider's anchor: " + anchor);
  }

  private void checkBatch(String id, Batch batch) {
    List<byte[]> leaves = new ArrayList<>();
    long serial = 1;
    for (JsonNode chunk : batch.chunks.values()) {
      require(chunk.get("first_serial").asLong() == serial, "serials of " + id + " without a gap");
      require(chunk.get("count").asInt() == chunk.get("tokens").size(), "count of a chunk");
      for (JsonNode token : chunk.get("tokens")) {
        String text = token.asText();
        require(text.matches("[A-Za-z0-9_-]{46}"), "token " + text);
        require(tokens.add(text), "token " + text + " twice");
        leaves.add(sha256((byte) 0, text.getBytes(StandardCharsets.US_ASCII)));
      }
      serial += chunk.get("count").asInt();
    }
    int count = batch.completed.get("product_count").asInt();
    require(leaves.size() == count, id + ": " + leaves.size() + " tokens, not " + count);
    String root = HexFormat.of().formatHex(treeHash(leaves));
    for (JsonNode event : List.of(batch.root, batch.anchor, batch.completed)) {
      require(event.get("merkle_root").asText().equals(root), "the root of " + id + " is over its tokens");
    }
    checkSubtrees(id, batch, leaves);
    checkAnchor(id, batch.anchor);
    require(batch.completed.get("network").asText().equals("mock"), "network");
    require(batch.completed.get("anchor_id").equals(batch.anchor.get("anchor_id")), "anchor_id");
    require(batch.completed.get("transaction_id").equals(batch.anchor.get("transaction_id")), "transaction_id");
  }

  private void check(String bootstrap, Duration timeout, String foreign, List<String> wanted) throws IOException {
    String foreignId = foreign.split(":")[0];
    Properties properties = properties(bootstrap);
    properties.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, StringDeserializer.class.getName());
    properties.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG,
                   "org.apache.kafka.common.serialization.ByteArrayDeserializer");
    properties.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
    Instant deadline = Instant.now().plus(timeout);
    try (KafkaConsumer<String, byte[]> consumer = new KafkaConsumer<>(properties)) {
      List<TopicPartition> partitions = new ArrayList<>();
      List<String> topics = new ArrayList<>(OF_FORM);
      topics.addAll(OF_CONTENT);
      for (String topic : topics) {
        require(consumer.partitionsFor(prefix + topic).size() == 12, topic + " has 12 partitions");
        for (int p = 0; p < 12; ++p) partitions.add(new TopicPartition(prefix + topic, p));
      }
      consumer.assign(partitions);
      consumer.seekToBeginning(partitions);
      while (!isComplete(foreignId, wanted)) {
        require(Instant.now().isBefore(deadline), "in time: " + missing(wanted));
        for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofMillis(200))) take(record);
      }
      // Nothing may follow that contradicts what was seen: read on to the end of every partition.
      Map<TopicPartition, Long> ends = consumer.endOffsets(partitions);
      while (partitions.stream().anyMatch(p -> consumer.position(p) < ends.get(p))) {
        require(Instant.now().isBefore(deadline), "the end of every partition in time");
        for (ConsumerRecord<String, byte[]> record : consumer.poll(Duration.ofMillis(200))) take(record);
      }
    }
    JsonNode anchor = batches.remove(foreignId).anchor;
    checkForeign(foreign, anchor);
    checkAnchor(foreignId, anchor);
    require(batches.keySet().equals(new HashSet<>(wanted)), "no other batch than those asked for");
    require(deadLetters == 1, deadLetters + " dead letters, not 1");
    for (String id : wanted) checkBatch(id, batches.get(id));
    System.out.println(wanted.size() + " batches, an outsider's root, " + tokens.size() + " tokens, " + ids.size()
                       + " records: keys, partitions, envelopes, serials and roots are right");
  }

  private boolean isComplete(String foreignId, List<String> wanted) {
    if (deadLetters == 0) return false;
    if (!batches.containsKey(foreignId) || batches.get(foreignId).anchor == null) return false;
    for (String id : wanted) {
      Batch batch = batches.get(id);
      if (batch == null || batch.root == null || batch.anchor == null || batch.completed == null) return false;
      int count = batch.chunks.values().stream().mapToInt(chunk -> chunk.get("count").asInt()).sum();
      if (count < batch.completed.get("product_count").asInt()) return false;
    }
    return true;
  }

  private String missing(List<String> wanted) {
    int completed = 0;
    for (Batch batch : batches.values()) completed += batch.completed == null ? 0 : 1;
    return completed + " of " + wanted.size() + " batches are completed, " + deadLetters + " dead letters";
  }

  public static void main(String[] arguments) throws Exception {
    String bootstrap = arguments[1];
    String prefix = arguments[2];
    switch (arguments[0]) {
      case "request" ->
          request(bootstrap, prefix, Integer.parseInt(arguments[3]), Integer.parseInt(arguments[4]));
      case "check" ->
          new ContractClient(prefix).check(bootstrap, Duration.ofSeconds(Long.parseLong(arguments[3])),
                                           arguments[4], List.of(arguments).subList(5, arguments.length));
      default -> throw new IllegalArgumentException(arguments[0]);
    }
  }
}
