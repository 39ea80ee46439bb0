"""Nothing that anyone sends stops the system, is lost, or costs its neighbours anything."""

import datetime
import json
import subprocess
import uuid
from typing import NamedTuple, Optional

from audit import audit_batches
from system import KAFKA, System, await_true, new_batch

NAMESPACE = uuid.UUID("8f0b2a5e-6d1c-5f33-9a47-766f6b657461")
SOME_ID = str(uuid.uuid4())


class Bad(NamedTuple):
    """A record that nobody can handle, and what its dead letter must say."""
    value: Optional[bytes]
    reason: str
    word: str  # stands in the detail: what the sender has to look at
    key: Optional[bytes] = None
    headers: tuple = ()


def request(**members):
    return json.dumps({"batch_id": SOME_ID, "product_count": 10} | members).encode()


BAD = {
    "not JSON": Bad(b"once upon a time", "malformed", "not a JSON object"),
    "half of it": Bad(b'{"batch_id": "' + SOME_ID.encode(), "malformed", "has no end"),
    "an array": Bad(b"[1, 2, 3]", "malformed", "it is not an object", key=b"shop-1"),
    "empty": Bad(b"", "malformed", "it is empty", key=b""),
    "wrong type of count": Bad(request(product_count="10"), "malformed",
                               'product_count must be a whole number, not "10"'),
    "wrong type of id": Bad(request(batch_id=7), "malformed", "batch_id must be"),
    "count 0": Bad(request(product_count=0), "malformed",
                   "product_count must be between 1 and 10000000, not 0", key=b"shop-1",
                   headers=("x-shop=17", "x-shop-name=Gr\u00fc\u00dfe")),
    "negative": Bad(request(product_count=-1), "malformed", "not -1"),
    "too many": Bad(request(product_count=10_000_001), "malformed", "not 10000001"),
    "1e99": Bad(b'{"batch_id": "%s", "product_count": 1e99}' % SOME_ID.encode(), "malformed",
                "without fraction or exponent, not 1e99"),
    "no id": Bad(b'{"product_count": 10}', "malformed", "batch_id"),
    "malformed id": Bad(request(batch_id="not-a-uuid"), "malformed", "not-a-uuid"),
    "a GTIN's check digit": Bad(request(gtin="12345678"), "invalid", "gtin"),
    "5 MB": Bad(request(metadata={"x": "y" * 5_000_000}), "malformed", "metadata"),
    # Of more than a request may have, and yet let in by the broker, which counts compressed bytes.
    "7 MB": Bad(request(name="y" * 7_000_000), "oversized", "at most 6291456"),
    "a value that is not UTF-8": Bad(
        b'{"batch_id": "' + SOME_ID.encode() + b'", "product_count": 1, "name": "\xff\xfe"}',
        "malformed", "not UTF-8", key=b"\xfe\xff\x01\n"),
    "deep": Bad(b'{"batch_id": "' + SOME_ID.encode() + b'", "product_count": 1, "metadata": '
                + b'{"a":' * 3000 + b"1" + b"}" * 3000 + b"}", "malformed", "metadata"),
    "a tombstone": Bad(None, "tombstone", "no value", key=SOME_ID.encode()),
    "of an unknown type": Bad(request(), "unknown_type", "voketag.batch-requested.v1", headers=(
        "ce_specversion=1.0", "ce_type=voketag.something-else.v1")),
}


def produce_raw(system, value, key=None, headers=()):
    """One record of any bytes; kcat reads the value from a file."""
    command = ["kcat", "-P", "-b", KAFKA, "-t", system.prefix + "batch-requested",
               "-z", "gzip", "-X", "message.max.bytes=9000000"]
    for header in headers:
        command += ["-H", header]
    if value:
        path = system.directory / "value"
        path.write_bytes(value)
        command += [*(["-k", key] if key is not None else []), str(path)]
        subprocess.run(command, check=True, capture_output=True, timeout=60)
        return
    # From a file kcat would make no record of them: a line with a key and nothing behind it is one.
    subprocess.run([*command, *(["-Z"] if value is None else []), "-K", "\t"],
                   input=(key or b"") + b"\t\n", check=True, capture_output=True, timeout=60)


def letters(system):
    """The dead letters by where their record came from: (topic, partition, offset)."""
    found = {}
    for letter in system.consume_raw("dead-letters"):
        headers = letter["headers"]
        place = (headers["dead_letter_topic"], int(headers["dead_letter_partition"]),
                 int(headers["dead_letter_offset"]))
        assert place not in found, f"two dead letters of {place}"
        found[place] = letter
    return found


def rfc3339(time_ms):
    at = datetime.datetime.fromtimestamp(time_ms / 1000, datetime.timezone.utc)
    return at.strftime("%Y-%m-%dT%H:%M:%S.") + f"{time_ms % 1000:03d}Z"


