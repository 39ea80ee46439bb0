"""The cases of bench/run. Each runs our system and its peers by turns on one fresh stack."""

import itertools
import threading
import time
from dataclasses import dataclass
from pathlib import Path

from . import baselines, database, tools
from .process import MeasurementFailed
from .rebalance_case import rebalance_pause
from .replay_case import replay_products
from .report import CaseResult, percentile
from .stack import Stack
from .systems import ALL_ROLES, LOG_FOLDER, ROLES_TO_ROOT, CopyLoader, StreamsPeer, VokeTag

# Our default chunk: the bare producer writes records of this many tokens.
CHUNK_PRODUCTS = 1024
MILLION = 1_000_000
# 1 GB: for less, the broker has not yet begun to write what it was given, and seems twice as fast.
BARE_PRODUCTS = 20 * MILLION


@dataclass
class Context:
    stack: Stack
    repetitions: int
    quick: bool

    def repeat(self):
        """Numbers the repetitions, and says on the terminal where we are."""
        for repetition in range(self.repetitions):
            print(f"  repetition {repetition + 1} of {self.repetitions}", flush=True)
            yield repetition


def _alternate(repetition: int, *sides):
    """Nobody goes first always."""
    return sides if repetition % 2 == 0 else tuple(reversed(sides))


# ---------------------------------------------------------------- products to root

ROOT_SHAPES = ((2000, 1000), (20, 100_000))
# The broker is warm when its compiler took less than this share of a core over 1.5 M products.
COMPILER_SHARE_WARM = 0.1
WARM_ROUNDS_MAX = 20


def products_to_root(context: Context) -> CaseResult:
    result = CaseResult(
        "products-to-root",
        (
            "Products a second from the first batch-requested sent to the last "
            "merkle-root-computed read (read_committed), tokens published. Both systems are warm: "
            "1.5 M products go before; so is the broker: its compiler has come to rest under both."
        ),
    )
    sent = {"voketag": 0, "kafka-streams": 0}
    ours = VokeTag(context.stack, ROLES_TO_ROOT)
    ours.prepare()
    _warm_broker(context, (ours, StreamsPeer(context.stack)), sent)
    for repetition in context.repeat():
        for system in _alternate(repetition, ours, StreamsPeer(context.stack)):
            _measure_to_root(context, system, result, sent)
        _measure_bare_producer(context, result)
    for system in (ours, StreamsPeer(context.stack)):
        _verify_chunks(context, system, sent[system.name], result)
    _bound_root(result)
    return result


def _warm_broker(context: Context, systems, sent: dict) -> None:
    """A young broker spends three times the CPU on a product: its compiler works meanwhile."""
    print("  warming the broker", flush=True)
    baselines.transactional_producer(context.stack.kafka, 10 * MILLION, CHUNK_PRODUCTS)
    for system in systems:
        system.start()
        try:
            _warm_until_at_rest(context, system, sent)
        finally:
            system.stop()


def _warm_until_at_rest(context: Context, system, sent: dict) -> None:
    """Until the broker's compiler has nothing left to do for this system's kind of load."""
    for _ in range(WARM_ROUNDS_MAX):
        began, compiled = time.monotonic(), context.stack.broker_compiler_seconds()
        _warm_system(context, system, sent)
        compiled = context.stack.broker_compiler_seconds() - compiled
        if compiled < COMPILER_SHARE_WARM * (time.monotonic() - began):
            break


def _warm_system(context: Context, system, sent: dict) -> None:
    for batches, products in ((1000, 1000), (5, 100_000)):
        _send_and_await_roots(context, system, batches, products)
        sent[system.name] += batches * products


def _measure_to_root(context: Context, system, result: CaseResult, sent: dict) -> None:
    system.start()
    try:
        _warm_until_at_rest(context, system, sent)
        for batches, products in ROOT_SHAPES:
            cpu_before, broker_before = system.cpu_seconds(), context.stack.broker_cpu_seconds()
            seconds = _send_and_await_roots(context, system, batches, products)
            count = batches * products
            shape = f"{batches} x {products}"
            result.add(f"{system.name}, {shape}", "products/s", count / seconds)
            result.add(
                f"{system.name}, {shape}, own CPU",
                "us/product",
                (system.cpu_seconds() - cpu_before) / count * 1e6,
            )
            result.add(
                f"{system.name}, {shape}, broker's CPU",
                "us/product",
                (context.stack.broker_cpu_seconds() - broker_before) / count * 1e6,
            )
            sent[system.name] += count
        result.add(f"{system.name}, memory", "MiB", system.resident_max_mib())
    finally:
        system.stop()


