"""Cases 22, 23, 26: what the log itself holds: too little, somebody's open transaction, other
versions of an event."""

import json
import subprocess

from matrix import GREAT, System, Work, await_true, case, new_batch

from foreign_producer import ForeignProducer
from servers import JARS, ROOT

SCHEMAS = ROOT / "schemas"


def kafka_tool(system, main_class, *arguments):
    """One of Kafka's own tools; its output."""
    done = subprocess.run(
        ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{JARS}/*",
         f"-Dlog4j2.configurationFile={ROOT}/dev.d/kafka-log4j2.xml",
         f"-Dvoketag.log={system.directory}/tool.log", f"org.apache.kafka.tools.{main_class}",
         "--bootstrap-server", system.kafka, *arguments],
        capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def delete_records(system, topic, before):
    """What retention does, only sooner. `before` by partition."""
    wanted = system.directory / "delete.json"
    wanted.write_text(json.dumps({"version": 1, "partitions": [
        {"topic": system.prefix + topic, "partition": partition, "offset": offset}
        for partition, offset in before.items()]}))
    kafka_tool(system, "DeleteRecordsCommand", "--offset-json-file", str(wanted))


def below_retention():
    """It stops and says where; it skips nothing, at whichever start."""
    with case(22, "input offsets have fallen out of retention"), System("retention") as system:
        instance = system.start("one").await_ready()
        work = Work(system)
        work.ask(*[3] * 24)
        work.await_done()
        assert instance.stop() == 0
        work.ask(*[3] * 24)
        ends = {}
        for record in system.consume("batch-requested"):
            ends[record["partition"]] = record["offset"] + 1
        delete_records(system, "batch-requested", ends)
        for _ in range(2):
            instance.start()
            await_true("it stops", lambda: not instance.running(), 60)
            assert instance.process.returncode == 1, instance.process.returncode
            assert ("is no longer in the log: records were deleted before they were processed"
                    in instance.log()), instance.log()[-2000:]
        assert len(system.consume("batch-accepted")) == 24


def alarm_of(system, place):
    return f"topic {system.prefix}{place}: somebody's transaction has been open for"


def check_alarm(system, instance, place, internal):
    """Log and doctor say where somebody's transaction is open, doctor also of topics that only we
    read; the commands that they name tell whose it is, and end it."""
    alarm = alarm_of(system, place)
    await_true("an alarm", lambda: alarm in instance.log(), 120)
    line = next(line for line in instance.log().splitlines() if alarm in line)
    entry = json.loads(line)
    assert entry["level"] == "warning", entry
    findings = json.loads(system.command("doctor", "--json", check=False).stdout)["findings"]
    assert any(finding["detail"].startswith(alarm) and finding["cure"] in entry["message"]
               for finding in findings), findings
    for each in internal:
        assert any(finding["detail"].startswith(alarm_of(system, each))
                   for finding in findings), (each, findings)
    _, whose, end = entry["message"].split(
        'kafka-transactions.sh --bootstrap-server "$VOKETAG_KAFKA" ')
    producers = kafka_tool(system, "TransactionsCommand", *whose.partition(". ")[0].split())
    start_offset = end.split()[-1]
    assert any(line.split()[-1:] == [start_offset] for line in producers.splitlines()), producers
    kafka_tool(system, "TransactionsCommand", *end.split())


def foreign_transaction():
    """A partition stands still behind somebody's open transaction, and goes on when it has ended;
    the others know nothing of it."""
    with case(23, "a foreign transaction is open on an input"), System("foreign") as system:
        instance = system.start("one").await_ready()
        work = Work(system)
        work.ask(*[3] * 24)
        work.await_done()
        internal = {"merkle-changelog": 5, "merkle-commits": 0}
        other = ForeignProducer(system.kafka, "another-stranger", timeout_ms=300_000)
        other.begin()
        for topic, partition in internal.items():
            other.produce(system.prefix + topic, b"never committed", partition, key=b"a/key")
        producer = ForeignProducer(system.kafka, "a-stranger", timeout_ms=300_000)
        producer.begin()
        aborted = new_batch(5)
        producer.produce(system.prefix + "batch-requested", json.dumps(aborted).encode(), 3)
        batches = [new_batch(3) for _ in range(24)]
        for index, batch in enumerate(batches):
            subprocess.run(["kcat", "-P", "-b", system.kafka, "-t",
                            system.prefix + "batch-requested", "-p", str(index % 12)],
                           input=json.dumps(batch), text=True, check=True, timeout=60)
        work.asked += batches
        await_true("all but that partition's are done", lambda: work.completed() == 46, 60, 0.2)
        blocked = [batch["batch_id"] for batch in batches[3::12]]
        assert not {event["batch_id"] for event in system.events("batch-accepted")} & set(blocked)
        check_alarm(system, instance, "batch-requested partition 3",
                    [f"{topic} partition {number}" for topic, number in internal.items()])
        producer.close()
        other.abort()
        other.close()
        work.await_done()
        # One that commits is an input like any other.
        producer = ForeignProducer(system.kafka, "a-stranger")
        producer.begin()
        committed = new_batch(5)
        producer.produce(system.prefix + "batch-requested", json.dumps(committed).encode(), 3)
        producer.commit()
        producer.close()
        work.asked.append(committed)
        work.await_done()
        assert instance.stop() == 0
        work.audit()


def optional_members(topic):
    schema = json.loads((SCHEMAS / f"{topic}.schema.json").read_text())
    return set(schema["properties"]) - set(schema["required"])


def rewrite(record, topic, newer):
    """The event as a newer version would write it, with members that this one does not know; or as
    an older one, with none but those that are required."""
    event = json.loads(record["value"])
    if newer:
        event |= {"of_tomorrow": {"nested": [1, 2.5, "x"]}, "another": None}
    else:
        event = {name: event[name] for name in event if name not in optional_members(topic)}
    return json.dumps(event)


# What one processor hands to the next: the topic, who reads it, and what he makes of it. Batches
# makes small batches whole; those that are great are made by tokens and merkle.
HAND_OVERS = (
    ("batch-accepted", "batches", {"token-chunk-requested": ("great",),
                                   "tokens-generated": ("small",),
                                   "merkle-root-computed": ("small",)}),
    ("token-chunk-requested", "tokens", {"tokens-generated": ("great",),
                                         "merkle-subtree-computed": ("great",)}),
    ("merkle-subtree-computed", "merkle", {"merkle-root-computed": ("great",)}),
    ("merkle-root-computed", "anchoring", {"anchor-queue": ("small", "great")}),
)


def outputs(system, topic, kind_of=None, kinds=()):
    """Keys and values, in order; of batches of these kinds, if such are named."""
    return sorted((record["key"], record["value"]) for record in system.consume(topic)
                  if kind_of is None or
                  kind_of[json.loads(record["value"])["batch_id"]] in kinds)


def other_versions():
    """Every event that one processor hands to the next, written by another version: what becomes of
    it is the same, byte by byte."""
    with System("versions") as system:
        work = Work(system)
        instance = system.start("one").await_ready()
        work.ask(1, 1024, 2500, 7, GREAT, sku="a-sku", metadata={"a": 1})
        kind_of = {batch["batch_id"]: "great" if batch["product_count"] >= GREAT else "small"
                   for batch in work.asked}
        work.await_done()
        assert instance.stop() == 0
        for topic, role, made in HAND_OVERS:
            records = system.consume(topic)
            wanted = {name: outputs(system, name, kind_of, kinds) for name, kinds in made.items()}
            assert records and all(wanted.values()), f"nothing to compare of {topic}"
            for newer in (True, False):
                if not newer and not optional_members(topic):
                    continue
                values = [(r["key"], rewrite(r, topic, newer)) for r in records]
                with case(26, f"{topic} of {'a newer' if newer else 'an older'} version"), System(
                        "version", **{name: system.environment[name]
                                      for name in ("VOKETAG_TOKEN_KEYS",)}) as other:
                    check_version(other, role, topic, values, wanted)


def check_version(other, role, topic, values, wanted):
    """`wanted`: keys and values by topic."""
    instance = other.start("one", VOKETAG_ROLES=role).await_ready()
    other.produce(topic, values)
    for made, expected in wanted.items():
        await_true(f"as many outputs in {made}",
                   lambda name=made, count=len(expected): len(other.consume(name)) >= count,
                   60, 0.2)
    assert instance.stop() == 0, instance.log()[-2000:]
    assert not other.consume("dead-letters"), other.consume("dead-letters")
    for made, expected in wanted.items():
        assert outputs(other, made) == expected, f"{made} differs"


def main():
    below_retention()
    foreign_transaction()
    other_versions()


if __name__ == "__main__":
    main()
