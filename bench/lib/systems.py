"""What is measured against each other: VokeTag, and the Kafka Streams peer with its JDBC loader.

Each has start(), stop(), the topics a client uses, and the processes whose memory and CPU count.
"""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from urllib.parse import urlparse

from . import tools
from .machine import ROOT
from .process import MeasuredProcess, MeasurementFailed
from .stack import Stack

PEER_FOLDER = ROOT / "bench/peer-streams"
LOG_FOLDER = ROOT / ".dev/log/bench"

# Roles that lead from a request to its root; all of them, to rows and anchors.
ROLES_TO_ROOT = "ingress,batches,tokens,merkle"
ALL_ROLES = "ingress,batches,tokens,merkle,anchoring,projections"


@dataclass
class Restore:
    records: int  # of the changelogs
    began_ns: int  # of CLOCK_MONOTONIC: when the group had given the partitions


class VokeTag:
    name = "voketag"
    request_topic = "voketag.batch-requested"
    chunk_topic = "voketag.tokens-generated"
    root_topic = "voketag.merkle-root-computed"
    completed_topic = "voketag.batch-completed"

    def __init__(
        self, stack: Stack, roles: str, instance: str = "bench-1", settings: dict | None = None
    ):
        self._stack = stack
        self._roles = roles
        self._instance = instance
        self._environment = {
            **stack.environment,
            "VOKETAG_INSTANCE": instance,
            "VOKETAG_MOCK_BLOCK_TIME_MS": "0",
            "VOKETAG_LOG_FORMAT": "json",
            "VOKETAG_STATE_DIR": str(self.state_directory()),
            **(settings or {}),
        }
        self.process: MeasuredProcess | None = None

    def state_directory(self) -> Path:
        return Path(self._stack.environment["VOKETAG_STATE_DIR"]) / self._instance

    def prepare(self) -> None:
        """Topics and views, so that neither is made while the clock runs."""
        for arguments in (["topics", "create"], ["migrate"]):
            done = subprocess.run(
                [binary(), *arguments],
                env={**os.environ, **self._environment},
                capture_output=True,
                text=True,
                check=False,
            )
            if done.returncode != 0:
                raise MeasurementFailed(
                    f"voketag {' '.join(arguments)}: {done.stdout}{done.stderr}"
                )

    def start(self, await_ready: bool = True) -> None:
        self.process = MeasuredProcess(
            self.name,
            [binary(), "run", "--roles", self._roles],
            self._environment,
            LOG_FOLDER / f"voketag-{self._instance}.log",
        )
        if await_ready:
            self.await_ready()

    def await_ready(self, timeout_s: float = 120) -> float:
        """Seconds from the start of the process until every worker has its partitions."""
        self.process.await_line("ready: every worker has its partitions", timeout_s)
        return (time.monotonic_ns() - self.process.started_ns) / 1e9

    def stop(self) -> None:
        self.process.stop()

    def resident_max_mib(self) -> float:
        return self.process.resident_max_mib()

    def cpu_seconds(self) -> float:
        return self.process.cpu_seconds()

    def restores(self) -> list[Restore]:
        """What its log says of the restores that have ended, in their order."""
        wall_ahead_ns = time.time_ns() - time.monotonic_ns()
        found = []
        for line in self.process.output().splitlines():
            restored = re.search(r"restored .* (\d+) changelog records, in (\d+) ms", line)
            if not restored:
                continue
            ended = datetime.fromisoformat(json.loads(line)["time"].replace("Z", "+00:00"))
            ended_ns = int(ended.timestamp() * 1e9) - wall_ahead_ns
            records, took_ms = (int(number) for number in restored.groups())
            found.append(Restore(records, ended_ns - took_ms * 1_000_000))
        return found

    def erase_state(self) -> None:
        shutil.rmtree(self.state_directory(), ignore_errors=True)


def binary() -> str:
    """The program that is measured."""
    build = tools.build_directory()
    for path in (build / "voketag", build / "voketag/voketag", build / "bin/voketag"):
        if path.is_file():
            return str(path)
    raise MeasurementFailed(f"there is no voketag in {build}: ./dev build release")


def build_peer() -> Path:
    """Packages the peer with Maven when its sources are newer than its jar."""
    jar = PEER_FOLDER / "target/peer-streams.jar"
    sources = [PEER_FOLDER / "pom.xml", *PEER_FOLDER.glob("src/**/*.java")]
    if not jar.exists() or jar.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        done = subprocess.run(
            ["mvn", "-q", "-B", "package"],
            cwd=PEER_FOLDER,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise MeasurementFailed(f"the peer does not build:\n{done.stdout[-3000:]}")
    return jar


class StreamsPeer:
    """bench/README.md says how heap and collector were chosen."""

    name = "kafka-streams"
    _JVM = [
        "-Xms256m",
        "-Xmx256m",
        "-XX:+UseSerialGC",
        "--add-opens",
        "java.base/sun.security.provider=ALL-UNNAMED",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    ]

    def __init__(self, stack: Stack, prefix: str = "peer.", settings: list[str] | None = None):
        self._stack = stack
        self._prefix = prefix
        self._settings = settings or []
        self.request_topic = prefix + "batch-requested"
        self.chunk_topic = prefix + "tokens-generated"
        self.root_topic = prefix + "merkle-root-computed"
        self.completed_topic = self.root_topic
        self.process: MeasuredProcess | None = None
        self._state: tempfile.TemporaryDirectory | None = None

    def prepare(self) -> None:
        """The peer makes its topics when it starts."""

    def start(self) -> None:
        jar = build_peer()
        self._state = tempfile.TemporaryDirectory(prefix="peer-streams-")
        command = [
            "java",
            *self._JVM,
            "-cp",
            str(jar),
            "voketag.peer.StreamsPeer",
            "--bootstrap",
            self._stack.kafka,
            "--prefix",
            self._prefix,
            "--state-dir",
            self._state.name,
            *self._settings,
        ]
        self.process = MeasuredProcess(
            self.name, command, self._stack.environment, LOG_FOLDER / "peer-streams.log"
        )
        self.process.await_line("running", 60)

    def stop(self) -> None:
        self.process.stop()
        self._state.cleanup()

    def resident_max_mib(self) -> float:
        return self.process.resident_max_mib()

    def cpu_seconds(self) -> float:
        return self.process.cpu_seconds()


class CopyLoader:
    """The JDBC COPY loader behind the peer, into a database of its own on the same server."""

    name = "jdbc-copy"
    _JVM = [
        "-Xms192m",
        "-Xmx192m",
        "-XX:+UseSerialGC",
        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
    ]

    def __init__(self, stack: Stack, topic: str, database: str, settings: list[str] | None = None):
        self._stack = stack
        self._topic = topic
        self._url = urlparse(database)
        self._settings = settings or []
        self.process: MeasuredProcess | None = None

    def start(self) -> None:
        url = self._url
        command = [
            "java",
            *self._JVM,
            "-cp",
            str(build_peer()),
            "voketag.peer.CopyLoader",
            "--bootstrap",
            self._stack.kafka,
            "--topic",
            self._topic,
            "--jdbc",
            f"jdbc:postgresql://{url.hostname}:{url.port}{url.path}",
            "--user",
            url.username,
            *self._settings,
        ]
        self.process = MeasuredProcess(
            self.name, command, {"PGPASSWORD": url.password or ""}, LOG_FOLDER / "peer-loader.log"
        )
        self.process.await_line("running", 60)

    def stop(self) -> None:
        self.process.stop()
