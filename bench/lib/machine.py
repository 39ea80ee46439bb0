"""Which machine, which versions, which revision: a figure without them says nothing."""

import os
import platform
import re
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def describe() -> dict:
    return {
        "cpu": _first_match("/proc/cpuinfo", r"model name\s*:\s*(.*)"),
        "sha_ni": " sha_ni" in Path("/proc/cpuinfo").read_text(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(int(_first_match("/proc/meminfo", r"MemTotal:\s*(\d+)")) / 2**20, 1),
        "kernel": platform.release(),
        "java": _line_of(["java", "-version"], 0),
        "postgresql": _line_of(["psql", "--version"], 0),
        "kafka": _kafka_version(),
        "compiler": _line_of(["c++", "--version"], 0),
        "revision": _revision(),
        "load_before": os.getloadavg()[0],
    }


def _first_match(path: str, pattern: str) -> str:
    found = re.search(pattern, Path(path).read_text())
    return found.group(1).strip() if found else "unknown"


def _line_of(command: list[str], index: int) -> str:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    except FileNotFoundError:
        return "missing"
    lines = (done.stdout + done.stderr).strip().splitlines()
    return lines[index] if lines else "unknown"


def _kafka_version() -> str:
    jars = sorted((ROOT / ".dev/kafka/libs").glob("kafka-clients-*.jar"))
    return jars[-1].stem.removeprefix("kafka-clients-") if jars else "unknown"


def _revision() -> str:
    revision = _line_of(["git", "rev-parse", "--short=12", "HEAD"], 0)
    changed = _line_of(["git", "status", "--porcelain", "--untracked-files=no"], 0) != "unknown"
    return revision + (" with uncommitted changes" if changed else "")
