"""SIGTERM under load: committed, flushed, left the groups; nothing is done twice afterwards."""

import bisect
import json
import socket
import time
from collections import defaultdict

from audit import audit_batches
from system import System, await_true, new_batch


# So many are not made at once where they are accepted: they are cut into chunks.
GREAT = 200_000
PROCESSORS = ("ingress", "batches", "tokens", "merkle", "anchoring")


def commit_records(system):
    """Every commit record with its work, which the history has, by (processor, partition): pairs of
    changelog offset and record."""
    commits = {}
    for processor in PROCESSORS:
        # A claim does no work and repeats the number before it.
        work = {(task["partition"], task["sequence"]): task["work"]
                for record in system.consume(processor + "-commits")
                for task in json.loads(record["value"])["tasks"] if task["work"]}
        for record in system.consume(processor + "-changelog"):
            if record["key"] == "commit":
                commit = json.loads(record["value"])
                commit["work"] = work.pop((record["partition"], commit["sequence"]), [])
                commits.setdefault((processor, record["partition"]), []).append(
                    (record["offset"], commit))
    return commits


def check_resumed(commits, stopped, visible):
    """The first work after a stop begins with the first record at or behind the next offset that
    was recorded at the stop; returns the number of (partition, topic) pairs that had such work.

    commits: at the end of the test; stopped: the same at the stop; visible: the sorted offsets of
    the committed records, by (topic, partition)."""
    resumed = 0
    for (processor, partition), records in commits.items():
        before = stopped.get((processor, partition), [])
        last_offset, last = before[-1] if before else (-1, {"positions": []})
        next_offsets = {p["topic"]: p["next_offset"] for p in last["positions"]}
        work = [item for offset, record in records if offset > last_offset
                for item in record["work"] if "topic" in item]
        first = {item["topic"]: item["from_offset"] for item in reversed(work)}
        for topic, begun_at in first.items():
            place = visible[topic, partition]
            expected = place[bisect.bisect_left(place, next_offsets.get(topic, 0))]
            assert begun_at == expected, (
                f"{processor} {topic} [{partition}]: stopped at {next_offsets.get(topic, 0)}, so "
                f"work had to begin at {expected}; it began at {begun_at}")
            resumed += topic in next_offsets
    return resumed


def claims(system):
    """Transactional ids that are still claimed."""
    held = {}
    for processor in PROCESSORS:
        for record in system.consume(processor + "-changelog"):
            if record["key"] == "claim":
                held[processor, record["partition"]] = record["value"]
    return {place: claim for place, claim in held.items() if claim}


def check_stop_before_ready(system):
    """SIGTERM while Kafka is away, or takes connections and says nothing: not a second is lost."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        silent.settimeout(60)
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        instance = system.start("silent", VOKETAG_KAFKA=address)
        connection, _ = silent.accept()
        with connection:
            await_stopped_soon(instance)
    # Nobody listens there any more.
    instance = system.start("away", VOKETAG_KAFKA=address)
    await_true("it has tried once", lambda: "not ready" in instance.log(), 60)
    await_stopped_soon(instance)


def await_stopped_soon(instance):
    began = time.monotonic()
    assert instance.stop() == 0, instance.log()[-3000:]
    took_s = time.monotonic() - began
    assert took_s <= 1, f"{instance.name} took {took_s:.1f} s to stop"
    assert "stopped as asked, before it was ready" in instance.log(), instance.log()
    print(f"stopped before it was ready in {took_s:.2f} s")


def main():
    with System("stop") as system:
        check_stop_before_ready(system)
        instance = system.start().await_ready()
        # Great ones too, so that every stop meets work in each processor.
        requests = [new_batch(GREAT if index % 10 == 9 else 3000) for index in range(60)]
        products = sum(request["product_count"] for request in requests)
        stops = []
        for index in range(0, 60, 20):
            system.produce("batch-requested", [
                (r["batch_id"], str(r).replace("'", '"')) for r in requests[index:index + 20]])
            great = {r["batch_id"] for r in requests[index:index + 20]
                     if r["product_count"] == GREAT}
            await_true("chunks of a great batch are requested", lambda ids=great: ids & {
                event["batch_id"] for event in system.events("token-chunk-requested")}, 60)
            began = time.monotonic()
            assert instance.stop() == 0, instance.log()[-3000:]
            print(f"stopped under load in {time.monotonic() - began:.1f} s")
            assert not claims(system), "a claim was left behind"
            stops.append(commit_records(system))
            instance.start()
            instance.await_ready()
        await_true("every batch is completed", lambda: system.count(
            "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == 60, 120, 0.3)
        await_true("every product has its row", lambda: system.count(
            "SELECT count(*) FROM voketag.products") == products, 60, 0.3)
        assert instance.stop() == 0
        audit_batches(system, requests)
        commits = commit_records(system)
        visible = defaultdict(list)
        for topic in {p["topic"] for records in commits.values() for _, record in records
                      for p in record["positions"]}:
            for record in system.consume(topic):
                visible[topic, record["partition"]].append(record["offset"])
        for offsets in visible.values():
            offsets.sort()
        resumed = [check_resumed(commits, stopped, visible) for stopped in stops]
        assert all(resumed), f"no partition that had stopped worked again: {resumed}"
        print("three stops under load: nothing lost, nothing done twice; inputs that went on where "
              f"they had stopped: {resumed}")


if __name__ == "__main__":
    main()