def check_letter(name, letter, source, place, bad, processor="ingress"):
    """The record as it came, byte by byte; why it could not be handled; where it came from."""
    topic, partition, offset = place
    assert letter["value"] == source["value"] == bad.value, f"{name}: not the value that was sent"
    assert letter["key"] == source["key"] == bad.key, f"{name}: not the key that was sent"
    headers = dict(letter["headers"])
    detail = headers.pop("dead_letter_detail")
    assert bad.word in detail, f"{name}: {detail}"
    told = {header: value for header, value in headers.items()
            if header.startswith(("dead_letter_", "original_"))}
    wanted = {"dead_letter_reason": bad.reason, "dead_letter_processor": processor,
              "dead_letter_topic": topic, "dead_letter_partition": str(partition),
              "dead_letter_offset": str(offset),
              "dead_letter_timestamp": rfc3339(source["time_ms"])}
    if bad.value is None:
        wanted["dead_letter_tombstone"] = "true"
    wanted |= {"original_" + header: value for header, value in source["headers"].items()}
    assert told == wanted, f"{name}: {told} instead of {wanted}"
    assert letter["partition"] == partition, f"{name}: in another partition than its record"
    assert headers["ce_id"] == str(uuid.uuid5(
        NAMESPACE, f"dead-letter:{topic}/{partition}/{offset}:{processor}")), f"{name}: {headers}"
    assert headers["ce_type"] == "voketag.dead-letters.v1", f"{name}: {headers}"
    assert headers["ce_source"] == "/voketag/" + processor, f"{name}: {headers}"


def check_letters(system, conflicting):
    """Each bad record has its letter, and no other record has one."""
    found = letters(system)
    sources = system.consume_raw("batch-requested")
    for name, bad in BAD.items():
        # By what was sent, which is different for each of them.
        source, = [record for record in sources
                   if (record["key"], record["value"]) == (bad.key, bad.value)]
        for header in bad.headers:
            sent, value = header.split("=", 1)
            assert source["headers"][sent] == value, f"{name}: {source['headers']}"
        place = ("batch-requested", source["partition"], source["offset"])
        check_letter(name, found.pop(place), source, place, bad)
    # It was right by itself, so ingress passed it on; batches knew another of that id.
    source, = [record for record in system.consume_raw("batch-accepted")
               if json.loads(record["value"])["batch_id"] == conflicting["batch_id"]
               and json.loads(record["value"])["product_count"] == conflicting["product_count"]]
    place = ("batch-accepted", source["partition"], source["offset"])
    check_letter("the conflict", found.pop(place), source, place,
                 Bad(source["value"], "conflicting_batch", "another product_count",
                     key=conflicting["batch_id"].encode()), "batches")
    assert not found, f"dead letters of records that are right: {found}"


def check_retry(system):
    """--all sends again what processors refused, and passes over what only a view refused and what
    no topic takes."""
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
    assert "at most 6291456 are read" in tried.stderr, tried.stderr
    assert len(system.consume("tokens-generated")) == events_before
    retried = {topic: sum("retry_of" in record["headers"] for record in system.consume(topic))
               for topic in ("batch-requested", "batch-accepted")}
    # All of BAD but the one that is too large, and the conflict.
    assert retried == {"batch-requested": len(BAD) - 1, "batch-accepted": 1}, retried
    begun, ended = system.events("audit-recorded")
    assert (begun["phase"], ended["phase"]) == ("begun", "ended"), (begun, ended)
    assert begun["run_id"] == ended["run_id"] and ended["reason"] == "a test", ended
    assert (ended["sent"], ended["skipped"]) == (sum(retried.values()), 2), ended
    listed = json.loads(system.command("dlq", "list", "--json", "--limit", "100").stdout)
    refused = {letter["processor"] for letter in listed["dead_letters"] if not letter["retryable"]}
    assert refused == {"projector-products"}, refused


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
    with System("badinput") as system:
        instance = system.start().await_ready()
        for bad in BAD.values():
            produce_raw(system, bad.value, bad.key, bad.headers)

        # Good ones among them: keyless, under another key, twice the same.
        good = [new_batch(10), new_batch(20), new_batch(30, metadata={"b": 1, "a": [2.0]})]
        produce_raw(system, json.dumps(good[0]).encode())
        produce_raw(system, json.dumps(good[1]).encode(), key=b"some-other-key")
        produce_raw(system, json.dumps(good[2]).encode())
        produce_raw(system, json.dumps(good[2] | {"metadata": {"a": [2], "b": 1}}).encode())
        await_true("the good batches are completed", lambda: system.count(
            "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") == 3, 120, 0.5)
        # Keyless records land on any partition: only what is accepted first is the batch.
        conflicting = good[0] | {"product_count": 11}
        produce_raw(system, json.dumps(conflicting).encode())

        expected = len(BAD) + 1
        await_true("every bad record is a dead letter",
                   lambda: len(system.consume("dead-letters")) >= expected, 120, 0.5)
        check_letters(system, conflicting)

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
