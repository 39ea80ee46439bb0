package voketag.peer;

import java.util.concurrent.atomic.AtomicLong;

/** When the first request was seen and how many were refused, over all stream threads. */
final class RunClock {
  private final AtomicLong firstRequestNs = new AtomicLong();
  private final AtomicLong refused = new AtomicLong();

  void requestSeen() {
    if (firstRequestNs.get() == 0) {
      firstRequestNs.compareAndSet(0, System.nanoTime());
    }
  }

  void requestRefused() {
    refused.incrementAndGet();
  }

  long firstRequestNs() {
    return firstRequestNs.get();
  }

  long refused() {
    return refused.get();
  }
}
