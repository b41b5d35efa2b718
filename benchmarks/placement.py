"""`python -m benchmarks.placement`: what it costs to choose, for many givers and many tasks."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import click
from rich.console import Console

from benchmarks.infrastructure import Infrastructure, infrastructure
from benchmarks.placement_decisions import bytes_of_a_job, costs_of_decisions
from benchmarks.placement_goals import Figure, print_figures
from benchmarks.placement_seeker import Backlog, Load, backlog, heartbeats, kept_backlog
from benchmarks.tasks import alternating
from deploy.local.progress import OnConsole, Progress
from runtime.logs import configure_logging

PARTS = ("decisions", "heartbeats", "backlog", "singles")
FLEETS = (100, 1_000, 10_000)
GIVERS = 10_000
BACKLOG = 1_000_000
SHORT_BACKLOG = 1_000
SINGLES = 40_000
SINGLE_BACKLOGS = (10_000, 100_000)

Measured = tuple[list[Figure], dict[str, Any]]
"""For people, and all there is."""


@click.command()
@click.option("--only", "parts", multiple=True, type=click.Choice(PARTS), help="Repeatable.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--decisions", "count", default=4_000, show_default=True, help="A round and fleet.")
@click.option("--seconds", default=30.0, show_default=True, help="Of heartbeats.")
@click.option("--dispatch-seconds", default=8.0, show_default=True, help="A round and backlog.")
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write all figures there.")
def main(
    parts: tuple[str, ...],
    rounds: int,
    count: int,
    seconds: float,
    dispatch_seconds: float,
    path: Path | None,
) -> None:
    """Measure what the seeker's choosing costs, beside what it may cost.

    Decisions are made by the seeker's own scheduler alone; heartbeats and backlogs come to a
    `seeker run`, through a broker, from a process that is all of its givers.
    """
    configure_logging("error", None)
    document: dict[str, Any] = {}
    wanted = parts or PARTS
    if "decisions" in wanted:
        document["decisions"] = _show("Decisions", measure_decisions(OnConsole(), rounds, count))
    if {"heartbeats", "backlog", "singles"} & set(wanted):
        with infrastructure() as infra:
            document |= measure_seeker(
                infra, OnConsole(), wanted,
                rounds=rounds, seconds=seconds, dispatch_seconds=dispatch_seconds,
            )  # fmt: skip
    if path is not None:
        path.write_text(json.dumps(document, indent=2) + "\n")


def measure_seeker(
    infra: Infrastructure,
    progress: Progress,
    parts: Sequence[str] = PARTS,
    *,
    rounds: int,
    seconds: float,
    dispatch_seconds: float,
) -> dict[str, Any]:
    """Measure and print; all figures by part."""
    document: dict[str, Any] = {}
    if "heartbeats" in parts:
        with progress.step(f"heartbeats of {GIVERS:,} givers"):
            load = heartbeats(infra, givers=GIVERS, seconds=seconds)
        document["heartbeats"] = _show("Heartbeats", _heartbeats(load))
    if "backlog" in parts:
        found = _measure_backlogs(infra, progress, rounds, dispatch_seconds)
        document["backlog"] = _show("Backlog", found)
    if "singles" in parts:
        found = _measure_singles(infra, progress, rounds, dispatch_seconds)
        document["singles"] = _show("Jobs of one task", found)
    return document


def measure_decisions(progress: Progress, rounds: int, count: int) -> Measured:
    """Fleets take turns, so that what else the machine does hits all of them."""
    figures: list[Figure] = []
    document: dict[str, Any] = {}
    for full, what in ((True, "full"), (False, "half empty")):
        with progress.step(f"decisions in a fleet that is {what}"):
            costs = costs_of_decisions(FLEETS, full=full, rounds=rounds, decisions=count)
        document[what] = {givers: [c.document() for c in costs[givers]] for givers in FLEETS}
        each = {givers: _median(costs[givers], lambda c: c.decision) for givers in FLEETS}
        figures += [
            Figure(
                name=f"a decision, {givers:,} givers, {what}",
                value=each[givers],
                unit="µs",
                at_most=100 if givers == FLEETS[-1] else None,
            )
            for givers in FLEETS
        ]
        ratios = [
            large.decision / small.decision
            for small, large in zip(costs[FLEETS[-2]], costs[FLEETS[-1]], strict=True)
        ]
        figures.append(
            Figure(
                name=f"… {FLEETS[-1]:,} to {FLEETS[-2]:,} givers", value=median(ratios), at_most=1.5
            )
        )
        figures.append(
            Figure(
                name="… with its result and the heartbeats",
                value=_median(costs[FLEETS[-1]], lambda c: c.scheduler),
                unit="µs",
            )
        )
    return figures, document


def _heartbeats(load: Load) -> Measured:
    figures = [
        Figure(
            name=f"CPU of the seeker, {GIVERS:,} givers every 10 s",
            value=load.share * 100,
            unit="% of a core",
            at_most=25,
        ),
        Figure(name="a heartbeat", value=load.cpu_us_each, unit="µs of CPU"),
    ]
    return figures, load.document()


def _measure_backlogs(
    infra: Infrastructure, progress: Progress, rounds: int, seconds: float
) -> Measured:
    short: list[Load] = []
    whole: list[Backlog] = []
    sides: dict[str, Callable[[], None]] = {
        f"{SHORT_BACKLOG:,}": lambda: short.append(
            kept_backlog(infra, tasks=SHORT_BACKLOG, each=SHORT_BACKLOG, seconds=seconds)
        ),
        f"{BACKLOG:,} in one job": lambda: whole.append(
            backlog(infra, jobs=1, tasks=BACKLOG, seconds=seconds)
        ),
    }
    for side, number in alternating(sides, rounds):
        with progress.step(f"backlog of {side}, round {number}"):
            sides[side]()
    with progress.step(f"backlog of {BACKLOG:,} in 10,000 jobs"):
        many = backlog(infra, jobs=10_000, tasks=BACKLOG // 10_000, seconds=seconds)
    pairs = list(zip(short, whole, strict=True))
    figures = [
        Figure(
            name=f"dispatched with {SHORT_BACKLOG:,} waiting",
            value=_median(short, lambda load: load.rate),
            unit="/s",
        ),
        Figure(
            name=f"dispatched with {BACKLOG:,} waiting",
            value=_median(whole, lambda found: found.dispatch.rate),
            unit="/s",
        ),
        Figure(
            name="… ratio, median of the rounds",
            value=median(found.dispatch.rate / load.rate for load, found in pairs),
            at_least=0.9,
        ),
        Figure(
            name="… ratio by the seeker's CPU for each",
            value=median(load.cpu_us_each / found.dispatch.cpu_us_each for load, found in pairs),
            at_least=0.9,
        ),
    ]
    for name, found in (("one job", whole[-1]), ("10,000 jobs", many)):
        figures += [
            Figure(
                name=f"memory for a waiting task, {name}",
                value=found.bytes_each,
                unit="bytes",
                at_most=1024,
            ),
            Figure(
                name=f"restart until tasks go out, {name}",
                value=found.restart_s,
                unit="s",
                at_most=60,
            ),
        ]
    brief = _median(short, lambda load: load.rate)
    brief_cpu_us = _median(short, lambda load: load.cpu_us_each)
    figures += [
        Figure(name="dispatched, 10,000 jobs", value=many.dispatch.rate, unit="/s"),
        Figure(name="… ratio", value=many.dispatch.rate / brief, at_least=0.9),
        Figure(
            name="… ratio by the seeker's CPU for each",
            value=brief_cpu_us / many.dispatch.cpu_us_each,
            at_least=0.9,
        ),
    ]
    document = {
        "short": [load.document() for load in short],
        "one_job": [found.document() for found in whole],
        "many_jobs": many.document(),
    }
    return figures, document


def _measure_singles(
    infra: Infrastructure, progress: Progress, rounds: int, seconds: float
) -> Measured:
    """Jobs of one task, all different. New ones come in for those that end, however many wait."""
    loads: dict[int, list[Load]] = {waiting: [] for waiting in (SHORT_BACKLOG, *SINGLE_BACKLOGS)}
    sides = {f"{waiting:,}": waiting for waiting in loads}
    for side, number in alternating(sides, rounds):
        waiting = sides[side]
        with progress.step(f"backlog of {side} jobs of one task, round {number}"):
            loads[waiting].append(kept_backlog(infra, tasks=waiting, each=1, seconds=seconds))
    with progress.step("memory of jobs of one task"):
        each = bytes_of_a_job(SINGLES)
    figures = [Figure(name="memory for a waiting job", value=each, unit="bytes", at_most=1024)]
    short = loads[SHORT_BACKLOG]
    for waiting, found in loads.items():
        figures.append(
            Figure(
                name=f"dispatched with {waiting:,} waiting",
                value=_median(found, lambda load: load.rate),
                unit="/s",
            )
        )
        if waiting == SHORT_BACKLOG:
            continue
        pairs = list(zip(short, found, strict=True))
        figures += [
            Figure(
                name="… ratio, median of the rounds",
                value=median(long.rate / brief.rate for brief, long in pairs),
                at_least=0.9,
            ),
            Figure(
                name="… ratio by the seeker's CPU for each",
                value=median(brief.cpu_us_each / long.cpu_us_each for brief, long in pairs),
                at_least=0.9,
            ),
        ]
    document = {
        str(waiting): [load.document() for load in found] for waiting, found in loads.items()
    }
    return figures, {"bytes": each, "dispatch": document}


def _median(found: Sequence[Any], value: Callable[[Any], float]) -> float:
    return median(map(value, found))


def _show(title: str, measured: Measured) -> dict[str, Any]:
    figures, document = measured
    print_figures(Console(), title, figures)
    return {"figures": [figure.document() for figure in figures], "measured": document}


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.placement")
