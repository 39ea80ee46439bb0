"""Figures to read (Markdown) and to compare (JSON): medians, spread, bounds reached or not."""

import json
import math
import statistics
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path

from .machine import ROOT


def percentile(values: list[float], share: float) -> float:
    """Nearest rank."""
    ordered = sorted(values)
    return ordered[max(1, math.ceil(share * len(ordered))) - 1]


@dataclass
class Measure:
    """One thing, measured once in each repetition."""

    name: str
    unit: str
    values: list[float] = field(default_factory=list)

    def median(self) -> float:
        return statistics.median(self.values)


@dataclass
class Bound:
    """A figure that must reach, or stay within, a bound."""

    name: str
    value: float
    at_least: float | None = None
    at_most: float | None = None

    def reached(self) -> bool:
        return (self.at_least is None or self.value >= self.at_least) and (
            self.at_most is None or self.value <= self.at_most
        )


class CaseResult:
    def __init__(self, name: str, what: str):
        self.name = name
        self.what = what
        self.measures: dict[str, Measure] = {}
        self.bounds: list[Bound] = []
        self.notes: list[str] = []

    def add(self, name: str, unit: str, value: float) -> None:
        self.measures.setdefault(name, Measure(name, unit)).values.append(value)

    def median(self, name: str) -> float:
        return self.measures[name].median()

    def ratio(
        self,
        name: str,
        of: str,
        to: str,
        at_least: float | None = None,
        at_most: float | None = None,
    ) -> None:
        self.bounds.append(Bound(name, self.median(of) / self.median(to), at_least, at_most))

    def within(
        self, name: str, at_least: float | None = None, at_most: float | None = None
    ) -> None:
        self.bounds.append(Bound(name, self.median(name), at_least, at_most))

    def markdown(self) -> str:
        lines = [
            f"## {self.name}",
            "",
            self.what,
            "",
            "| measure | unit | median | least | most | runs |",
            "|---|---|---:|---:|---:|---:|",
        ]
        for measure in self.measures.values():
            lines.append(
                f"| {measure.name} | {measure.unit} | {_number(measure.median())} | "
                f"{_number(min(measure.values))} | {_number(max(measure.values))} | "
                f"{len(measure.values)} |"
            )
        if self.bounds:
            lines += ["", "| bound | measured | must be | reached |", "|---|---:|---:|---|"]
        for bound in self.bounds:
            must = (
                f"at least {_number(bound.at_least)}"
                if bound.at_least is not None
                else (f"at most {_number(bound.at_most)}" if bound.at_most is not None else "-")
            )
            lines.append(
                f"| {bound.name} | {_number(bound.value)} | {must} | "
                f"{'yes' if bound.reached() else 'NO'} |"
            )
        return "\n".join(
            lines + ([""] + [f"- {note}" for note in self.notes] if self.notes else [])
        )

    def as_dict(self) -> dict:
        return {
            "name": self.name,
            "what": self.what,
            "notes": self.notes,
            "measures": [
                {**asdict(measure), "median": measure.median()}
                for measure in self.measures.values()
            ],
            "bounds": [{**asdict(bound), "reached": bound.reached()} for bound in self.bounds],
        }


def _number(value: float) -> str:
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.1f}" if abs(value) >= 10 else f"{value:.2f}"


def write(machine: dict, results: list[CaseResult], failures: list[str]) -> Path:
    """bench/results/<time>.md and .json; returns the former."""
    folder = ROOT / "bench/results"
    folder.mkdir(exist_ok=True)
    stem = folder / time.strftime("%Y%m%d-%H%M%S", time.gmtime())
    facts = [f"| {name.replace('_', ' ')} | {value} |" for name, value in machine.items()]
    text = "\n".join(
        [
            "# Measurements",
            "",
            "| machine | |",
            "|---|---|",
            *facts,
            "",
            "\n\n".join(result.markdown() for result in results),
            "",
            *[f"NOT MEASURED: {failure}" for failure in failures],
            "",
        ]
    )
    stem.with_suffix(".md").write_text(text)
    stem.with_suffix(".json").write_text(
        json.dumps(
            {
                "machine": machine,
                "failures": failures,
                "cases": [result.as_dict() for result in results],
            },
            indent=1,
        )
        + "\n"
    )
    return stem.with_suffix(".md")
