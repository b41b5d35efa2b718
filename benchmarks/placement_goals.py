"""Goals and what came of them, side by side."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.table import Table


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    name: str
    value: float
    unit: str = ""
    at_most: float | None = None
    at_least: float | None = None

    @property
    def met(self) -> bool | None:
        """`None`: there is no goal."""
        if self.at_most is not None:
            return self.value <= self.at_most
        if self.at_least is not None:
            return self.value >= self.at_least
        return None

    @property
    def goal(self) -> str:
        if self.at_most is not None:
            return f"≤ {self.at_most:g} {self.unit}"
        return f"≥ {self.at_least:g} {self.unit}" if self.at_least is not None else ""

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "met": self.met}


def print_figures(console: Console, title: str, figures: list[Figure]) -> None:
    table = Table(title=title, title_justify="left", box=None, pad_edge=False)
    table.add_column("", overflow="fold")
    for name in ("goal", "figure", ""):
        table.add_column(name, justify="right" if name else "left")
    verdicts = {True: "[green]met[/]", False: "[red]missed[/]", None: ""}
    for figure in figures:
        value = f"{figure.value:,.0f}" if figure.value >= 1000 else f"{figure.value:.3g}"
        table.add_row(figure.name, figure.goal, f"{value} {figure.unit}", verdicts[figure.met])
    console.print(table)
