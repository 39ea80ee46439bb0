"""`voketag state` on a real state: looked into beside the running process, held against the
changelogs, spoilt, copied, thrown away and restored; then every output is still the one there
was."""

import json
import os
import pathlib
import shutil
import subprocess

from audit import audit_batches
from system import BINARY, System, await_true, new_batch

CHANGE_STATE = os.environ.get("VOKETAG_CHANGE_STATE", "")
# What each processor has said; a rebuilt state must not make it say anything again.
OUTPUTS = ("batch-accepted", "tokens-generated", "merkle-root-computed", "anchor-completed",
           "batch-completed")


def state(instance, *arguments, code=0):
    """The answer of a state command as JSON; its exit code must be `code`."""
    done = subprocess.run([BINARY, "state", *arguments, "--json"], env=instance.environment,
                          text=True, capture_output=True, timeout=120)
    assert done.returncode == code, (arguments, done.returncode, done.stdout[-2000:], done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def produce(system, requests):
    system.produce("batch-requested", [(r["batch_id"], json.dumps(r)) for r in requests])


def await_completed(system, count):
    await_true(f"{count} batches are completed", lambda: system.count(
        "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == count, 120, 0.1)


def ended_keys(partitions):
    return sum(p["tables"].get("ended", {"keys": 0})["keys"] for p in partitions)


def beside_a_running_process(instance, requests):
    await_true("the state has every batch as ended", lambda: ended_keys(
        state(instance, "inspect", "--processor", "batches")) == len(requests), 60)
    found = state(instance, "inspect", "--key", f"ended/{requests[0]['batch_id']}")
    assert found["processor"] == "batches", found
    assert json.loads(found["value"])["status"] == "completed", found
    for one in state(instance, "inspect", "--processor", "tokens"):
        if one["keys"]:
            assert one["position"]["commit"]["positions"], one
            assert one["position"]["changelog_offset"] > 0, one
    verdict = state(instance, "verify")
    assert verdict["equal"] and sum(p["keys"] for p in verdict["partitions"]) > 0, verdict
    for refused in (("checkpoint", "--to", str(instance.system.directory / "refused")),
                    ("rebuild", "--yes")):
        assert "holds the state" in state(instance, *refused, code=1)["message"]


def a_spoilt_copy(instance, requests, copy):
    key = f"ended/{requests[1]['batch_id']}"
    found = state(instance, "inspect", "--key", key)
    subprocess.run([CHANGE_STATE, copy, found["processor"], str(found["partition"]), key,
                    found["value"].replace("completed", "failed")], check=True, timeout=60)
    verdict = state(instance, "verify", "--directory", str(copy), code=1)
    wrong = [p for p in verdict["partitions"] if not p["equal"]]
    assert len(wrong) == 1 and wrong[0]["different"] == 1, wrong
    assert wrong[0]["examples"][0]["key"] == key, wrong
    assert (wrong[0]["missing"], wrong[0]["extra"]) == (0, 0), wrong


def a_checkpoint(instance, directory):
    made = state(instance, "checkpoint", "--to", str(directory))
    assert made["files"] > 3, made
    checked = state(instance, "verify", "--directory", str(directory))
    assert checked["equal"] and checked["checkpoint"]["faults"] == [], checked
    largest = max(directory.rglob("*.sst"), key=lambda path: path.stat().st_size)
    # It is linked to the state's own file: what is spoilt must be a copy.
    spoilt = directory.with_name("spoilt")
    shutil.copytree(directory, spoilt)
    with open(spoilt / largest.relative_to(directory), "r+b") as file:
        file.seek(largest.stat().st_size // 2)
        byte = file.read(1)
        file.seek(-1, os.SEEK_CUR)
        file.write(bytes([byte[0] ^ 1]))
    faults = state(instance, "verify", "--directory", str(spoilt), code=1)["checkpoint"]["faults"]
    assert len(faults) == 1 and largest.name in faults[0], faults


def main():
    assert os.path.exists(CHANGE_STATE), "VOKETAG_CHANGE_STATE must name the program change_state"
    with System("state") as system:
        instance = system.start().await_ready()
        requests = [new_batch(1500) for _ in range(12)]
        produce(system, requests)
        await_completed(system, 12)
        beside_a_running_process(instance, requests)

        assert instance.stop() == 0, instance.log()[-2000:]
        assert state(instance, "verify")["equal"]
        copy = system.directory / "copy"
        shutil.copytree(instance.state, copy)
        a_spoilt_copy(instance, requests, copy)
        checkpoint = system.directory / "checkpoint"
        a_checkpoint(instance, checkpoint)

        before = {topic: system.consume(topic) for topic in OUTPUTS}
        assert state(instance, "rebuild")["dry_run"]
        assert state(instance, "verify")["equal"], "a dry run has changed something"
        assert not state(instance, "rebuild", "--yes")["dry_run"]
        assert not pathlib.Path(instance.state / "rocksdb").exists()
        instance.start()
        instance.await_ready()
        more = [new_batch(1000) for _ in range(6)]
        # A request that is repeated is recognised by the restored state alone.
        produce(system, more + requests[:3])
        await_completed(system, 18)
        assert instance.stop() == 0, instance.log()[-2000:]
        assert state(instance, "verify")["equal"], "what was restored is not what the log says"
        for topic, records in before.items():
            now = [(r["partition"], r["offset"], r["key"], r["value"])
                   for r in system.consume(topic)]
            kept = [(r["partition"], r["offset"], r["key"], r["value"]) for r in records]
            assert set(kept) <= set(now), topic
        ended = [event["batch_id"] for event in system.events("batch-completed")]
        assert sorted(ended) == sorted(r["batch_id"] for r in requests + more), "an output again"

        # A checkpoint that is put back rolls forward to what was committed since.
        shutil.rmtree(instance.state / "rocksdb")
        shutil.copytree(checkpoint / "rocksdb", instance.state / "rocksdb")
        instance.start()
        instance.await_ready()
        last = [new_batch(1000) for _ in range(3)]
        produce(system, last)
        await_completed(system, 21)
        assert instance.stop() == 0, instance.log()[-2000:]
        assert state(instance, "verify")["equal"], "the checkpoint did not roll forward"
        audit_batches(system, requests + more + last)
        print("inspected, verified, copied, rebuilt and restored: every output once")


if __name__ == "__main__":
    main()
