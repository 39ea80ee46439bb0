package voketag.peer;

import java.io.IOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Locale;

/** What one run cost, printed and written as JSON. */
final class Measurement {
  private Measurement() {}

  static void report(String name, long batches, long products, double seconds, String file)
      throws IOException {
    String json = String.format(Locale.ROOT,
        "{\"peer\":\"%s\",\"batches\":%d,\"products\":%d,\"seconds\":%.3f,"
                + "\"products_per_second\":%.0f,"
            + "\"cpu_seconds\":%.2f,\"resident_max_bytes\":%d}%n",
        name, batches, products, seconds, products / seconds, cpuSeconds(), residentMaxBytes());
    System.out.print(json);
    if (!file.isEmpty()) {
      Files.writeString(Path.of(file), json);
    }
  }

  /** CPU time of this process, all threads, with the JVM's own. */
  static double cpuSeconds() {
    var system =
        (com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean();
    return system.getProcessCpuTime() / 1e9;
  }

  private static long residentMaxBytes() throws IOException {
    for (String line : Files.readAllLines(Path.of("/proc/self/status"))) {
      if (line.startsWith("VmHWM:")) {
        return Long.parseLong(line.replaceAll("[^0-9]", "")) * 1024;
      }
    }
    return 0;
  }
}
