"""Nothing that anyone sends stops the system, is lost, or costs its neighbours anything."""

import json
import subprocess
import uuid

from audit import audit_batches
from system import KAFKA, System, await_true, new_batch


def letters(system):
    """reason by source offset's value, as the dead letters tell it."""
    return system.consume("dead-letters")


def produce_raw(system, value, key=None, headers=()):
    """One record of any bytes; kcat reads the value from a file."""
    path = system.directory / "value"
    path.write_bytes(value)
    command = ["kcat", "-P", "-b", KAFKA, "-t", system.prefix + "batch-requested",
               "-X", "message.max.bytes=9000000"]
    if key is not None:
        command += ["-k", key]
    for header in headers:
        command += ["-H", header]
    subprocess.run([*command, str(path)], check=True, capture_output=True, timeout=60)


def check_retry(system):
    """--all sends again what processors refused, and passes over what only a view refused."""
    subprocess.run(
        ["kcat", "-P", "-b", KAFKA, "-t", system.prefix + "dead-letters", "-p", "0",
         "-H", "dead_letter_reason=refused_by_view", "-H", "dead_letter_detail=made up here",
         "-H", "dead_letter_processor=projector-products",
         "-H", "dead_letter_topic=tokens-generated", "-H", "dead_letter_partition=0",
         "-H", "dead_letter_offset=0"],
        input="{}", text=True, check=True, timeout=60)
    events_before = len(system.consume("tokens-generated"))
    tried = system.command("dlq", "retry", "--all", "--yes", "--why", "a test", check=False)
    assert tried.returncode == 1 and "not retryable" in tried.stderr, tried
    assert "refused by the view products alone" in tried.stderr, tried.stderr
    assert len(system.consume("tokens-generated")) == events_before
    retried = {topic: sum("retry_of" in record["headers"] for record in system.consume(topic))
               for topic in ("batch-requested", "batch-accepted")}
    assert all(retried.values()), f"what ingress and batches refused was to be sent again: {retried}"
    begun, ended = system.events("audit-recorded")
    assert (begun["phase"], ended["phase"]) == ("begun", "ended"), (begun, ended)
    assert begun["run_id"] == ended["run_id"] and ended["reason"] == "a test", ended
    assert (ended["sent"], ended["skipped"]) == (sum(retried.values()), 1), ended
    listed = json.loads(system.command("dlq", "list", "--json", "--limit", "100").stdout)
    refused = [letter["processor"] for letter in listed["dead_letters"] if not letter["retryable"]]
    assert refused == ["projector-products"], refused


def check_list(system):
    """A reason that none has says so, and which there are; one that does not exist is refused."""
    found = system.command("dlq", "list", "--reason", "tombstone")
    assert "tombstone 1" in found.stdout, found
    missed = system.command("dlq", "list", "--reason", "tombstones", check=False)
    assert missed.returncode == 2 and "did you mean tombstone?" in missed.stderr, missed
    missed = system.command("dlq", "list", "--reason", "unknown_key", check=False)
    assert missed.returncode == 1, missed
    assert "the reason unknown_key. There are: conflicting_batch 1 " in missed.stdout, missed
    missed = system.command("dlq", "list", "--reason", "unknown_key", "--json", check=False)
    counts = json.loads(missed.stdout)
    assert missed.returncode == 1 and counts["count"] == 0, missed
    assert counts["other_reasons"]["tombstone"] == 1, counts


def main():
    some_id = str(uuid.uuid4())
    bad = {
        "not JSON": b"once upon a time",
        "half of it": b'{"batch_id": "' + some_id.encode(),
        "an array": b"[1, 2, 3]",
        "wrong type of count": json.dumps({"batch_id": some_id, "product_count": "10"}).encode(),
        "wrong type of id": b'{"batch_id": 7, "product_count": 10}',
        "count 0": json.dumps(new_batch(0)).encode(),
        "negative": json.dumps(new_batch(-1)).encode(),
        "too many": json.dumps(new_batch(10_000_001)).encode(),
        "1e99": ('{"batch_id": "%s", "product_count": 1e99}' % some_id).encode(),
        "no id": b'{"product_count": 10}',
        "malformed id": b'{"batch_id": "not-a-uuid", "product_count": 10}',
        "5 MB": json.dumps(new_batch(1, metadata={"x": "y" * 5_000_000})).encode(),
        "invalid UTF-8": b'{"batch_id": "' + some_id.encode() + b'", "product_count": 1, '
                         b'"name": "\xff\xfe"}',
        "deep": b'{"batch_id": "' + some_id.encode() + b'", "product_count": 1, "metadata": '
                + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}",
    }
    with System("badinput") as system:
        instance = system.start().await_ready()
        for value in bad.values():
            produce_raw(system, value)
        # A tombstone: a key, and no value at all.
        subprocess.run(["kcat", "-P", "-b", KAFKA, "-t", system.prefix + "batch-requested", "-Z",
                        "-K", "\t"], input=f"{some_id}\t\n", text=True, check=True, timeout=60)
        unknown = new_batch(3)
        produce_raw(system, json.dumps(unknown).encode(),
                    headers=["ce_specversion=1.0", "ce_type=voketag.something-else.v1"])

        # Good ones among them: keyless, under another key, twice the same.
        good = [new_batch(10), new_batch(20), new_batch(30, metadata={"b": 1, "a": [2.0]})]
        produce_raw(system, json.dumps(good[0]).encode())
        produce_raw(system, json.dumps(good[1]).encode(), key="some-other-key")
        produce_raw(system, json.dumps(good[2]).encode())
        produce_raw(system, json.dumps(good[2] | {"metadata": {"a": [2], "b": 1}}).encode())
        await_true("the good batches are completed", lambda: system.count(
            "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == 3, 60, 0.5)
        # Keyless records land on any partition: only what is accepted first is the batch.
        conflicting = good[0] | {"product_count": 11}
        produce_raw(system, json.dumps(conflicting).encode())

        expected = len(bad) + 3  # and the tombstone, the unknown type, the conflict
        await_true("every bad record is a dead letter",
                   lambda: len(letters(system)) >= expected, 60, 0.5)
        found = letters(system)
        assert len(found) == expected, [letter["headers"] for letter in found]
        for letter in found:
            headers = letter["headers"]
            assert headers["dead_letter_reason"] and headers["dead_letter_detail"], headers
            assert int(headers["dead_letter_offset"]) >= 0, headers
            assert headers["dead_letter_topic"] in ("batch-requested", "batch-accepted"), headers
        reasons = [letter["headers"]["dead_letter_reason"] for letter in found]
        assert "conflicting_batch" in reasons and "tombstone" in reasons, reasons
        assert "unknown_type" in reasons, reasons

        listed = system.command("dlq", "list", "--json").stdout
        assert "conflicting_batch" in listed, listed
        check_list(system)
        assert instance.running()
        assert instance.stop() == 0
        audit_batches(system, good)
        check_retry(system)
        print(f"{expected} bad records, each a dead letter with its reason; their neighbours "
              "landed")


if __name__ == "__main__":
    main()