def _send_and_await_roots(context: Context, system, batches: int, products: int) -> float:
    """Seconds from the first request to the last root; every batch must get exactly one root."""
    awaited = tools.Await(
        context.stack.kafka, system.root_topic, records=batches, field="product_count"
    )
    request = tools.request_batches(context.stack.kafka, system.request_topic, batches, products)
    roots = awaited.result()
    if roots.distinct_keys != batches or roots.total != batches * products:
        raise MeasurementFailed(f"{system.name}: {batches} batches of {products} gave {roots}")
    return (roots.last_ns - request["first_sent_ns"]) / 1e9


def _measure_bare_producer(context: Context, result: CaseResult) -> None:
    for producers in (1, 2):
        bare = baselines.transactional_producer(
            context.stack.kafka, BARE_PRODUCTS, CHUNK_PRODUCTS, producers
        )
        name = f"bare transactional producer x {producers}"
        result.add(name, "products/s", bare["products_per_second"])
        result.add(f"{name}, bytes", "MB/s", bare["megabytes_per_second"])
    tools.delete_topics(context.stack.kafka, "baseline.")


def _verify_chunks(context: Context, system, products: int, result: CaseResult) -> None:
    chunks = tools.Await(
        context.stack.kafka, system.chunk_topic, field="count", total=products, from_beginning=True
    ).result()
    if chunks.total != products or chunks.distinct_keys != chunks.records:
        raise MeasurementFailed(f"{system.name} published {chunks} for {products} products")
    result.notes.append(
        f"{system.name}: {chunks.records:,} chunks with {chunks.total:,} tokens, each once, "
        f"{chunks.value_bytes / chunks.total:.1f} bytes a product."
    )


def _bound_root(result: CaseResult) -> None:
    for batches, products in ROOT_SHAPES:
        shape = f"{batches} x {products}"
        result.ratio(
            f"to the bare producer, {shape}",
            f"voketag, {shape}",
            "bare transactional producer x 1",
            at_least=0.45,
        )
        result.ratio(
            f"to Kafka Streams, {shape}",
            f"voketag, {shape}",
            f"kafka-streams, {shape}",
            at_least=2.0,
        )
    result.ratio(
        "memory to Kafka Streams", "voketag, memory", "kafka-streams, memory", at_most=1 / 3
    )


# ---------------------------------------------------------------- products to PostgreSQL

ROW_SHAPES = ((1000, 1000), (1, MILLION))


def products_to_postgres(context: Context) -> CaseResult:
    result = CaseResult(
        "products-to-postgres",
        (
            "Rows a second from the first batch-requested sent to the last row visible in "
            "voketag.products (primary key on product_id, no other index), against psql \\copy "
            "(text) of the same rows into the same empty table, and Kafka Streams with a JDBC COPY "
            "(binary) loader. All on one server; a checkpoint goes before each."
        ),
    )
    ours = VokeTag(context.stack, ALL_ROLES)
    ours.prepare()
    folder = LOG_FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    ddl, rows = folder / "schema.sql", folder / "rows.txt"
    database.dump_schema(context.stack.postgres, ddl)
    peer_url = database.create_copy(context.stack.postgres, "bench_peer", ddl)
    copy_url = database.create_copy(context.stack.postgres, "bench_copy", ddl)
    for repetition in context.repeat():

        def run_ours():
            _measure_rows(
                context,
                result,
                ours,
                [ours],
                context.stack.postgres,
                lambda shape: _measure_psql_copy(
                    result, shape, context.stack.postgres, copy_url, ddl, rows
                ),
            )

        def run_peer():
            streams = StreamsPeer(context.stack, f"peer{repetition}.")
            loader = CopyLoader(context.stack, streams.chunk_topic, peer_url)
            _measure_rows(context, result, streams, [streams, loader], peer_url, lambda shape: None)
            tools.delete_topics(context.stack.kafka, f"peer{repetition}.")

        for run in _alternate(repetition, run_ours, run_peer):
            run()
    rows.unlink(missing_ok=True)
    for batches, products in ROW_SHAPES:
        shape = f"{batches} x {products}"
        result.ratio(
            f"to psql \\copy, {shape}", f"voketag, {shape}", f"psql \\copy, {shape}", at_least=0.7
        )
        result.ratio(
            f"to Kafka Streams and JDBC, {shape}",
            f"voketag, {shape}",
            f"kafka-streams, {shape}",
            at_least=1.3,
        )
    return result


