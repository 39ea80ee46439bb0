"""Two instances follow each other's state; one dies, and the other has next to nothing to restore.
A third one, which follows nobody, reads all that it is given from the beginning."""

import json
import re

from audit import audit_batches
from system import System, await_true, new_batch

STATEFUL = ("batches", "merkle", "tokens")


def produce(system, requests):
    system.produce("batch-requested", [(r["batch_id"], json.dumps(r)) for r in requests])


def await_completed(system, count, timeout_s=180):
    await_true(f"{count} batches are completed", lambda: system.count(
        "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == count, timeout_s, 0.3)


def stores(system, instance):
    """What the local state of an instance holds, by processor and partition."""
    inspected = system.command("state", "inspect", "--json", "--directory", str(instance.state))
    return {(store["processor"], store["partition"]): store
            for store in json.loads(inspected.stdout)}


def positions(system, instance):
    return {which: store["position"] and store["position"]["changelog_offset"]
            for which, store in stores(system, instance).items()}


def restored_since(instance, length):
    """Partitions and changelog records of what an instance restored since its log was so long."""
    found = re.findall(r"restored (\d+) partitions, \d+ of them warm, (\d+) changelog records",
                       instance.log()[length:])
    return sum(int(partitions) for partitions, _ in found), sum(int(read) for _, read in found)


def main():
    with System("standby") as system:
        one = system.start("one").await_ready()
        two = system.start("two").await_ready()
        requests = [new_batch(5) for _ in range(1500)] + [new_batch(150_000)]
        produce(system, requests)
        await_completed(system, len(requests))

        # Whoever owns a partition writes it, the other one follows: both have everything.
        def agree():
            first = positions(system, one)
            return first if first == positions(system, two) else None
        both = await_true("both have the same state", agree, 120, 0.5)
        assert {which for which in both if which[0] in STATEFUL} == {
            (processor, partition) for processor in STATEFUL for partition in range(12)}, both
        keys = sum(store["keys"] for store in stores(system, two).values())
        assert keys > 3000, f"a state of {keys} keys shows nothing"

        length = len(two.log())
        one.kill()
        more = [new_batch(5) for _ in range(120)]
        produce(system, more)
        requests += more
        await_completed(system, len(requests))
        partitions, records = restored_since(two, length)
        assert partitions >= 12, f"only {partitions} partitions have been taken over"
        # Nobody has worked between the last look and the death.
        assert records <= 100, f"{records} changelog records were missing of a state that was there"

        three = system.start("three", VOKETAG_STANDBYS="off").await_ready()
        cold_partitions, cold_records = restored_since(three, 0)
        assert cold_records > 1000, f"a store that was not there took {cold_records} records"
        assert len(positions(system, three)) <= cold_partitions, "it keeps what it does not own"
        last = [new_batch(5) for _ in range(60)]
        produce(system, last)
        requests += last
        await_completed(system, len(requests))

        products = sum(request["product_count"] for request in requests)
        await_true("every product has its row", lambda: system.count(
            "SELECT count(*) FROM voketag.products") == products, 60)
        for instance in (two, three):
            assert instance.stop() == 0, instance.log()[-2000:]
        for instance in (two, three):
            verified = system.command("state", "verify", "--directory", str(instance.state),
                                      check=False)
            assert verified.returncode == 0, verified.stdout + verified.stderr
        audit_batches(system, requests)
        print(f"{partitions} partitions taken over with {records} changelog records to read; "
              f"{cold_partitions} without a standby with {cold_records}")


if __name__ == "__main__":
    main()
