"""`python -m benchmarks.trust`: what lies get through, and what it costs, under two rules.

Ours is the seeker's own scheduler with adaptive jobs; beside it BOINC's published rule. Givers are
simulated. Writes tables to the terminal, figures as JSON where asked, and pictures.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import structlog
from rich.console import Console
from rich.table import Table

from benchmarks.trust_givers import COLLUDING, SCENARIOS, Scenario, Tally
from benchmarks.trust_plots import draw_colluders, draw_scenarios
from benchmarks.trust_rules import by_boinc, by_seeker

Rule = Callable[[Scenario, int, int, int], Tally]
RULES: dict[str, Rule] = {"ours": by_seeker, "BOINC": by_boinc}


@click.command()
@click.option("--givers", default=500, show_default=True, help="Simulated ones.")
@click.option(
    "--warm-up", default=60, show_default=True, help="Tasks a giver before those that count."
)
@click.option("--tasks", default=40_000, show_default=True, help="That count, in each scenario.")
@click.option("--plots", type=click.Path(path_type=Path), help="Folder for the pictures.")
@click.option("--json", "figures", type=click.Path(path_type=Path), help="File for the figures.")
def main(givers: int, warm_up: int, tasks: int, plots: Path | None, figures: Path | None) -> None:
    """Simulate givers that lie, and count what gets through."""
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    console = Console()

    def run(scenario: Scenario) -> dict[str, Tally]:
        with console.status(scenario.name):
            size = (givers, warm_up * givers, tasks)
            return {name: rule(scenario, *size) for name, rule in RULES.items()}

    found = [(scenario.name, run(scenario)) for scenario in SCENARIOS]
    console.print(
        "wrong: answers accepted in 10,000 tasks; runs: for each task; lies: wrong answers of a "
        "giver until its first vote against a majority"
    )
    _print(console, f"{givers} givers, {tasks} tasks", found)
    colluding = [(share, run(plain), run(late)) for share, plain, late in COLLUDING]
    rows = [(f"{share:.0%} colluders", plain) for share, plain, _ in colluding]
    rows += [(f"{share:.0%} that turn bad", late) for share, _, late in colluding]
    _print(console, "Colluders, who all give the same wrong answer", rows)
    if figures is not None:
        figures.write_text(json.dumps(_document([*found, *rows]), indent=2) + "\n")
    if plots is not None:
        draw_scenarios(found, plots / "trust-scenarios.png")
        draw_colluders(colluding, plots / "trust-colluders.png")


def _print(console: Console, title: str, rows: Sequence[tuple[str, dict[str, Tally]]]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    for name in RULES:
        for heading in ("wrong", "runs", "lies"):
            table.add_column(f"{name}\n{heading}", justify="right")
    for name, tallies in rows:
        cells = []
        for tally in tallies.values():
            lies = tally.lies_until_found
            cells += [
                f"{tally.wrong_per_10000:.1f}",
                f"{tally.runs_per_task:.2f}",
                "-" if lies is None else f"{lies:.1f}",
            ]
        table.add_row(name, *cells)
    console.print(table)


def _document(rows: Sequence[tuple[str, dict[str, Tally]]]) -> dict[str, Any]:
    return {
        name: {rule: asdict(tally) for rule, tally in tallies.items()} for name, tallies in rows
    }


if __name__ == "__main__":
    main()
