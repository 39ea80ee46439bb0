"""Views are rebuilt and swapped while batches come and readers read, whatever is killed."""

import json
import pathlib
import signal
import subprocess
import sys
import threading
import time
import urllib.parse

sys.path.append(str(pathlib.Path(__file__).resolve().parents[1] / "faults"))

# pylint: disable=wrong-import-position
from audit import audit_batches
from proxy import DROP, PASS, Watched
from system import BINARY, GREAT, System, await_true, new_batch

VIEWS = ("products", "batches", "anchors", "merkle_subtrees")
LARGE = 600_000
# What a busy machine may add to any wait that is measured here.
SLACK_S = 5


class Feed(threading.Thread):
    """Asks for batches, a few at a time, until it is told to stop."""

    def __init__(self, system):
        super().__init__()
        self.system = system
        self.requests = []
        self.stopped = threading.Event()
        self.start()

    def run(self):
        while not self.stopped.is_set():
            batches = [new_batch(1 + 500 * i) for i in range(4)]
            if not self.requests:
                batches[0] = new_batch(GREAT)  # only such a one has rows in merkle_subtrees
            self.requests += batches
            self.system.produce("batch-requested",
                                [(b["batch_id"], json.dumps(b)) for b in batches])
            self.stopped.wait(0.2)

    def stop(self):
        self.stopped.set()
        self.join()
        return self.requests


class Session:
    """One connection to PostgreSQL, by psql; statements one after the other."""

    def __init__(self, system):
        self.process = subprocess.Popen(
            ["psql", system.postgres, "-X", "-A", "-t", "-q", "-F", " ", "-v", "ON_ERROR_STOP=1"],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)

    def ask(self, sql):
        self.process.stdin.write(sql + ";\n\\echo END\n")
        self.process.stdin.flush()
        lines = []
        while True:
            line = self.process.stdout.readline()
            assert line, f"psql ended: {lines}"
            if line == "END\n":
                return lines
            lines.append(line.rstrip("\n"))

    def close(self):
        self.process.stdin.close()
        self.process.wait(30)


class Reader(threading.Thread):
    """Reads all views again and again. A view only grows, and a chunk's rows come together: who saw
    the tables of two generations, or one before it was complete, would see less, or halves."""

    PRODUCTS = ("SELECT count(*), coalesce(min(tableoid::bigint), 0), "
                "coalesce(max(tableoid::bigint), 0) FROM voketag.products")
    COUNTS = ("(SELECT count(*) FROM voketag.batches), (SELECT count(*) FROM voketag.anchors), "
              "(SELECT count(*) FROM voketag.merkle_subtrees)")
    OTHERS = f"SELECT {COUNTS}"
    # A transaction that keeps its snapshot has to name a view in its first statement: whose first
    # statement runs at a swap, and reads the view later, may miss rows (docs/decisions/0012).
    ALL = PRODUCTS.replace(" FROM voketag.products", f", {COUNTS} FROM voketag.products")

    def __init__(self, system, isolation):
        super().__init__()
        self.session = Session(system)
        self.isolation = isolation
        self.stopped = threading.Event()
        self.reads = 0
        self.tables = set()
        self.slowest_s = 0.0
        self.trouble = None
        self.start()

    def run(self):
        try:
            self.read_on()
        except Exception as error:  # pylint: disable=broad-except
            self.trouble = error

    def read_on(self):
        last = [0, 0, 0, 0]
        while not self.stopped.is_set():
            self.session.ask(f"BEGIN ISOLATION LEVEL {self.isolation}")
            began = time.monotonic()
            keeps_snapshot = self.isolation == "REPEATABLE READ"
            first = self.session.ask(self.ALL if keeps_snapshot else self.PRODUCTS)[0].split()
            others = self.session.ask(self.OTHERS)[0].split()
            again = self.session.ask(self.PRODUCTS)[0].split()
            self.slowest_s = max(self.slowest_s, time.monotonic() - began)
            self.session.ask("COMMIT")
            self.stopped.wait(0.05)  # Readers that never pause starve a swap (docs/replay.md).
            assert again[1] == again[2], "rows of two tables"
            if keeps_snapshot:
                assert first == again + others, (
                    f"one transaction saw {first} and then {again + others}")
            now = [int(again[0]), *map(int, others)]
            assert all(a >= b for a, b in zip(now, last)), (
                f"{last} rows, and then {now}, by {self.isolation}")
            assert int(again[0]) >= int(first[0])
            last = now
            self.tables.add(again[2])
            self.reads += 1
            # A swap needs a moment without old snapshots.
            self.stopped.wait(0.1 if keeps_snapshot else 0)

    def stop(self):
        self.stopped.set()
        self.join()
        self.session.close()
        assert self.trouble is None, self.trouble
        return self.reads


