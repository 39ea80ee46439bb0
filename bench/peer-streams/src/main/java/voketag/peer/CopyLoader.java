package voketag.peer;

import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;
import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Properties;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.atomic.AtomicLong;
import org.apache.kafka.clients.consumer.ConsumerConfig;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.ConsumerRecords;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;
import org.postgresql.PGConnection;
import org.postgresql.copy.CopyIn;

/**
 * Loads chunk records into PostgreSQL exactly once: the rows by binary COPY and the next offset of
 * each partition in the same SQL transaction. Several threads share the partitions, each with a
 * consumer and a connection of its own.
 */
public final class CopyLoader {
  private static final Map<String, String> DEFAULTS = Map.ofEntries(
      Map.entry("bootstrap", "127.0.0.1:9092"), Map.entry("topic", "peer.tokens-generated"),
      Map.entry("partitions", "12"), Map.entry("jdbc", "jdbc:postgresql://127.0.0.1:5432/voketag"),
      Map.entry("user", "voketag"), Map.entry("schema", "voketag"), Map.entry("status", "active"),
      Map.entry("threads", "2"), Map.entry("rows-per-transaction", "100000"),
      Map.entry("linger-ms", "50"), Map.entry("synchronous-commit", "off"),
      Map.entry("expect-rows", "0"), Map.entry("result", ""));
  private static final String COPY =
      "COPY products (product_id, batch_id, serial, token, status) FROM STDIN (FORMAT binary)";
  private static final int BUFFER_BYTES = 1 << 20;

  private final Settings settings;
  private final AtomicLong firstRecordNs = new AtomicLong();
  private final AtomicLong lastCommitNs = new AtomicLong();
  private final AtomicLong committedRows = new AtomicLong();
  private final CountDownLatch done = new CountDownLatch(1);

  private CopyLoader(Settings settings) {
    this.settings = settings;
  }

  public static void main(String[] arguments) throws Exception {
    new CopyLoader(Settings.parse(arguments, DEFAULTS)).run();
  }

  private void run() throws Exception {
    createOffsetTable();
    int threads = settings.number("threads");
    for (int i = 0; i < threads; i++) {
      int number = i;
      Thread thread = new Thread(() -> {
        try {
          new Worker(number, threads).load();
        } catch (SQLException e) {
          e.printStackTrace();
          System.exit(1);
        }
      }, "loader-" + i);
      thread.setDaemon(true);
      thread.start();
    }
    System.out.println("running");
    done.await();
    double seconds = (lastCommitNs.get() - firstRecordNs.get()) / 1e9;
    Measurement.report("jdbc-copy", 0, committedRows.get(), seconds, settings.text("result"));
  }

  private Connection connect() throws SQLException {
    Properties properties = new Properties();
    properties.put("user", settings.text("user"));
    String password = System.getenv("PGPASSWORD");
    if (password != null) {
      properties.put("password", password);
    }
    properties.put("currentSchema", settings.text("schema"));
    Connection connection = DriverManager.getConnection(settings.text("jdbc"), properties);
    try (Statement statement = connection.createStatement()) {
      statement.execute("SET synchronous_commit = " + settings.text("synchronous-commit"));
    }
    connection.setAutoCommit(false);
    return connection;
  }

  private void createOffsetTable() throws SQLException {
    try (Connection connection = connect(); Statement statement = connection.createStatement()) {
      statement.execute(
          "CREATE TABLE IF NOT EXISTS loader_offsets"
              + " (topic text, partition int, next_offset bigint NOT NULL,"
          + " PRIMARY KEY (topic, partition))");
      connection.commit();
    }
  }

  private void committed(long rows, long atNs) {
    lastCommitNs.accumulateAndGet(atNs, Math::max);
    long expected = settings.number("expect-rows");
    if (committedRows.addAndGet(rows) >= expected && expected > 0) {
      done.countDown();
    }
  }

  /** One thread's share: the partitions whose number modulo the threads is its own. */
  private final class Worker {
    private final Connection connection = connect();
    private final CopyRows rows = new CopyRows(BUFFER_BYTES, settings.text("status"));
    private final KafkaConsumer<byte[], byte[]> consumer =
        new KafkaConsumer<>(consumerProperties());
    private final Map<Integer, Long> nextOffsets = new HashMap<>();
    private CopyIn copy;
    private long pendingRows;
    private long pendingSinceNs;

