#!/usr/bin/env python3
"""Outsiders' clients against the running system: Java's default producer and consumer, and kcat
without a key; and each golden record (schemas/golden) from one of them to the other. Needs the
broker and the database that VOKETAG_KAFKA and VOKETAG_POSTGRES name.
"""

import argparse
import hashlib
import json
import pathlib
import subprocess
import sys
import time
import uuid

HERE = pathlib.Path(__file__).resolve().parent
GOLDEN = HERE.parents[1] / "schemas/golden"
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE.parent / "end-to-end"))

# pylint: disable=wrong-import-position
import system as end_to_end
from system import GREAT, KAFKA, POSTGRES, System

BATCHES = 20
PRODUCTS = 2500  # two chunks and a part of a third
TIMEOUT_S = 240  # other tests run beside it


class Java:
    def __init__(self, arguments):
        self.base = ["java", "-cp", f"{arguments.classes}:{arguments.jars}/*",
                     "-Dorg.slf4j.simpleLogger.defaultLogLevel=error"]

    def run(self, program, verb, *arguments):
        done = subprocess.run([*self.base, program, verb, KAFKA, *map(str, arguments)],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=TIMEOUT_S + 60)
        assert done.returncode == 0, f"{program} {verb}:\n{done.stdout}{done.stderr}"
        return done.stdout


def send_with_kcat(topic, event):
    """Without key, header or partitioner of ours: what anyone types at a shell."""
    subprocess.run(["kcat", "-P", "-b", KAFKA, "-t", topic], input=json.dumps(event) + "\n",
                   text=True, check=True, timeout=60)


def request_with_kcat(prefix):
    """A batch so great that it is cut into chunks."""
    batch_id = str(uuid.uuid4())
    send_with_kcat(prefix + "batch-requested",
                   {"batch_id": batch_id, "product_count": GREAT, "note": "unknown"})
    return batch_id


def anchor_with_kcat(prefix):
    """A root that is none of ours, as ID:HEX:COUNT."""
    batch_id = str(uuid.uuid4())
    root = hashlib.sha256(batch_id.encode()).hexdigest()
    send_with_kcat(prefix + "anchor-requested",
                   {"batch_id": batch_id, "merkle_root": root, "product_count": 3})
    return f"{batch_id}:{root}:3"


def check_completed(system, batch_ids):
    """What kcat shows of batch-completed: each batch once, under its id."""
    keys = []
    for record in system.consume("batch-completed"):
        assert record["key"] == json.loads(record["value"])["batch_id"], record
        keys.append(record["key"])
    assert sorted(keys) == sorted(batch_ids), "kcat sees the same batches, each once"


def golden_records():
    """Key, headers and value of each golden record as bytes, in the order of their files."""
    for head in sorted(GOLDEN.glob("*.headers")):
        lines = [line.split(b": ", 1) for line in head.read_bytes().splitlines()]
        assert lines[0][0] == b"key", head
        value, = [path for path in (head.with_suffix(".json"), head.with_suffix(".value"))
                  if path.exists()]
        yield lines[0][1], lines[1:], value


def check_golden(java, topic):
    """Written by Java, read by kcat; written by kcat, read by Java: always the same bytes."""
    records = list(golden_records())
    java.run("GoldenRecords", "write", topic, GOLDEN)
    wanted = b"".join(
        b"%s\n%s\n%s\n" % (key, b",".join(b"=".join(header) for header in headers),
                           value.read_bytes()) for key, headers, value in records)
    found = subprocess.run(["kcat", "-C", "-b", KAFKA, "-t", topic, "-e", "-q", "-o", "beginning",
                            "-f", "%k\\n%h\\n%s\\n"], check=True, capture_output=True, timeout=60)
    assert found.stdout == wanted, f"kcat reads of Java's records {found.stdout} and not {wanted}"
    for key, headers, value in records:
        named = [part for header in headers for part in (b"-H", b"=".join(header))]
        subprocess.run(["kcat", "-P", "-b", KAFKA, "-t", topic, "-p", "0", "-k", key, *named,
                        str(value)], check=True, capture_output=True, timeout=60)
    java.run("GoldenRecords", "read", topic, GOLDEN)
    print(f"{len(records)} golden records from Java to kcat and from kcat to Java: equal bytes")


def check(system, java):
    began = time.monotonic()
    instance = system.start()
    batch_ids = java.run("ContractClient", "request", system.prefix, BATCHES, PRODUCTS).split()
    assert len(batch_ids) == BATCHES, batch_ids
    batch_ids.append(request_with_kcat(system.prefix))
    foreign = anchor_with_kcat(system.prefix)
    try:
        check_golden(java, system.prefix + "golden")
        print(java.run("ContractClient", "check", system.prefix, TIMEOUT_S, foreign,
                       *batch_ids).strip(), f"({time.monotonic() - began:.1f} s)")
        check_completed(system, batch_ids)
        code = instance.stop()
        assert code == 0, f"voketag run ended with {code} after SIGTERM"
    except BaseException:
        sys.stderr.write(instance.log()[-8000:])
        raise


def main():
    parser = argparse.ArgumentParser()
    for name in ("voketag", "classes", "jars"):
        parser.add_argument("--" + name, required=True)
    arguments = parser.parse_args()
    if not (KAFKA and POSTGRES):
        sys.exit("VOKETAG_KAFKA or VOKETAG_POSTGRES is not set: run `./dev test`, or "
                 "`./dev stack start NAME` and `eval \"$(./dev stack env NAME)\"`")
    end_to_end.BINARY = arguments.voketag
    with System("contract") as system:
        check(system, Java(arguments))


main()
