"""SIGTERM under load: committed, flushed, left the groups; nothing is done twice afterwards."""

import bisect
import json
import socket
import time
from collections import defaultdict

from audit import audit_batches
from system import GREAT, GREAT_LASTS, System, await_true, new_batch

STOPS = 3
# How often a stop is tried again that all work was done before.
TRIES_MAX = 5
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


def visible_offsets(system, commits):
    """The sorted offsets of the committed records of every input, by (topic, partition)."""
    visible = defaultdict(list)
    for topic in {p["topic"] for records in commits.values() for _, record in records
                  for p in record["positions"]}:
        for record in system.consume(topic):
            visible[topic, record["partition"]].append(record["offset"])
    for offsets in visible.values():
        offsets.sort()
    return visible


def last_commit(commits, place):
    """The changelog offset of a place's last commit record, and its next offsets by topic."""
    records = commits.get(place, [])
    offset, last = records[-1] if records else (-1, {"positions": []})
    return offset, {p["topic"]: p["next_offset"] for p in last["positions"]}


def work_left(system, commits):
    """What a stop has left to be done: (processor, partition, topic) of each input that was worked
    on before, and has records at or behind the recorded next offset."""
    visible = visible_offsets(system, commits)
    return {(*place, topic) for place in commits
            for topic, next_offset in last_commit(commits, place)[1].items()
            if visible[topic, place[1]] and visible[topic, place[1]][-1] >= next_offset}


def check_resumed(commits, stopped, visible):
    """The first work after a stop begins with the first record at or behind the next offset that
    was recorded at the stop; returns the inputs that had been worked on and had such work.

    commits: at the end of the test; stopped: the same at the stop; visible: see there."""
    resumed = set()
    for (processor, partition), records in commits.items():
        last_offset, next_offsets = last_commit(stopped, (processor, partition))
        work = [item for offset, record in records if offset > last_offset
                for item in record["work"] if "topic" in item]
        first = {item["topic"]: item["from_offset"] for item in reversed(work)}
        for topic, begun_at in first.items():
            place = visible[topic, partition]
            expected = place[bisect.bisect_left(place, next_offsets.get(topic, 0))]
            assert begun_at == expected, (
                f"{processor} {topic} [{partition}]: stopped at {next_offsets.get(topic, 0)}, so "
                f"work had to begin at {expected}; it began at {begun_at}")
            if topic in next_offsets:
                resumed.add((processor, partition, topic))
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


def stop_at_work(system, instance, requests):
    """SIGTERM while chunks of a great batch are out; the commit records then, and what was left."""
    for _ in range(TRIES_MAX):
        asked = [new_batch(size) for size in (*[3000] * 9, GREAT)]
        requests += asked
        with system.follow("token-chunk-requested") as chunks:
            system.produce("batch-requested", [(r["batch_id"], json.dumps(r)) for r in asked])
            chunks.await_event("a chunk of the great batch", lambda chunk: chunk["batch_id"] ==
                               asked[-1]["batch_id"])
        began = time.monotonic()
        assert instance.stop() == 0, instance.log()[-3000:]
        took_s = time.monotonic() - began
        assert not claims(system), "a claim was left behind"
        commits = commit_records(system)
        left = work_left(system, commits)
        instance.start()
        instance.await_ready()
        if left:
            print(f"stopped under load in {took_s:.1f} s: {len(left)} inputs had more")
            return commits, left
    raise AssertionError(f"{TRIES_MAX} times all was done before the process had stopped")


def main():
    with System("stop", **GREAT_LASTS) as system:
        check_stop_before_ready(system)
        instance = system.start().await_ready()
        requests = []
        stops = [stop_at_work(system, instance, requests) for _ in range(STOPS)]
        products = sum(request["product_count"] for request in requests)
        await_true("every batch is completed", lambda: system.count(
            "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == len(requests),
                   180, 0.3)
        await_true("every product has its row", lambda: system.count(
            "SELECT count(*) FROM voketag.products") == products, 120, 0.3)
        assert instance.stop() == 0
        audit_batches(system, requests)
        commits = commit_records(system)
        visible = visible_offsets(system, commits)
        for stopped, left in stops:
            resumed = check_resumed(commits, stopped, visible)
            assert left <= resumed, f"never worked on again: {left - resumed}"
        print(f"{STOPS} stops under load: nothing lost, nothing done twice, and all went on where "
              "they had stopped")


if __name__ == "__main__":
    main()
