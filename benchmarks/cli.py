"""`python -m benchmarks`: measure, print, write down."""

from __future__ import annotations

import json
import os
import platform
import signal
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click
import psutil
from rich.console import Console

from benchmarks import report
from benchmarks.containers import containers
from benchmarks.infrastructure import infrastructure
from benchmarks.peer import VARIANTS, Variant
from benchmarks.profiling import find_py_spy
from benchmarks.tasks import fastest_peer, latency, throughput
from deploy.local.progress import OnConsole

_WIDTH = 120
PARTS = ("throughput", "latency", "containers")


@click.command()
@click.option("--only", "parts", multiple=True, type=click.Choice(PARTS), help="Repeatable.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1))
@click.option("--tasks", default=20_000, show_default=True, help="Of ours, in one array job.")
@click.option("--singles", default=2_000, show_default=True, help="Of ours, each its own job.")
@click.option("--celery-tasks", default=4_000, show_default=True)
@click.option("--celery", type=click.IntRange(1, len(VARIANTS)), help="A variant, untried.")
@click.option("--latency-tasks", default=200, show_default=True, help="A round and side.")
@click.option("--containers", "count", default=60, show_default=True, help="A round and side.")
@click.option("--at-once", default=4, show_default=True, help="Containers at a time.")
@click.option(
    "--profile",
    type=click.Path(path_type=Path, file_okay=False),
    help="A folder for flame graphs of our processes under load (py-spy).",
)
@click.option("--json", "path", type=click.Path(path_type=Path), help="Write all figures there.")
def main(
    parts: tuple[str, ...],
    rounds: int,
    tasks: int,
    singles: int,
    celery_tasks: int,
    celery: int | None,
    latency_tasks: int,
    count: int,
    at_once: int,
    profile: Path | None,
    path: Path | None,
) -> None:
    """Measure what a task costs here, beside Celery and beside Docker alone.

    The sides take turns, so that what else the machine does hits all of them; what counts is the
    ratio of each round.
    """
    signal.signal(signal.SIGTERM, _exit_on_signal)
    if profile is not None:
        find_py_spy()  # Better missed now than after minutes.
    # In a file or a pipe rich would assume 80 columns.
    console = Console(width=None if sys.stdout.isatty() else _WIDTH)
    progress = OnConsole()
    parts = parts or PARTS
    document: dict[str, Any] = {"machine": machine(), "began_at": datetime.now(UTC).isoformat()}
    with infrastructure() as infra:
        document["services"] = infra.versions()
        variant: Variant = VARIANTS[celery - 1] if celery else VARIANTS[0]
        if celery is None and {"throughput", "latency"} & set(parts):
            variant, trials = fastest_peer(infra, progress)
            document["celery_trials"] = trials
            report.print_trials(console, trials)
        document["celery"] = str(variant)
        if "throughput" in parts:
            rates = throughput(
                infra, progress, variant,
                rounds=rounds, tasks=tasks, singles=singles, peer_tasks=celery_tasks,
                profile=profile,
            )  # fmt: skip
            document["throughput"] = rates.document()
            report.print_rates(console, "No-op tasks, from submission to results", rates)
            report.print_cpu(console, rates)
        if "latency" in parts:
            latencies = latency(infra, progress, variant, rounds=rounds, tasks=latency_tasks)
            document["latency"] = latencies.document()
            report.print_latencies(console, latencies)
        if "containers" in parts:
            made = containers(infra, progress, rounds=rounds, count=count, at_once=at_once)
            document["containers"] = made.document()
            report.print_rates(console, "Containers: create, start, wait, output, remove", made)
    if path is not None:
        path.write_text(json.dumps(document, indent=2) + "\n")


def machine() -> dict[str, Any]:
    return {
        "cpus": os.cpu_count(),
        "memory_bytes": psutil.virtual_memory().total,
        "load_average": os.getloadavg(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "seekgive": metadata.version("seekgive"),
        "celery": metadata.version("celery"),
    }


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)
