"""A measured process: started in a group of its own, watched through /proc, ended by its id."""

import os
import signal
import subprocess
import time
from pathlib import Path

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


class MeasurementFailed(Exception):
    """A measured thing did not do its work; the message says what to look at."""


def cpu_seconds(pid: int) -> float:
    """User and system time of all threads of a living process, without its children."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND


def thread_cpu_seconds(pid: int, name_starts: str) -> float:
    """CPU of the threads of a process whose name begins so."""
    total = 0.0
    for stat in Path(f"/proc/{pid}/task").glob("*/stat"):
        try:
            text = stat.read_text()
        except OSError:  # the thread has ended
            continue
        if text[text.index("(") + 1 :].startswith(name_starts):
            fields = text.rsplit(")", 1)[1].split()
            total += (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND
    return total


def resident_max_bytes(pid: int) -> int:
    """The largest resident set since the process began (VmHWM): no sampling can miss a peak."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise MeasurementFailed(f"process {pid} has ended")


class MeasuredProcess:
    """Output goes to a log file, which is shown when the process ends unasked."""

    def __init__(self, name: str, command: list[str], environment: dict, log: Path):
        self.name = name
        self._log = log
        self._log.parent.mkdir(parents=True, exist_ok=True)
        self.started_ns = time.monotonic_ns()
        with open(log, "wb") as output:
            self._process = subprocess.Popen(
                command,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self.pid = self._process.pid

    def check(self) -> None:
        if self._process.poll() is not None:
            tail = "\n".join(self.output().splitlines()[-15:])
            raise MeasurementFailed(
                f"{self.name} ended with exit code {self._process.returncode}; its log {self._log}:"
                f"\n{tail}"
            )

    def output(self) -> str:
        return self._log.read_text(errors="replace")

    def await_line(self, text: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while text not in self.output():
            self.check()
            if time.monotonic() > deadline:
                raise MeasurementFailed(
                    f"{self.name} did not print '{text}' in {timeout_s} s; see {self._log}"
                )
            time.sleep(0.01)

    def cpu_seconds(self) -> float:
        self.check()
        return cpu_seconds(self.pid)

    def resident_max_mib(self) -> float:
        self.check()
        return resident_max_bytes(self.pid) / 2**20

    def kill(self) -> int:
        """SIGKILL; returns when it was sent (ns of CLOCK_MONOTONIC)."""
        sent_ns = time.monotonic_ns()
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        return sent_ns

    def ask_to_stop(self) -> None:
        """SIGTERM; a second one would end it at once."""
        self._process.terminate()

    def await_stopped(self, timeout_s: float = 30) -> None:
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise MeasurementFailed(
                f"{self.name} did not stop within {timeout_s} s of SIGTERM"
            ) from None

    def stop(self) -> None:
        if self._process.poll() is None:
            self.ask_to_stop()
            self.await_stopped()