def _measure_rows(
    context: Context, result: CaseResult, system, parts: list, url: str, after_shape
) -> None:
    session = database.Session(url)
    awaited = database.RowsAwaited(session)
    for part in parts:
        part.start()
    try:
        database.empty_products(session)
        tools.request_batches(context.stack.kafka, system.request_topic, 300, 1000)
        awaited.await_rows(300_000, 120)
        awaited.calibrate()
        for batches, products in ROW_SHAPES:
            database.empty_products(session)
            request = tools.request_batches(
                context.stack.kafka, system.request_topic, batches, products
            )
            visible_ns = awaited.await_rows(batches * products, 180)
            shape = f"{batches} x {products}"
            result.add(
                f"{system.name}, {shape}",
                "products/s",
                batches * products / (visible_ns - request["first_sent_ns"]) * 1e9,
            )
            after_shape(shape)
        result.add(f"{system.name}, memory", "MiB", system.resident_max_mib())
    finally:
        for part in reversed(parts):
            part.stop()
        session.close()


def _measure_psql_copy(
    result: CaseResult, shape: str, url: str, copy_url: str, ddl: Path, rows: Path
) -> None:
    baselines.export_rows(url, rows)
    result.add(
        f"psql \\copy, {shape}",
        "products/s",
        baselines.psql_copy(copy_url, ddl, rows)["rows_per_second"],
    )


# ---------------------------------------------------------------- latency


def latency_idle(context: Context) -> CaseResult:
    result = CaseResult(
        "latency-idle",
        (
            "A batch of 1,000 from batch-requested sent to batch-completed read, one at a time, "
            "mock chain with block time 0; beside it six bare transactional hops and one bare hop "
            "without a transaction."
        ),
    )
    ours = VokeTag(context.stack, ALL_ROLES)
    ours.prepare()
    for _ in context.repeat():
        ours.start()
        try:
            _measure_latencies(context, ours, result, "voketag", 20 if context.quick else 60)
        finally:
            ours.stop()
        _measure_hops(context, result, 60)
        bare = baselines.plain_hop(context.stack.kafka, 1000)
        for name in ("p50", "p95", "p99"):
            result.add(f"one bare hop, {name}", "ms", bare[f"{name}_ms"])
    result.within("voketag, p95", at_most=300)
    return result


def latency_loaded(context: Context) -> CaseResult:
    result = CaseResult(
        "latency-loaded",
        (
            "The same while batches of 1,000,000 are in flight, one after another; the bare hops "
            "run beside the same load."
        ),
    )
    ours = VokeTag(context.stack, ALL_ROLES)
    ours.prepare()
    for _ in context.repeat():
        ours.start()
        try:
            _warm(context, ours)
            with _LargeBatches(context, ours):
                _measure_latencies(context, ours, result, "voketag", 40)
            with _LargeBatches(context, ours):
                _measure_hops(context, result, 40)
        finally:
            ours.stop()
    result.within("voketag, p95", at_most=700)
    return result


def _warm(context: Context, system) -> None:
    tools.batch_latencies_ms(context.stack.kafka, system.request_topic, system.completed_topic, 10)


def _measure_latencies(
    context: Context, system, result: CaseResult, name: str, batches: int
) -> None:
    _warm(context, system)
    latencies = tools.batch_latencies_ms(
        context.stack.kafka, system.request_topic, system.completed_topic, batches
    )
    for label, share in (("p50", 0.5), ("p95", 0.95)):
        result.add(f"{name}, {label}", "ms", percentile(latencies, share))


def _measure_hops(context: Context, result: CaseResult, messages: int) -> None:
    hops = baselines.transactional_hops(context.stack.kafka, messages)
    for name in ("p50", "p95"):
        result.add(f"six bare transactional hops, {name}", "ms", hops[f"{name}_ms"])


