import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.UUID;
import org.apache.kafka.clients.producer.internals.BuiltInPartitioner;
import org.apache.kafka.common.utils.Utils;

/**
 * Writes what Java's default partitioner says about a few hundred keys, as
 * tests/vectors/kafka/murmur2.tsv has it: key in hex, hash, partition of 12.
 */
public final class Murmur2Table {
  private static final int PARTITIONS = 12;

  private static List<byte[]> keys() {
    List<byte[]> keys = new ArrayList<>();
    // Every length of tail, with bytes above 0x7f, which are signed in Java.
    for (int length = 0; length <= 40; ++length) {
      byte[] rising = new byte[length];
      byte[] high = new byte[length];
      for (int i = 0; i < length; ++i) {
        rising[i] = (byte) i;
        high[i] = (byte) (0xff - 7 * i);
      }
      keys.add(rising);
      keys.add(high);
    }
    for (int i = 0; i < 100; ++i) {
      String batch = UUID.nameUUIDFromBytes(("batch " + i).getBytes(StandardCharsets.UTF_8)).toString();
      keys.add(batch.getBytes(StandardCharsets.UTF_8));
      keys.add((batch + ":" + i).getBytes(StandardCharsets.UTF_8));
    }
    for (String text : new String[] {"a", "ab", "abc", "abcd", "0:mock", "11155111:0xabc", "gr\u00fc\u00dfe", "\u20ac",
                                     "\ud83d\ude00", "unparsed:0", " ", "\n"}) {
      keys.add(text.getBytes(StandardCharsets.UTF_8));
    }
    return keys;
  }

  public static void main(String[] arguments) {
    PrintStream out = new PrintStream(System.out, false, StandardCharsets.US_ASCII);
    for (byte[] key : keys()) {
      StringBuilder hex = new StringBuilder();
      for (byte b : key) hex.append(String.format("%02x", b));
      int hash = Utils.murmur2(key);
      int partition = BuiltInPartitioner.partitionForKey(key, PARTITIONS);
      out.print(hex + "\t" + Integer.toUnsignedString(hash) + "\t" + partition + "\n");
    }
    out.flush();
  }
}