def replay(system, view, *arguments, check=True):
    """The result of a replay, as its JSON tells."""
    done = system.command("replay", "--view", view, "--json", *arguments, check=False)
    result = json.loads(done.stdout.splitlines()[-1])
    if check:
        assert done.returncode == 0, (done.stdout, done.stderr)
    return result


def start_replay(system, view, *arguments, postgres=None):
    environment = system.environment | {"VOKETAG_POSTGRES": postgres or system.postgres}
    return subprocess.Popen([BINARY, "replay", "--view", view, *arguments], env=environment,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


class SwapProxy(Watched):
    """Between a replay and PostgreSQL; asks its watcher about the COMMIT of the swap of products,
    which is the one on the connection that has renamed the live table."""

    def __init__(self, target_port):
        self.swapping = None
        super().__init__(target_port)

    def watch(self, connection, piece, from_client):
        if b"ALTER TABLE voketag.products RENAME TO products_g" in piece:
            self.swapping = connection
        if connection is not self.swapping or b"COMMIT\x00" not in piece:
            return PASS
        return self.watcher("request" if from_client else "response")


def live_generation(system, view):
    return system.count(f"SELECT voketag.live_generation('{view}')")


def await_rows(system, requests):
    count = len(requests)
    await_true("every batch is completed", lambda: system.count(
        "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") >= count, 180, 0.5)
    products = sum(request["product_count"] for request in requests)
    await_true("every product has its row", lambda: system.count(
        "SELECT count(*) FROM voketag.products") >= products, 60, 0.5)
    return products


def check_under_traffic(system):
    """Swaps of every view while rows come and are read."""
    feed = Feed(system)
    await_true("there are rows in every view", lambda: all(system.count(
        f"SELECT count(*) FROM voketag.{view}") > 0 for view in VIEWS), 60)
    readers = [Reader(system, "READ COMMITTED"), Reader(system, "REPEATABLE READ")]
    swaps = 0
    lock_timeout_s = 2
    deadline = time.monotonic() + 600
    while swaps < 6 and time.monotonic() < deadline:
        view = VIEWS[swaps % len(VIEWS)]
        # Readers that come in close order may hold a view for longer than a swap waits.
        unfinished = "--resume" if json.loads(system.command(
            "replay", "--view", view, "--status", "--json").stdout)["unfinished"] else None
        result = replay(system, view, "--lock-timeout-ms", str(lock_timeout_s * 1000),
                        *([unfinished] if unfinished else []), check=False)
        assert result.get("result") in ("swapped", "not_swapped"), result
        assert result["comparison"] and all(
            table["equal"] and table["live_rows"] > 0 for table in result["comparison"]), result
        swaps += result["result"] == "swapped"
    requests = feed.stop()
    reads = [reader.stop() for reader in readers]
    assert swaps >= 6, f"only {swaps} swaps"
    assert min(reads) > 10, reads
    assert len(readers[0].tables) > 1, "no reader saw a second generation"
    # A read is three statements, each of which may meet a swap.
    slowest_s = max(reader.slowest_s for reader in readers)
    assert slowest_s < lock_timeout_s + SLACK_S, f"a read took {slowest_s:.2f} s"
    products = await_rows(system, requests)
    print(f"{swaps} swaps under {len(requests)} batches ({products} products), {sum(reads)} reads "
          f"of both isolation levels; the slowest read took {slowest_s:.2f} s")
    return requests


def loaded(system, view):
    """Offsets that the unfinished generation has passed; 0 where there is none."""
    return system.count(
        "SELECT coalesce(sum(next_offset - first_offset), 0) FROM voketag.projection_positions "
        "JOIN voketag.projection_generations USING (projection, generation) "
        f"WHERE projection = '{view}' AND state = 'building'")


def killed_while_loading(system):
    """Kills a replay once a part is loaded: (offsets it has passed, all of them), or None where it
    had passed them all before; that one is dropped."""
    process = start_replay(system, "products")
    await_true("a part is loaded", lambda: loaded(system, "products") > 0, 60, 0.01)
    process.kill()
    process.wait()
    at = loaded(system, "products")
    phase = system.rows("SELECT phase FROM voketag.projection_generations "
                        "WHERE state = 'building'")[0][0]
    total = system.count("SELECT sum(next_offset) FROM voketag.projection_positions WHERE "
                         "projection = 'products' AND generation = "
                         "voketag.live_generation('products')")
    if phase == "loading" and at < total:
        return at, total
    system.command("replay", "--view", "products", "--abort")
    return None


def check_kill_while_loading(system):
    """kill -9 in the middle of the load, twice; what was committed is not read again."""
    at, total = await_true("a replay is killed while it loads",
                           lambda: killed_while_loading(system), 180)
    second = replay(system, "products", check=False)
    assert "is unfinished" in second["message"] and "--resume" in second["message"], second

    # Paused and gone on with, on its way.
    process = start_replay(system, "products", "--resume")
    await_true("it is at work", lambda: json.loads(system.command(
        "replay", "--view", "products", "--status", "--json").stdout)["unfinished"]["at_work"], 30)
    # It must not end before it has been asked.
    process.send_signal(signal.SIGSTOP)
    pause = start_replay(system, "products", "--pause")
    await_true("it is asked to pause", lambda: system.count(
        "SELECT count(*) FROM voketag.projection_generations WHERE wish = 'pause'"), 30, 0.02)
    process.send_signal(signal.SIGCONT)
    assert pause.wait(60) == 0, pause.stderr.read()
    assert process.wait(30) == 1 and "Paused" in process.stdout.read()
    paused_at = loaded(system, "products")
    assert paused_at >= at

    records = len(system.consume("tokens-generated"))
    result = replay(system, "products", "--resume")
    assert result["result"] == "swapped", result
    assert result["records"] < records, "a resumed replay began from the start"
    print(f"killed at {at} of {total} offsets, paused at {paused_at}, then swapped: the last run "
          f"read {result['records']} of {records} records")


def tables_of_products(system):
    return [row[0] for row in system.rows(
        "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname ~ '^products(_g[0-9]+)?$' "
        "ORDER BY 1")]


def await_goes_on(system):
    """The live view takes what comes. Returns what was asked for."""
    requests = [new_batch(10)]
    system.produce("batch-requested", [(b["batch_id"], json.dumps(b)) for b in requests])
    await_true("the live view goes on", lambda: system.count(
        f"SELECT count(*) FROM voketag.products WHERE batch_id = '{requests[0]['batch_id']}'"
        ) == 10, 30)
    return requests


def await_swap_waits(system):
    await_true("the swap waits for a reader", lambda: system.count(
        "SELECT count(*) FROM pg_locks WHERE NOT granted AND mode = 'AccessExclusiveLock' "
        "AND relation = 'voketag.products'::regclass"), 60, 0.02)


def check_kill_while_swapping(system):
    """kill -9 while the swap waits for a reader: nothing has changed, the projector goes on."""
    before = live_generation(system, "products")
    assert replay(system, "products", "--no-swap")["result"] == "built"
    reader = Session(system)
    reader.ask("BEGIN")
    reader.ask("SELECT count(*) FROM voketag.products")
    process = start_replay(system, "products", "--resume", "--lock-timeout-ms", "8000")
    await_swap_waits(system)
    process.kill()
    process.wait()
    reader.ask("COMMIT")
    reader.close()
    assert live_generation(system, "products") == before
    requests = await_goes_on(system)
    assert replay(system, "products", "--resume")["result"] == "swapped"
    assert live_generation(system, "products") == before + 1
    print("killed in the middle of a swap: the live view went on, and was swapped later")
    return requests


def check_around_commit(system):
    """Stopped at its COMMIT, with the view locked: readers wait for a second, not until it goes on.
    Killed when the COMMIT is done: what it had yet to do is done later."""
    before = live_generation(system, "products")
    assert replay(system, "products", "--no-swap")["result"] == "built"
    proxy = SwapProxy(urllib.parse.urlsplit(system.postgres).port)
    postgres = system.postgres_at(proxy.port)
    met = threading.Event()

    def stop_before(kind):
        assert kind == "request"
        process.send_signal(signal.SIGSTOP)
        met.set()
        return DROP

    def kill_after(kind):
        if kind == "request":
            return PASS
        process.kill()
        met.set()
        return DROP

    proxy.watcher = stop_before
    process = start_replay(system, "products", "--resume", postgres=postgres)
    assert met.wait(60), "the swap did not come to its COMMIT"
    began = time.monotonic()
    system.count("SELECT count(*) FROM voketag.products")
    waited_s = time.monotonic() - began
    assert waited_s < 1 + SLACK_S, f"a reader waited {waited_s:.1f} s for a stopped process"
    assert live_generation(system, "products") == before
    process.send_signal(signal.SIGCONT)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 3 and "The live view is untouched" in said, said
    print(f"stopped at its COMMIT; a reader waited {waited_s:.2f} s: {said.splitlines()[-1]}")

    met.clear()
    proxy.watcher = kill_after
    process = start_replay(system, "products", "--resume", postgres=postgres)
    assert met.wait(60), "the swap did not come to its COMMIT"
    process.wait()
    proxy.close()
    assert live_generation(system, "products") == before + 1
    assert tables_of_products(system) == ["products", f"products_g{before}"]
    requests = await_goes_on(system)
    status = json.loads(system.command("replay", "--view", "products", "--status",
                                       "--json").stdout)
    assert status["unfinished"] is None, status
    system.command("replay", "--view", "products", "--drop-old")
    assert tables_of_products(system) == ["products"]
    print("killed between its COMMIT and the drop: swapped, and the old generation dropped later")
    return requests


def check_swap_refused(system):
    """By who reads the table, and by who looks at the database as it was; both are named. Who comes
    to read meanwhile waits no longer than the swap does."""
    before = live_generation(system, "products")
    lock_timeout_s = 2
    for beginning, why in (("BEGIN; SELECT count(*) FROM voketag.products", "a reader holds"),
                           ("BEGIN ISOLATION LEVEL REPEATABLE READ; SELECT 1", "as it was some")):
        reader = Session(system)
        reader.ask(beginning)
        arguments = ["--resume"] if loaded(system, "products") else []
        began = time.monotonic()
        process = start_replay(system, "products", "--json", "--lock-timeout-ms",
                               str(lock_timeout_s * 1000), *arguments)
        queued_s = 0
        if why == "a reader holds":
            await_swap_waits(system)
            queued_at = time.monotonic()
            system.count("SELECT count(*) FROM voketag.products")
            queued_s = time.monotonic() - queued_at
        result = json.loads(process.communicate(timeout=120)[0].splitlines()[-1])
        took_s = time.monotonic() - began
        assert result["result"] == "not_swapped" and why in result["why"], result
        assert "psql" in result["why"] and "--resume" in result["why"], result
        assert live_generation(system, "products") == before
        # Building it again takes a few seconds; being refused is a matter of the timeout.
        assert took_s < 60, f"refused after {took_s:.1f} s"
        assert queued_s < lock_timeout_s + SLACK_S, f"a reader waited {queued_s:.1f} s"
        reader.ask("COMMIT")
        reader.close()
        print(f"refused after {took_s:.1f} s in all, while a reader that came later waited for "
              f"{queued_s:.2f} s: {result['why']}")
    assert replay(system, "products", "--resume")["result"] == "swapped"


def check_abort_too_late(system):
    """Somebody asks for an end while the swap waits; its reader ends first, so it is swapped."""
    before = live_generation(system, "products")
    reader = Session(system)
    reader.ask("BEGIN")
    reader.ask("SELECT count(*) FROM voketag.products")
    process = start_replay(system, "products", "--lock-timeout-ms", "8000")
    await_swap_waits(system)
    abort = start_replay(system, "products", "--abort")
    await_true("it is asked to abort", lambda: system.count(
        "SELECT count(*) FROM voketag.projection_generations WHERE wish = 'abort'"), 30, 0.02)
    reader.ask("COMMIT")
    reader.close()
    assert process.wait(60) == 0, process.stderr.read()
    assert abort.wait(60) == 1
    said = abort.stderr.read()
    assert "came to its end before it heard that it should abort" in said, said
    assert live_generation(system, "products") == before + 1
    print(f"asked too late: {said.splitlines()[-1]}")


def check_two_at_once(system):
    process = start_replay(system, "products", "--no-swap")
    await_true("the first is at work", lambda: loaded(system, "products") > 0, 30, 0.01)
    process.send_signal(signal.SIGSTOP)  # it must not end meanwhile
    second = replay(system, "products", check=False)
    assert "is at work already" in second.get("message", ""), second
    assert "server process" in second["message"] and "--status" in second["message"]
    status = json.loads(system.command("replay", "--view", "products", "--status",
                                       "--json").stdout)
    assert status["unfinished"]["at_work"] and status["unfinished"]["offsets_done"] > 0, status
    process.send_signal(signal.SIGCONT)
    assert process.wait(60) == 0, process.stderr.read()
    system.command("replay", "--view", "products", "--abort")
    assert system.count("SELECT count(*) FROM pg_class WHERE relname LIKE 'products_g%'") == 0
    print("a second replay of the same view was refused")


def main():
    with System("replay") as system:
        instance = system.start()
        instance.await_ready()
        requests = check_under_traffic(system)
        large = [new_batch(LARGE)]
        system.produce("batch-requested", [(b["batch_id"], json.dumps(b)) for b in large])
        requests += large
        await_rows(system, requests)
        check_kill_while_loading(system)
        requests += check_kill_while_swapping(system)
        requests += check_around_commit(system)
        check_swap_refused(system)
        check_abort_too_late(system)
        check_two_at_once(system)
        await_rows(system, requests)
        assert instance.stop() == 0
        assert system.consume("dead-letters") == []
        audited = audit_batches(system, requests)
        print(f"{len(requests)} batches, {audited} products: each exactly once after all swaps")


if __name__ == "__main__":
    main()
