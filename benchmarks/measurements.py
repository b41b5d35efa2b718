"""What was measured, as it is printed and written to JSON."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from statistics import median, quantiles
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One side's turn."""

    tasks: int
    seconds: float
    """From the first submission to the last result."""
    submitted_s: float
    """From the first submission to the last."""
    cpu_s: dict[str, float] = field(default_factory=dict)
    """By process; from the first submission until all is at rest again."""

    @property
    def rate(self) -> float:
        return self.tasks / self.seconds

    @property
    def cpu_per_1000(self) -> dict[str, float]:
        return {name: spent * 1000 / self.tasks for name, spent in self.cpu_s.items()}


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Runs of several sides in alternation; position by position they belong to one round."""

    unit: str
    runs: dict[str, list[Run]]
    ours: tuple[str, ...]
    peer: str
    notes: dict[str, str] = field(default_factory=dict)

    def rate(self, side: str) -> float:
        return median(run.rate for run in self.runs[side])

    def ratios(self, side: str) -> list[float]:
        """Of each round."""
        pairs = zip(self.runs[side], self.runs[self.peer], strict=True)
        return [run.rate / peer.rate for run, peer in pairs]

    def cpu_per_1000(self, side: str) -> dict[str, float]:
        """Medians by process."""
        each = [run.cpu_per_1000 for run in self.runs[side]]
        return {name: median(spent[name] for spent in each) for name in each[0]}

    def document(self) -> dict[str, Any]:
        return {
            "unit": self.unit,
            "peer": self.peer,
            "notes": self.notes,
            "sides": {
                side: {
                    "rate": self.rate(side),
                    "ratios": self.ratios(side),
                    "ratio": median(self.ratios(side)),
                    "cpu_s_per_1000": self.cpu_per_1000(side),
                    "runs": [asdict(run) for run in runs],
                }
                for side, runs in self.runs.items()
            },
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """Seconds from submission to result, one task at a time; by side and round."""

    seconds: dict[str, list[list[float]]]
    ours: tuple[str, ...]
    peer: str

    def percentile(self, side: str, percent: int) -> float:
        return median(_percentile(each, percent) for each in self.seconds[side])

    def ratios(self, side: str) -> list[float]:
        """Of each round's p50; above 1: slower than the peer."""
        pairs = zip(self.seconds[side], self.seconds[self.peer], strict=True)
        return [_percentile(mine, 50) / _percentile(peer, 50) for mine, peer in pairs]

    def document(self) -> dict[str, Any]:
        return {
            "unit": "seconds",
            "peer": self.peer,
            "sides": {
                side: {
                    "p50": self.percentile(side, 50),
                    "p95": self.percentile(side, 95),
                    "ratios": self.ratios(side),
                    "ratio": median(self.ratios(side)),
                    "rounds": rounds,
                }
                for side, rounds in self.seconds.items()
            },
        }


def _percentile(values: list[float], percent: int) -> float:
    return quantiles(values, n=100, method="inclusive")[percent - 1]
