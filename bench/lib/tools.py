"""The C++ tools of bench/tools, from Python: ask for batches, await what must come of them."""

import itertools
import json
import os
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path

from .machine import ROOT
from .process import MeasurementFailed

_seeds = itertools.count(time.time_ns() // 1000)


def build_directory() -> Path:
    return Path(os.environ.get("VOKETAG_BUILD", ROOT / "build/release"))


def tool(name: str) -> str:
    path = build_directory() / "bench" / name
    if not path.exists():
        raise MeasurementFailed(f"{path} is missing: ./dev build release")
    return str(path)


def run_json(command: list[str], timeout_s: float = 300) -> dict:
    """Runs a command and reads the JSON line that it ends with."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=timeout_s)
    if done.returncode != 0:
        raise MeasurementFailed(
            f"{' '.join(command)} ended with {done.returncode}:\n{done.stderr[-2000:]}"
        )
    return json.loads(done.stdout.strip().splitlines()[-1])


def request_batches(
    kafka: str, topic: str, batches: int, products: int, ids: Path | None = None
) -> dict:
    """Fresh batch ids in each call: a repeated id would be a duplicate, and cost nothing."""
    command = [
        tool("request_batches"),
        "--bootstrap",
        kafka,
        "--topic",
        topic,
        "--batches",
        str(batches),
        "--products",
        str(products),
        "--seed",
        str(next(_seeds)),
    ]
    return run_json(command + (["--list", str(ids)] if ids else []))


@dataclass
class Awaited:
    records: int
    distinct_keys: int
    total: int
    value_bytes: int
    first_ns: int
    last_ns: int


class Await:
    """A read_committed consumer at the end of a topic: construct, ask for batches, result()."""

    def __init__(
        self,
        kafka: str,
        topic: str,
        records: int = 0,
        field: str = "",
        total: int = 0,
        equals: int = 0,
        from_beginning: bool = False,
        timeout_s: int = 180,
    ):
        command = [
            tool("await_topic"),
            "--bootstrap",
            kafka,
            "--topic",
            topic,
            "--records",
            str(records),
            "--total",
            str(total),
            "--equals",
            str(equals),
            "--timeout-s",
            str(timeout_s),
            "--from",
            "beginning" if from_beginning else "end",
        ]
        command += ["--field", field] if field else []
        self._topic = topic
        self._process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        if self._process.stdout.readline().strip() != "ready":
            raise MeasurementFailed(f"cannot await {topic}: {self._process.stderr.read()}")

    def result(self) -> Awaited:
        output, errors = self._process.communicate()
        lines = output.strip().splitlines()
        if self._process.returncode != 0:
            raise MeasurementFailed(f"{self._topic}: not all records came: {lines[-1:] or errors}")
        return Awaited(**json.loads(lines[-1]))


@dataclass
class Streamed:
    """One batch of a stream."""

    partition: int
    requested_ns: int
    root_ns: int

    @property
    def took_s(self) -> float:
        return (self.root_ns - self.requested_ns) / 1e9


class BatchStream:
    """Small batches at a steady rate, from construction to end()."""

    def __init__(self, kafka: str, topic: str, roots: str, batches_per_s: int):
        command = [
            tool("request_stream"),
            "--bootstrap",
            kafka,
            "--topic",
            topic,
            "--roots",
            roots,
            "--rate",
            str(batches_per_s),
            "--seed",
            str(next(_seeds)),
        ]
        self._process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        if self._process.stdout.readline().strip() != "ready":
            raise MeasurementFailed(f"cannot follow {roots}: {self._process.stderr.read()}")

    def end(self) -> list[Streamed]:
        """Waits for the roots of all that were requested."""
        output, errors = self._process.communicate()
        if self._process.returncode != 0:
            raise MeasurementFailed(f"not every batch of the stream has a root: {errors}")
        return [Streamed(*batch) for batch in json.loads(output)["batches"]]


def batch_latencies_ms(
    kafka: str, topic: str, completed: str, batches: int, products: int = 1000
) -> list[float]:
    return run_json(
        [
            tool("batch_latency"),
            "--bootstrap",
            kafka,
            "--topic",
            topic,
            "--completed",
            completed,
            "--batches",
            str(batches),
            "--products",
            str(products),
            "--seed",
            str(next(_seeds)),
        ],
        timeout_s=600,
    )["latencies_ms"]


def delete_topics(kafka: str, prefix: str) -> None:
    subprocess.run(
        [tool("topics"), "--bootstrap", kafka, "--delete-prefix", prefix],
        check=True,
        stdout=subprocess.DEVNULL,
    )