    Worker(int number, int threads) throws SQLException {
      List<TopicPartition> partitions = new ArrayList<>();
      for (int partition = number; partition < settings.number("partitions");
           partition += threads) {
        partitions.add(new TopicPartition(settings.text("topic"), partition));
      }
      consumer.assign(partitions);
      for (TopicPartition partition : partitions) {
        consumer.seek(partition, storedOffset(partition));
      }
      connection.commit();
    }

    private Properties consumerProperties() {
      Properties result = new Properties();
      result.put(ConsumerConfig.BOOTSTRAP_SERVERS_CONFIG, settings.text("bootstrap"));
      result.put(ConsumerConfig.KEY_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
      result.put(ConsumerConfig.VALUE_DESERIALIZER_CLASS_CONFIG, ByteArrayDeserializer.class);
      result.put(ConsumerConfig.ISOLATION_LEVEL_CONFIG, "read_committed");
      result.put(ConsumerConfig.ENABLE_AUTO_COMMIT_CONFIG, false);
      result.put(ConsumerConfig.MAX_POLL_RECORDS_CONFIG, 50);
      result.put(ConsumerConfig.CHECK_CRCS_CONFIG, false);
      result.put(ConsumerConfig.FETCH_MAX_BYTES_CONFIG, 8 << 20);
      result.put(ConsumerConfig.RECEIVE_BUFFER_CONFIG, 1 << 20);
      return result;
    }

    private long storedOffset(TopicPartition partition) throws SQLException {
      try (PreparedStatement query = connection.prepareStatement(
               "SELECT next_offset FROM loader_offsets WHERE topic = ? AND partition = ?")) {
        query.setString(1, partition.topic());
        query.setInt(2, partition.partition());
        try (ResultSet result = query.executeQuery()) {
          return result.next() ? result.getLong(1) : 0;
        }
      }
    }

    void load() throws SQLException {
      long lingerNs = settings.number("linger-ms") * 1_000_000L;
      while (true) {
        ConsumerRecords<byte[], byte[]> records =
            consumer.poll(Duration.ofMillis(pendingRows > 0 ? 5 : 100));
        for (ConsumerRecord<byte[], byte[]> record : records) {
          add(record);
        }
        send();
        boolean lingered =
            pendingRows > 0 && records.isEmpty() && System.nanoTime() - pendingSinceNs > lingerNs;
        if (pendingRows >= settings.number("rows-per-transaction") || lingered) {
          commit();
        }
      }
    }

    private void add(ConsumerRecord<byte[], byte[]> record) throws SQLException {
      if (copy == null) {
        firstRecordNs.compareAndSet(0, System.nanoTime());
        copy = connection.unwrap(PGConnection.class).getCopyAPI().copyIn(COPY);
        copy.writeToCopy(CopyRows.HEADER, 0, CopyRows.HEADER.length);
        pendingSinceNs = System.nanoTime();
      }
      pendingRows += rows.append(record.value());
      nextOffsets.put(record.partition(), record.offset() + 1);
      if (rows.used() > BUFFER_BYTES / 2) {
        send();
      }
    }

    /**
     * Hands what is ready to the server, which inserts it while the next records are fetched and
     * parsed.
     */
    private void send() throws SQLException {
      if (rows.used() > 0) {
        copy.writeToCopy(rows.buffer(), 0, rows.used());
        copy.flushCopy();
        rows.clear();
      }
    }

    private void commit() throws SQLException {
      copy.writeToCopy(CopyRows.TRAILER, 0, CopyRows.TRAILER.length);
      copy.endCopy();
      copy = null;
      try (PreparedStatement upsert = connection.prepareStatement(
               "INSERT INTO loader_offsets VALUES (?, ?, ?) ON CONFLICT (topic, partition)"
               + " DO UPDATE SET next_offset = excluded.next_offset")) {
        for (Map.Entry<Integer, Long> entry : nextOffsets.entrySet()) {
          upsert.setString(1, settings.text("topic"));
          upsert.setInt(2, entry.getKey());
          upsert.setLong(3, entry.getValue());
          upsert.addBatch();
        }
        upsert.executeBatch();
      }
      connection.commit();
      long rowsNow = pendingRows;
      pendingRows = 0;
      nextOffsets.clear();
      committed(rowsNow, System.nanoTime());
    }
  }
}
