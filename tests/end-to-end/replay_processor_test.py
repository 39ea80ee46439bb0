"""`voketag replay --processor` after a disturbed life: each processor, run again in a shadow, emits
byte for byte what it emitted, and nothing else; another configuration does not; the live system
never notices."""

import json
import pathlib
import random
import subprocess
import time

from system import BINARY, KAFKA, System, await_true, new_batch

LIBRARIES = pathlib.Path(__file__).resolve().parents[2] / ".dev" / "kafka" / "libs"
PROCESSORS = ("ingress", "batches", "tokens", "merkle", "anchoring")
# Made in chunks, by tokens and merkle; the smaller ones are made at once, by batches.
GREAT = 131_073


def replay(system, *arguments, code=0, **environment):
    """The answer as JSON; its exit code must be `code`."""
    done = subprocess.run([BINARY, "replay", *arguments, "--json"], text=True, capture_output=True,
                          env=system.environment | environment, timeout=300)
    assert done.returncode == code, (arguments, done.returncode, done.stdout[-3000:], done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def refused(system, what, *arguments, code=2, **environment):
    done = subprocess.run([BINARY, "replay", *arguments], text=True, capture_output=True,
                          env=system.environment | environment, timeout=300)
    assert done.returncode == code and what in done.stderr, (arguments, done)
    print(f"replay {' '.join(arguments)}: {done.stderr.strip()}")


def expect_equal(system, processor, *arguments):
    report = replay(system, "--processor", processor, *arguments)
    assert report["is_equal"] and report["equal"] > 0, report
    assert report["different"] == report["missing"] == report["unset_timers"] == 0, report
    assert [use["is_current"] for use in report["configurations"]] == [True], report
    print(f"{processor}: {report['transactions']} transactions, {report['records']} records, "
          f"{report['timers']} timers, {report['equal']} outputs, {report['took_ms']} ms")
    return report


def send(system, dice):
    """Batches of all sizes, some twice, some with other content; outsiders' anchors; rubbish."""
    batches = [new_batch(dice.choice([1, 40, 1000, 1025, 5000])) for _ in range(12)]
    batches.append(new_batch(GREAT))
    records = [(b["batch_id"], json.dumps(b)) for b in batches]
    for batch in dice.sample(batches, 4):
        # Under a key that leads it into another partition than the first.
        records.append((f"again {batch['batch_id']}", json.dumps(batch)))
        records.append((batch["batch_id"],
                        json.dumps(batch | {"product_count": batch["product_count"] + 1})))
    records += [("bad", "not json"), ("bad", "{}"), ("bad", '{"batch_id": 7}')]
    dice.shuffle(records)
    system.produce("batch-requested", records)
    anchors = [new_batch(7) | {"merkle_root": f"{dice.randrange(1 << 256):064x}"}
               for _ in range(3)]
    system.produce("anchor-requested", [(a["batch_id"], json.dumps(a)) for a in anchors])
    return batches


def await_completed(system, instance, count):
    def completed():
        assert instance.running(), instance.log()[-3000:]
        return system.count(
            "SELECT count(*) FROM voketag.batches WHERE status = 'completed'") >= count
    await_true(f"{count} batches are completed", completed, 240, 0.5)


def watermarks(system):
    listed = json.loads(subprocess.run(["kcat", "-L", "-J", "-b", KAFKA], check=True, text=True,
                                       capture_output=True, timeout=60).stdout)
    asked = [f"{topic['topic']}:{partition['partition']}:-1" for topic in listed["topics"]
             if topic["topic"].startswith(system.prefix) for partition in topic["partitions"]]
    done = subprocess.run(["kcat", "-Q", "-b", KAFKA] + [a for x in asked for a in ("-t", x)],
                          check=True, text=True, capture_output=True, timeout=60)
    return sorted(done.stdout.splitlines())


def a_disturbed_life(system, instance, dice):
    batches = []
    for kill in range(3):
        batches += send(system, dice)
        roots = len(system.consume("merkle-root-computed"))
        await_true("it is at work", lambda r=roots: len(
            system.consume("merkle-root-computed")) > r, 90, 0.05)
        time.sleep(dice.uniform(0, 0.5))
        instance.kill()
        instance.start()
    await_completed(system, instance, len(batches))
    return len(batches)


def check_usage(system):
    refused(system, "there is no processor 'batchs'; did you mean batches? The processors are: "
            "ingress, batches, tokens, merkle, anchoring", "--processor", "batchs")
    refused(system, "--view excludes --processor", "--processor", "batches", "--view", "products")
    refused(system, "--partition requires --processor", "--partition", "3")
    refused(system, "is no checkpoint: it has no checkpoint.json", "--processor", "batches",
            "--state", str(system.directory))
    refused(system, "--scratch names a directory with room", "--processor", "merkle", "--scratch",
            str(system.directory / "none"))
    refused(system, "VOKETAG_TOKEN_KEYS", "--processor", "tokens", VOKETAG_TOKEN_KEYS="")
    refused(system, "127.0.0.1:1", "--processor", "merkle", code=3, VOKETAG_KAFKA="127.0.0.1:1")


def check_other_configurations(system):
    """What was changed is seen in the outputs, and named."""
    report = replay(system, "--processor", "ingress", code=1, VOKETAG_CHUNK_SIZE="2048")
    assert report["different"] > 0 and report["missing"] == report["extra"] == 0, report
    assert '"chunk_size":1024' in report["configurations"][0]["version"], report
    assert not report["configurations"][0]["is_current"], report
    first = report["differences"][0]
    assert first["kind"] == "different" and first["topic"] == "batch-accepted", first
    assert "1024" in first["detail"] and "2048" in first["detail"], first
    # Another key under the same number: every token is another one.
    report = replay(system, "--processor", "tokens", code=1,
                    VOKETAG_TOKEN_KEYS="1:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8")
    assert report["different"] > 100 and report["extra"] == 0, report
    assert len(report["differences"]) == 20, report
    done = system.command("replay", "--processor", "ingress", check=False)
    assert "Equal to what was emitted, byte by byte." in done.stdout, done.stdout


def check_retention(system, checkpoint):
    """The beginning of the history is deleted: with the checkpoint it goes, without it does not."""
    end = [line for line in watermarks(system) if f"{system.prefix}batches-commits" in line]
    assert len(end) == 1, end
    part = expect_equal(system, "batches", "--state", str(checkpoint))
    assert part["extra"] is None, part
    first = json.loads(system.consume("batches-commits")[0]["value"])
    assert any(task["sequence"] == 1 for task in first["tasks"]), first
    request = system.directory / "delete.json"
    request.write_text(json.dumps({"version": 1, "partitions": [
        {"topic": system.prefix + "batches-commits", "partition": 0, "offset": 3}]}))
    subprocess.run(["java", "-cp", f"{LIBRARIES}/*", "org.apache.kafka.tools.DeleteRecordsCommand",
                    "--bootstrap-server", KAFKA, "--offset-json-file", str(request)],
                   check=True, capture_output=True, timeout=120)
    refused(system, "Begin at a checkpoint of the state with --state DIR", "--processor", "batches")
    again = expect_equal(system, "batches", "--state", str(checkpoint))
    assert again["equal"] == part["equal"], (part, again)


def main():
    seed = random.randrange(1 << 32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    with System("replay-processor") as system:
        refused(system, "there is no history of batches", "--processor", "batches")
        instance = system.start()
        instance.await_ready()
        done = a_disturbed_life(system, instance, dice)

        # Beside the running system, which goes on meanwhile.
        batches = send(system, dice)
        for processor in PROCESSORS:
            expect_equal(system, processor)
        await_completed(system, instance, done + len(batches))
        done += len(batches)

        assert instance.stop() == 0, instance.log()[-2000:]
        checkpoint = system.directory / "checkpoint"
        subprocess.run([BINARY, "state", "checkpoint", "--to", str(checkpoint)], check=True,
                       env=instance.environment, capture_output=True, timeout=120)
        refused(system, "nothing to compare: the checkpoint stands at the end of the history",
                "--processor", "batches", "--state", str(checkpoint), code=1)
        instance.start()
        instance.await_ready()
        done += len(send(system, dice))
        await_completed(system, instance, done)
        assert instance.stop() == 0, instance.log()[-2000:]

        before = watermarks(system)
        outputs = 0
        for processor in PROCESSORS:
            report = expect_equal(system, processor)
            assert report["extra"] == 0, report
            outputs += report["equal"]
        assert expect_equal(system, "anchoring")["timers"] > 0
        told = [record for topic in ("batch-accepted", "tokens-generated", "merkle-root-computed")
                for record in system.consume(topic)]
        assert outputs > len(told), "outputs were left out"
        part = expect_equal(system, "batches", "--partition", "3")
        assert part["extra"] is None and len(part["partitions"]) == 1, part
        for processor in PROCESSORS:
            expect_equal(system, processor, "--state", str(checkpoint))
        check_usage(system)
        check_other_configurations(system)
        assert watermarks(system) == before, "a shadow has written something"
        check_retention(system, checkpoint)
        print("every output again, byte by byte; what was changed was found")


if __name__ == "__main__":
    main()