class _LargeBatches:
    """Keeps batches of a million in flight for as long as the with-block lasts."""

    def __init__(self, context: Context, system):
        self._context = context
        self._system = system
        self._extra = itertools.count(1)
        self._stop = False
        self._failure: Exception | None = None

    def __enter__(self):
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), daemon=True)
        self._thread.start()
        started.wait(30)
        return self

    def _run(self, started) -> None:
        try:
            waiting = [self._request()]
            while not self._stop:
                waiting.append(self._request())
                started.set()
                waiting.pop(0).result()
            for awaited in waiting:
                awaited.result()
        except MeasurementFailed as failure:
            self._failure = failure
            started.set()

    def _request(self) -> tools.Await:
        # Each has a size of its own, by which its root is told from the others on the same topic.
        kafka, products = self._context.stack.kafka, MILLION + next(self._extra)
        awaited = tools.Await(
            kafka, self._system.root_topic, records=1, field="product_count", equals=products
        )
        tools.request_batches(kafka, self._system.request_topic, 1, products)
        return awaited

    def __exit__(self, *_):
        self._stop = True
        self._thread.join(180)
        if self._failure:
            raise self._failure


# ---------------------------------------------------------------- memory


def memory(context: Context) -> CaseResult:
    result = CaseResult(
        "memory",
        (
            "The largest resident set of `voketag run` with all roles over 1 x 1,000,000, 1,000 x "
            "1,000 and 20,000 x 10, rows written."
        ),
    )
    ours = VokeTag(context.stack, ALL_ROLES)
    ours.prepare()
    for _ in context.repeat():
        ours.start()
        try:
            for batches, products in ((1, MILLION), (1000, 1000), (20_000, 10)):
                _send_and_await_roots(context, ours, batches, products)
                result.add(f"voketag, after {batches} x {products}", "MiB", ours.resident_max_mib())
            _await_completed(context, ours, 100)
            result.add("voketag, largest", "MiB", ours.resident_max_mib())
        finally:
            ours.stop()
    result.within("voketag, largest", at_most=400)
    return result


def _await_completed(context: Context, system, batches: int) -> None:
    """Batches of a size that no others have: those before them may still be on their way."""
    completed = tools.Await(
        context.stack.kafka,
        system.completed_topic,
        records=batches,
        field="product_count",
        equals=11,
    )
    tools.request_batches(context.stack.kafka, system.request_topic, batches, 11)
    completed.result()


# ---------------------------------------------------------------- restart

# Each leaves three keys: its content with the batches processor, its chunk, and its root.
RESTART_BATCHES = 1_680_000
KEYS_PER_BATCH = 3


