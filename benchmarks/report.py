"""The tables that a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median

from rich.console import Console
from rich.table import Table

from benchmarks.measurements import Latencies, Rates


def print_rates(console: Console, title: str, rates: Rates) -> None:
    table = _table(title, "median", "rounds", f"ratio to {rates.peer}", "of each round")
    for side, runs in rates.runs.items():
        ratios = rates.ratios(side)
        mine = side in rates.ours
        table.add_row(
            side,
            f"{rates.rate(side):.4g} {rates.unit}",
            " ".join(f"{run.rate:.4g}" for run in runs),
            f"{median(ratios):.2f}" if mine else "",
            " ".join(f"{ratio:.2f}" for ratio in ratios) if mine else "",
        )
    table.caption = "; ".join(f"{side}: {note}" for side, note in rates.notes.items())
    table.caption_justify = "left"
    console.print(table)


def print_cpu(console: Console, rates: Rates) -> None:
    """Where the time goes."""
    table = _table("CPU seconds per 1,000, by process", "all", "")
    for side in rates.runs:
        spent = rates.cpu_per_1000(side)
        shares = sorted(spent.items(), key=lambda item: -item[1])
        table.add_row(
            side,
            f"{sum(spent.values()):.3g}",
            "  ".join(f"{name} {seconds:.3g}" for name, seconds in shares),
        )
    console.print(table)


def print_latencies(console: Console, latencies: Latencies) -> None:
    title = "One task at a time, from submission to its result in MongoDB"
    table = _table(title, "p50", "p95", f"p50 to {latencies.peer}", "of each round")
    for side in latencies.seconds:
        ratios = latencies.ratios(side)
        table.add_row(
            side,
            f"{latencies.percentile(side, 50) * 1000:.1f} ms",
            f"{latencies.percentile(side, 95) * 1000:.1f} ms",
            f"{median(ratios):.2f}" if side in latencies.ours else "",
            " ".join(f"{ratio:.2f}" for ratio in ratios) if side in latencies.ours else "",
        )
    console.print(table)


def print_trials(console: Console, trials: Mapping[str, float]) -> None:
    table = _table("Celery's variants, a short trial of each", "tasks/s")
    for variant, rate in sorted(trials.items(), key=lambda item: -item[1]):
        table.add_row(variant, f"{rate:.0f}")
    console.print(table)


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in columns:
        table.add_column(name, overflow="fold")
    return table
