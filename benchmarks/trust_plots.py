"""The simulation's pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.figure import Figure

from benchmarks.trust_givers import Tally

Tallies = dict[str, Tally]

_COLOURS = {"ours": "#2b6cb0", "BOINC": "#dd6b20"}
_NONE = 0.05
"""Where no wrong answer is drawn: a logarithmic axis has no zero."""


def draw_scenarios(rows: Sequence[tuple[str, Tallies]], path: Path) -> None:
    """Bars: what got through, and what it cost."""
    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2), sharey=True, layout="constrained")
    height = 0.8 / len(_COLOURS)
    for shift, (rule, colour) in enumerate(_COLOURS.items()):
        places = [number + shift * height for number in range(len(rows))]
        wrong = [max(_NONE, tallies[rule].wrong_per_10000) for _, tallies in rows]
        runs = [tallies[rule].runs_per_task for _, tallies in rows]
        axes[0].barh(places, wrong, height, color=colour, label=rule)
        axes[1].barh(places, runs, height, color=colour, label=rule)
    axes[0].set_xscale("log")
    axes[0].axvline(1, color="grey", linestyle=":")
    axes[0].set_xlabel("wrong answers accepted in 10,000 tasks")
    axes[1].axvline(1.3, color="grey", linestyle=":")
    axes[1].set_xlim(left=1)
    axes[1].set_xlabel("runs per task")
    axes[0].set_yticks([number + height / 2 for number in range(len(rows))])
    axes[0].set_yticklabels([name for name, _ in rows])
    axes[0].invert_yaxis()
    axes[1].legend()
    _save(figure, path)


def draw_colluders(rows: Sequence[tuple[float, Tallies, Tallies]], path: Path) -> None:
    """Lines: what colluders of growing number get through, from the start or once trusted."""
    figure, axes = plt.subplots(figsize=(7, 4.2), layout="constrained")
    shares = [100 * share for share, _, _ in rows]
    kinds = (
        ("-", "from the start", [plain for _, plain, _ in rows]),
        ("--", "once trusted", [late for _, _, late in rows]),
    )
    for rule, colour in _COLOURS.items():
        for style, label, tallies in kinds:
            wrong = [max(_NONE, each[rule].wrong_per_10000) for each in tallies]
            axes.plot(shares, wrong, style, marker="o", color=colour, label=f"{rule}, {label}")
    axes.set_yscale("log")
    axes.axhline(1, color="grey", linestyle=":")
    axes.set_xlabel("colluders, per cent of the givers")
    axes.set_ylabel("wrong answers accepted in 10,000 tasks")
    axes.legend()
    _save(figure, path)


def _save(figure: Figure, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=90)
    plt.close(figure)
