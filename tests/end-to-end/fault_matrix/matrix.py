"""What the cases of the fault matrix share: cases by number, work to be done, and the audit."""

import contextlib
import json
import pathlib
import subprocess
import sys
import threading
import time

TESTS = pathlib.Path(__file__).resolve().parents[2]
sys.path[:0] = [str(TESTS / "end-to-end"), str(TESTS / "faults"), str(TESTS / "soak")]

# pylint: disable=wrong-import-position
import checker
from system import BINARY, GREAT, GREAT_LASTS, System, await_true, new_batch


# What processors write into, by transactions.
OUTPUTS = ("batch-accepted", "token-chunk-requested", "tokens-generated", "merkle-subtree-computed",
           "merkle-root-computed")
PARTITIONS = 12


@contextlib.contextmanager
def case(number, what):
    """Names the case (facts in README.md) and says how long it took."""
    began = time.monotonic()
    try:
        yield
    except AssertionError:
        print(f"case {number}, {what}: FAILED after {time.monotonic() - began:.1f} s")
        raise
    print(f"case {number}, {what}: {time.monotonic() - began:.1f} s")


class Work:
    """Batches that were asked for, and whether all of them, and nothing else, came to be."""

    def __init__(self, system):
        self.system = system
        self.asked = []

    def ask(self, *sizes, **fields):
        requests = [new_batch(size, **fields) for size in sizes]
        self.asked += requests
        self.system.produce("batch-requested",
                            [(r["batch_id"], json.dumps(r)) for r in requests])
        return [request["batch_id"] for request in requests]

    def await_chunks(self, batch_ids):
        """A great batch among them has been cut: now it is up to tokens and merkle."""
        with self.system.follow("token-chunk-requested") as chunks:
            chunks.await_event("a chunk is requested", lambda c: c["batch_id"] in batch_ids)

    def completed(self):
        return self.system.count(
            "SELECT count(*) FROM voketag.batches WHERE status = 'completed'")

    def done(self):
        products = sum(request["product_count"] for request in self.asked)
        return (self.completed() >= len(self.asked) and
                self.system.count("SELECT count(*) FROM voketag.products") >= products)

    def await_done(self, timeout_s=180):
        await_true("all that was asked for is done", self.done, timeout_s, 0.2)

    def await_roots(self, batch_ids, timeout_s=120):
        """As Kafka's readers see them; the views need not be there."""
        await_true("the batches have their roots", lambda: set(batch_ids) <= {
            event["batch_id"] for event in self.system.events("merkle-root-computed")},
                   timeout_s, 0.2)

    def audit(self):
        """Each input had exactly one effect, in every topic and every view."""
        findings, figures = checker.audit(
            checker.Topics(self.system.kafka, self.system.prefix), self.system.postgres,
            self.system.key, [request["batch_id"] for request in self.asked])
        assert findings.clean(), "\n".join(findings.lines())
        assert figures["batches"] == len(self.asked), figures
        return figures


def verify_state(*instances):
    """Each one's local state is what the changelogs say, by the engine's own word."""
    for instance in instances:
        done = subprocess.run([BINARY, "state", "verify", "--json"], env=instance.environment,
                              text=True, capture_output=True, timeout=300)
        assert done.returncode == 0, (instance.name, done.returncode, done.stdout[-3000:],
                                      done.stderr[-1000:])


def open_transactions(system):
    """The partitions of outputs in which a transaction has begun and not ended."""
    places = [argument for topic in OUTPUTS for partition in range(PARTITIONS)
              for argument in ("-t", f"{system.prefix}{topic}:{partition}:-1")]

    def ends(isolation):
        asked = subprocess.run(["kcat", "-Q", "-b", system.kafka, *places, "-X",
                                f"isolation.level={isolation}"],
                               text=True, check=True, capture_output=True, timeout=60)
        lines = [line.rsplit(" offset ", 1) for line in asked.stdout.splitlines()]
        return {place: int(offset) for place, offset in lines}
    stable, written = ends("read_committed"), ends("read_uncommitted")
    assert len(stable) == len(written) == len(OUTPUTS) * PARTITIONS, (stable, written)
    return {place for place in written if written[place] > stable[place]}


def freeze_in_transaction(instance, work):
    """Freezes it at work, with a transaction open that it has written to: two looks see the same
    one, so that it was not about to end."""
    work.await_chunks(work.ask(GREAT, *[3000] * 12))

    def is_frozen_in_time():
        instance.freeze()
        if open_transactions(work.system) & open_transactions(work.system):
            return True
        instance.thaw()
        return False
    await_true(f"{instance.name} is frozen in a transaction", is_frozen_in_time, 60)


class Once:
    """A watcher of a proxy (proxy.py) that acts at the first piece that `matches`, and then lets
    everything pass. `act(connection)` returns what becomes of the piece."""

    def __init__(self, proxy, matches, act):
        self.proxy = proxy
        self.matches = matches
        self.act = act
        self.lock = threading.Lock()
        self.met = threading.Event()
        proxy.watcher = self

    def __call__(self, kind, api_key, piece, connection):
        with self.lock:
            if self.met.is_set() or not self.matches(kind, api_key, piece):
                return "pass"
            self.met.set()
        return self.act(connection)

    def await_met(self, what, timeout_s=120):
        assert self.met.wait(timeout_s), f"{what} was not met within {timeout_s} s"
        self.proxy.watcher = None


def kill_at(instance):
    """For Once: kill -9, and the piece that was seen reaches nobody."""
    def act(_):
        instance.process.kill()
        return "drop"
    return act


__all__ = ["GREAT", "GREAT_LASTS", "Once", "System", "Work", "await_true", "case",
           "freeze_in_transaction", "kill_at", "new_batch", "open_transactions", "verify_state"]
