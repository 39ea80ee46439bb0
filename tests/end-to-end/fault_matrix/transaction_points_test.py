"""Cases 1, 2, 3, 7, 12, 13, 14: what may befall a Kafka transaction, at exact points of it.

A proxy reads along on the way of the one instance to the broker and acts when the request or the
answer of that point passes; the program under test knows nothing of it."""

import os
import pathlib
import shutil
import socket
import tempfile
import threading

from matrix import GREAT, GREAT_LASTS, Once, System, Work, await_true, case, kill_at

from proxy import CUT, END_TXN, INIT_PRODUCER_ID, PASS, PRODUCE, KafkaProxy, is_commit
from servers import Cluster, Postgres

# Which processors meet which point; VOKETAG_THOROUGH=1 takes each to every point.
PROCESSORS = ("ingress", "batches", "tokens", "merkle", "anchoring")
CHOSEN = {1: ("tokens",), 2: ("batches", "tokens"), 3: ("tokens", "anchoring"),
          7: ("ingress", "merkle")}


def processors_for(number):
    return PROCESSORS if os.environ.get("VOKETAG_THOROUGH") else CHOSEN[number]


def ask_for_work(work, processor):
    """Batches of which one reaches this processor."""
    return work.ask(GREAT if processor in ("tokens", "merkle") else 1500, 3)


def of(processor):
    """Each processor has one worker here, so that its transactional id is known."""
    name = f".{processor}.one.0".encode()
    return lambda piece: name in piece


def produces(processor):
    mine = of(processor)
    return lambda kind, api_key, piece: kind == "request" and api_key == PRODUCE and mine(piece)


def asks_to_commit(processor):
    mine = of(processor)
    return lambda kind, api_key, piece: (kind == "request" and is_commit(api_key, piece) and
                                         mine(piece))


def hears_of_commit(processor):
    mine = of(processor)
    return lambda kind, api_key, piece: (kind == "response" and is_commit(api_key, piece) and
                                         mine(piece))


def kill_at_points(proxy, instance, work):
    points = {1: ("kill -9 before produce", produces),
              2: ("kill -9 after flush, before commit", asks_to_commit),
              3: ("kill -9 after commit, before the state is written", hears_of_commit)}
    for number, (what, point) in points.items():
        with case(number, what):
            for processor in processors_for(number):
                once = Once(proxy, point(processor), kill_at(instance))
                asked = ask_for_work(work, processor)
                once.await_met(f"{what} in {processor}")
                instance.process.wait()
                instance.start()
                instance.await_ready()
                work.await_roots(asked)


def unknown_outcome(proxy, instance, work):
    for what, point in (("the answer to a commit is lost", hears_of_commit),
                        ("a commit is lost on its way", asks_to_commit)):
        with case(7, what):
            for processor in processors_for(7):
                once = Once(proxy, point(processor), lambda _: CUT)
                asked = ask_for_work(work, processor)
                once.await_met(f"{what}: {processor}")
                work.await_roots(asked)
                assert instance.running(), instance.log()[-2000:]


class LateCommit:
    """A watcher: the client loses the connection by which it has sent a commit of this processor,
    and goes on by another; when it has been answered there, the commit arrives after all."""

    def __init__(self, proxy, processor):
        self.mine = of(processor)
        self.asks_to_commit = asks_to_commit(processor)
        self.lock = threading.Lock()
        self.lost = None
        self.went_on = threading.Event()
        self.arrived = threading.Event()
        proxy.watcher = self

    def __call__(self, kind, api_key, piece, connection):
        with self.lock:
            is_lost = self.lost is None and self.asks_to_commit(kind, api_key, piece)
            if is_lost:
                self.lost = connection
        if is_lost:
            connection.client.shutdown(socket.SHUT_RDWR)
            if self.went_on.wait(120):
                self.arrived.set()
        elif (self.lost not in (None, connection) and kind == "response" and
              api_key in (END_TXN, INIT_PRODUCER_ID) and self.mine(piece)):
            self.went_on.set()
        return PASS


def late_commit(proxy, instance, work):
    with case(14, "a commit arrives late, by a connection that is closed"):
        for processor in processors_for(2):
            late = LateCommit(proxy, processor)
            asked = ask_for_work(work, processor)
            assert late.arrived.wait(120), f"no commit of {processor} was late"
            proxy.watcher = None
            work.await_roots(asked)
            assert instance.running(), instance.log()[-2000:]


def partition_during_work(proxy, instance, work):
    """Tokens hears that it is no member any more, or, where it was cut off within a transaction, has
    waited in vain for its end: for longer than the session."""
    with case(14, "a partition of the network under load"):
        work.await_chunks(work.ask(GREAT, *[2000] * 8))
        before = len(instance.log())
        proxy.freeze()
        noticed = (".tokens.one.0 lost 12 partitions",
                   ".tokens.one.0: the transaction came to nothing")
        await_true("tokens has noticed", lambda: any(
            text in instance.log()[before:] for text in noticed), 180)
        proxy.heal()
        work.await_done()
        assert instance.running(), instance.log()[-2000:]


def broker_bounces(broker, instance, work):
    for what, end in (("stopped", broker.stop), ("killed", broker.kill)):
        with case(12, f"the broker is {what} in the middle of batches, and comes back"):
            work.await_chunks(work.ask(GREAT, *[2000] * 12))
            end()
            broker.start().await_ready()
            work.ask(7)
            work.await_done()
            assert instance.running(), instance.log()[-2000:]


def down_at_start(system, broker, postgres_url, proxy):
    with case(13, "the broker is away when the process starts"):
        instance = system.start("one", VOKETAG_KAFKA=f"127.0.0.1:{proxy.port}",
                                VOKETAG_POSTGRES=postgres_url)
        await_true("it says what it waits for",
                   lambda: "not ready, trying again" in instance.log(), 120)
        assert instance.running() and '"message":"ready' not in instance.log()
        broker.start().await_ready()
        return instance.await_ready()


def main():
    directory = pathlib.Path(tempfile.mkdtemp(prefix="voketag-points-"))
    cluster = Cluster(directory, listeners=["ONE"])
    broker = cluster.brokers[0]
    proxy = KafkaProxy(broker.listeners["ONE"])
    broker.advertised["ONE"] = proxy.port
    postgres = Postgres()
    try:
        cluster.start()
        postgres.create()
        # Both timeouts are waited for where the network is cut or the broker is away.
        with System("points", kafka=cluster.bootstrap, postgres=postgres.url(),
                    VOKETAG_KAFKA_SESSION_TIMEOUT_MS=6000,
                    VOKETAG_KAFKA_TRANSACTION_TIMEOUT_MS=6000, VOKETAG_WORKERS=1) as system:
            broker.stop()
            instance = down_at_start(system, broker, system.postgres, proxy)
            work = Work(system)
            kill_at_points(proxy, instance, work)
            unknown_outcome(proxy, instance, work)
            late_commit(proxy, instance, work)
            assert instance.stop() == 0, instance.log()[-2000:]
            instance.environment |= GREAT_LASTS
            instance.start()
            instance.await_ready()
            partition_during_work(proxy, instance, work)
            broker_bounces(broker, instance, work)
            work.await_done()
            assert instance.stop() == 0, instance.log()[-2000:]
            print(work.audit())
    finally:
        cluster.kill()
        postgres.remove()
        proxy.close()
    shutil.rmtree(directory)


if __name__ == "__main__":
    main()
