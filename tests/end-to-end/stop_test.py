"""SIGTERM under load: committed, flushed, left the groups; nothing is done twice afterwards."""

import json
import time

from audit import audit_batches
from system import System, await_true, new_batch


def group_offsets(system):
    """What the commit records say, partition by partition: the last value of the key `commit`."""
    positions = {}
    for processor in ("ingress", "batches", "tokens", "merkle", "anchoring"):
        for record in system.consume(processor + "-changelog"):
            if record["key"] == "commit":
                positions[processor, record["partition"]] = json.loads(record["value"])["positions"]
    return positions


def claims(system):
    """Transactional ids that are still claimed."""
    held = {}
    for processor in ("ingress", "batches", "tokens", "merkle", "anchoring"):
        for record in system.consume(processor + "-changelog"):
            if record["key"] == "claim":
                held[processor, record["partition"]] = record["value"]
    return {place: claim for place, claim in held.items() if claim}


def main():
    with System("stop") as system:
        instance = system.start().await_ready()
        requests = [new_batch(3000) for _ in range(60)]
        for index in range(0, 60, 20):
            system.produce("batch-requested", [
                (r["batch_id"], str(r).replace("'", '"')) for r in requests[index:index + 20]])
            time.sleep(0.3)
            began = time.monotonic()
            assert instance.stop() == 0, instance.log()[-3000:]
            print(f"stopped under load in {time.monotonic() - began:.1f} s")
            assert not claims(system), "a claim was left behind"
            before = group_offsets(system)
            instance.start()
            instance.await_ready()
            after = group_offsets(system)
            for place, positions in before.items():
                then = {p["topic"]: p["next_offset"] for p in positions}
                now = {p["topic"]: p["next_offset"] for p in after[place]}
                assert all(now[topic] >= then[topic] for topic in then), place
        await_true("every batch is completed", lambda: system.count(
            "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == 60, 120, 0.3)
        await_true("every product has its row", lambda: system.count(
            "SELECT count(*) FROM voketag.products") == 180_000, 60, 0.3)
        assert instance.stop() == 0
        audit_batches(system, requests)
        print("three stops under load: nothing lost, nothing done twice")


if __name__ == "__main__":
    main()
