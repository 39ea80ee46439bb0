"""The broker and the database that a case runs on: a stack of its own, through the front door."""

import os
import re
import subprocess
from pathlib import Path

from .machine import ROOT
from .process import MeasurementFailed, cpu_seconds, thread_cpu_seconds


class Stack:
    def __init__(self, name: str):
        self.name = name
        self.environment: dict[str, str] = {}

    def start_fresh(self) -> None:
        self._dev("start", self.name, "--fresh")
        exports = self._dev("env", self.name)
        self.environment = dict(re.findall(r"export (\w+)='?([^'\n]*)'?", exports))

    def remove(self) -> None:
        self._dev("remove", self.name)

    @property
    def kafka(self) -> str:
        return self.environment["VOKETAG_KAFKA"]

    @property
    def postgres(self) -> str:
        return self.environment["VOKETAG_POSTGRES"]

    @property
    def directory(self) -> Path:
        return ROOT / ".dev/stacks" / self.name

    def broker_cpu_seconds(self) -> float:
        """Zero where the broker runs in a container, out of our sight."""
        pid = self._broker_pid()
        return cpu_seconds(pid) if pid else 0.0

    def broker_compiler_seconds(self) -> float:
        """CPU that the broker's JVM has spent on its best compiler."""
        pid = self._broker_pid()
        return thread_cpu_seconds(pid, "C2 CompilerThre") if pid else 0.0

    def _broker_pid(self) -> int | None:
        pid_file = self.directory / "kafka/broker.pid"
        return int(pid_file.read_text().split()[0]) if pid_file.exists() else None

    def _dev(self, *arguments: str) -> str:
        # The broker must not inherit our pipes: reading them would wait for it to end.
        done = subprocess.run(
            [ROOT / "dev", "stack", *arguments],
            capture_output=True,
            text=True,
            env={**os.environ, "NO_COLOR": "1"},
            check=False,
            timeout=300,
        )
        if done.returncode != 0:
            raise MeasurementFailed(
                f"./dev stack {' '.join(arguments)} failed:\n{done.stdout}{done.stderr}"
            )
        return done.stdout
