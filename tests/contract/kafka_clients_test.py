#!/usr/bin/env python3
"""Outsiders' clients against the running system: Java's default producer and consumer, and kcat
without a key. Starts `voketag run` (without the views) under a topic prefix of its own on the
broker that VOKETAG_KAFKA names, and stops it again.
"""

import argparse
import json
import os
import pathlib
import signal
import subprocess
import sys
import tempfile
import time
import uuid

BATCHES = 20
PRODUCTS = 2500  # two chunks and a part of a third
TIMEOUT_S = 240  # other tests run beside it


class System:
    """`voketag run` with a prefix, a state directory and a log file of its own."""

    def __init__(self, voketag, directory, prefix):
        self.voketag, self.directory, self.prefix = voketag, pathlib.Path(directory), prefix
        self.log_path = self.directory / "voketag.log"
        self.process = None
        # Of the surrounding stack's settings only the broker and how to reach it.
        inherited = {name: value for name, value in os.environ.items()
                     if not name.startswith("VOKETAG_") or name.startswith("VOKETAG_KAFKA")}
        self.environment = {
            **inherited,
            "VOKETAG_TOPIC_PREFIX": prefix,
            "VOKETAG_STATE_DIR": str(self.directory / "state"),
            "VOKETAG_TOKEN_KEYS": "7:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8",
            "VOKETAG_MOCK_BLOCK_TIME_MS": "500",
        }

    def command(self, *arguments):
        done = subprocess.run([self.voketag, *arguments], env=self.environment, text=True,
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=60)
        assert done.returncode == 0, (
            f"voketag {' '.join(arguments)}: {done.returncode}\n{done.stdout}")
        return done.stdout

    def create_topics(self):
        """A broker on a busy machine may need longer than one command waits (exit code 3)."""
        deadline = time.monotonic() + 120
        while True:
            try:
                return self.command("topics", "create")
            except AssertionError as failure:
                if "topics create: 3\n" not in str(failure) or time.monotonic() > deadline:
                    raise
                time.sleep(0.5)

    def start(self):
        with self.log_path.open("wb") as log:
            self.process = subprocess.Popen(
                [self.voketag, "run", "--roles", "ingress,batches,tokens,merkle,anchoring"],
                env=self.environment, stdout=log, stderr=subprocess.STDOUT)

    def stop(self):
        """SIGTERM must end it in good order, and in time."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=120)
        assert code == 0, f"voketag run ended with {code} after SIGTERM"

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Java:
    def __init__(self, arguments, bootstrap, prefix):
        self.base = ["java", "-cp", f"{arguments.classes}:{arguments.jars}/*",
                     "-Dorg.slf4j.simpleLogger.defaultLogLevel=error", "ContractClient"]
        self.bootstrap, self.prefix = bootstrap, prefix

    def run(self, verb, *arguments):
        done = subprocess.run([*self.base, verb, self.bootstrap, self.prefix, *map(str, arguments)],
                              text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=TIMEOUT_S + 60)
        assert done.returncode == 0, f"ContractClient {verb}:\n{done.stdout}{done.stderr}"
        return done.stdout


def request_with_kcat(bootstrap, prefix):
    """A request without key, header or partitioner of ours: what anyone types at a shell."""
    batch_id = str(uuid.uuid4())
    value = json.dumps({"batch_id": batch_id, "product_count": PRODUCTS, "note": "unknown"})
    subprocess.run(["kcat", "-P", "-b", bootstrap, "-t", prefix + "batch-requested"],
                   input=value + "\n", text=True, check=True, timeout=30)
    return batch_id


def completed_by_kcat(bootstrap, prefix):
    """What kcat shows of batch-completed, as read_committed: {batch_id: event}."""
    done = subprocess.run(
        ["kcat", "-C", "-e", "-q", "-b", bootstrap, "-X", "isolation.level=read_committed",
         "-o", "beginning", "-t", prefix + "batch-completed", "-f", "%k\t%s\n"],
        text=True, stdout=subprocess.PIPE, check=True, timeout=60)
    events = {}
    for line in done.stdout.splitlines():
        key, value = line.split("\t")
        event = json.loads(value)
        assert key == event["batch_id"], f"key {key} of {value}"
        assert key not in events, f"{key} completed twice"
        events[key] = event
    return events


def main():
    parser = argparse.ArgumentParser()
    for name in ("voketag", "classes", "jars"):
        parser.add_argument("--" + name, required=True)
    arguments = parser.parse_args()
    bootstrap = os.environ.get("VOKETAG_KAFKA")
    if not bootstrap:
        sys.exit("VOKETAG_KAFKA is not set: run `./dev test`, or `./dev stack start NAME` and "
                 "`eval \"$(./dev stack env NAME)\"`")
    prefix = f"contract-{uuid.uuid4().hex[:8]}."
    java = Java(arguments, bootstrap, prefix)
    with tempfile.TemporaryDirectory() as directory:
        system = System(arguments.voketag, directory, prefix)
        try:
            system.create_topics()
            system.start()
            started = time.monotonic()
            batch_ids = java.run("request", BATCHES, PRODUCTS).split()
            assert len(batch_ids) == BATCHES, batch_ids
            batch_ids.append(request_with_kcat(bootstrap, prefix))
            print(java.run("check", TIMEOUT_S, *batch_ids).strip(),
                  f"({time.monotonic() - started:.1f} s)")
            completed = completed_by_kcat(bootstrap, prefix)
            assert set(completed) == set(batch_ids), "kcat sees the same batches"
            system.stop()
        except BaseException:
            if system.log_path.exists():
                sys.stderr.write(system.log_path.read_text(errors="replace")[-8000:])
            raise
        finally:
            system.kill()
            java.run("clean")


main()