def restart(context: Context) -> CaseResult:
    """Ready is what the process says; output is the root of a batch that waited for it."""
    result = CaseResult(
        "restart",
        (
            "After kill -9: from the start of the process to the root of a batch that waited for "
            "it, with the state directory intact and with it gone."
        ),
    )
    batches = RESTART_BATCHES // 10 if context.quick else RESTART_BATCHES
    ours = VokeTag(context.stack, ROLES_TO_ROOT)
    ours.prepare()
    ours.start()
    try:
        for _ in range(batches // 20_000):
            _send_and_await_roots(context, ours, 20_000, 1)
    except BaseException:
        ours.stop()
        raise
    for _ in context.repeat():
        ours.process.kill()
        _measure_restart(context, ours, result, "state directory intact")
        ours.process.kill()
        ours.erase_state()
        _measure_restart(context, ours, result, "state directory gone")
    ours.stop()
    result.notes.append(
        f"{batches:,} batches of one product had been through the state: "
        f"{KEYS_PER_BATCH * batches:,} keys."
    )
    result.within("state directory intact, ready", at_most=1)
    result.within("state directory gone, ready", at_most=30)
    return result


def _measure_restart(context: Context, ours: VokeTag, result: CaseResult, name: str) -> None:
    """The process is dead. A batch waits for it, so that both readiness and output are seen."""
    awaited = tools.Await(context.stack.kafka, ours.root_topic, records=1)
    tools.request_batches(context.stack.kafka, ours.request_topic, 1, 1)
    ours.start(await_ready=False)
    result.add(f"{name}, ready", "s", ours.await_ready())
    output_s = (awaited.result().last_ns - ours.process.started_ns) / 1e9
    result.add(f"{name}, first output", "s", output_s)


# ---------------------------------------------------------------- take-over


def takeover(context: Context) -> CaseResult:
    """120 batches asked for after the kill touch every partition of every processor."""
    result = CaseResult(
        "takeover",
        (
            "Two instances, one is ended with kill -9 under load: from then to the root of the "
            "last of 120 batches asked for at that moment, when every partition of the dead "
            "instance has given output again."
        ),
    )
    names = (f"bench-{number}" for number in itertools.count(2))
    for session_ms, bound_s in ((6000, 9), (2000, 4)):
        settings = {"VOKETAG_KAFKA_SESSION_TIMEOUT_MS": str(session_ms)}
        survivor = VokeTag(context.stack, ROLES_TO_ROOT, "bench-1", settings)
        survivor.prepare()
        survivor.start()
        measure = f"take-over, session timeout {session_ms} ms"
        try:
            for _ in context.repeat():
                victim = VokeTag(context.stack, ROLES_TO_ROOT, next(names), settings)
                result.add(measure, "s", _takeover_seconds(context, survivor, victim))
        finally:
            survivor.stop()
        result.within(measure, at_most=bound_s)
    return result


def _takeover_seconds(context: Context, survivor: VokeTag, victim: VokeTag) -> float:
    victim.start()
    try:
        # Until the newcomer works: half of a load of this size would otherwise be missing.
        deadline = time.monotonic() + 60
        while victim.cpu_seconds() < 1.0 and time.monotonic() < deadline:
            _send_and_await_roots(context, survivor, 100, 1000)
    except BaseException:
        victim.stop()
        raise
    tools.request_batches(context.stack.kafka, survivor.request_topic, 200, 1000)
    awaited = tools.Await(
        context.stack.kafka, survivor.root_topic, records=120, field="product_count", equals=1001
    )
    killed_ns = victim.process.kill()
    tools.request_batches(context.stack.kafka, survivor.request_topic, 120, 1001)
    return (awaited.result().last_ns - killed_ns) / 1e9


# ---------------------------------------------------------------- take-over of much state


def takeover_of_state(context: Context) -> CaseResult:
    """The survivor of one round is the victim of the next, so that the state is made only once."""
    result = CaseResult(
        "takeover-of-state",
        (
            "The owner of much state shares it with a newcomer, and is ended with kill -9 at rest: "
            "from the moment at which the newcomer is assigned the rest of the partitions to the "
            "root of the last of 120 batches, when all of them have given output. With standbys it "
            "has followed them before; without it reads their changelogs then."
        ),
    )
    batches = RESTART_BATCHES // 10 if context.quick else RESTART_BATCHES
    names = (f"bench-{number}" for number in itertools.count(1))
    owner = VokeTag(context.stack, ROLES_TO_ROOT, next(names), TAKEOVER_SETTINGS)
    owner.prepare()
    owner.start()
    try:
        for _ in range(batches // 20_000):
            _send_and_await_roots(context, owner, 20_000, 1)
        for repetition in context.repeat():
            for standbys in _alternate(repetition, "on", "off"):
                settings = {**TAKEOVER_SETTINGS, "VOKETAG_STANDBYS": standbys}
                heir = VokeTag(context.stack, ROLES_TO_ROOT, next(names), settings)
                victim, owner = owner, heir
                _measure_takeover_of_state(context, heir, victim, result, f"standbys {standbys}")
                victim.erase_state()
    finally:
        owner.stop()
    result.notes.append(
        f"{batches:,} batches of one product had been through the state: "
        f"{KEYS_PER_BATCH * batches:,} keys, half of which come over."
    )
    result.ratio(
        "with standbys to without, to output", "standbys on, output", "standbys off, output",
        at_most=0.5,
    )
    return result


# A short session, since its timeout is not what is measured.
TAKEOVER_SETTINGS = {"VOKETAG_KAFKA_SESSION_TIMEOUT_MS": "2000"}


def _measure_takeover_of_state(
    context: Context, heir: VokeTag, victim: VokeTag, result: CaseResult, name: str
) -> None:
    try:
        heir.start()
        if name == "standbys on":
            heir.process.await_line("the standby follows", 180)
        awaited = tools.Await(context.stack.kafka, heir.root_topic, records=120)
        restored_before = len(heir.restores())
    finally:
        victim.process.kill()
    tools.request_batches(context.stack.kafka, heir.request_topic, 120, 1)
    last_ns = awaited.result().last_ns
    taken_over = heir.restores()[restored_before:]
    began_ns = min(restore.began_ns for restore in taken_over)
    result.add(f"{name}, output", "s", (last_ns - began_ns) / 1e9)
    result.add(f"{name}, records", "records", sum(restore.records for restore in taken_over))


CASES = {
    "products-to-root": products_to_root,
    "products-to-postgres": products_to_postgres,
    "latency-idle": latency_idle,
    "latency-loaded": latency_loaded,
    "memory": memory,
    "restart": restart,
    "takeover": takeover,
    "rebalance-pause": rebalance_pause,
    "takeover-of-state": takeover_of_state,
    "replay-products": replay_products,
}
