"""Tables for people: ids, figures and headings stay whole, whatever the terminal's width."""

from __future__ import annotations

from collections.abc import Collection

from rich.console import Console
from rich.table import Table
from rich.text import Text

GAP = 2
NARROWEST = 24
"""Columns; text that wraps gets as much at the least, if it has so much to say."""


class Listing:
    def __init__(
        self, *titles: str, whole: Collection[str] = (), figures: Collection[str] = ()
    ) -> None:
        """
        Args:
            whole: titles of columns that are never broken, as people copy from them; the others
                wrap between words.
            figures: titles of columns of numbers, never broken either.
        """
        self._titles = titles
        self._wraps = [title not in whole and title not in figures for title in titles]
        self._figures = [title in figures for title in titles]
        self._rows: list[list[Text]] = []

    def row(self, *cells: str | Text) -> None:
        self._rows.append([cell if isinstance(cell, Text) else Text(cell) for cell in cells])

    def show(self) -> None:
        """Where it does not fit the terminal, its lines run on rather than being cut."""
        console = Console()
        widths = [self._width(number) for number in range(len(self._titles))]
        gaps = len(widths) - 1
        gap = GAP if sum(widths) + GAP * gaps <= console.width else 1
        needed = sum(widths) + gap * gaps
        if needed > console.width:
            console = Console(width=needed)
        table = Table(box=None, pad_edge=False, padding=(0, gap, 0, 0))
        for number, title in enumerate(self._titles):
            table.add_column(
                title,
                no_wrap=not self._wraps[number],
                min_width=widths[number],
                justify="right" if self._figures[number] else "left",
                overflow="fold",
            )
        for row in self._rows:
            table.add_row(*row)
        console.print(table)

    def _width(self, number: int) -> int:
        """The least that a column can do with."""
        widest = max((row[number].cell_len for row in self._rows), default=0)
        wanted = min(NARROWEST, widest) if self._wraps[number] else widest
        return max(len(self._titles[number]), wanted)


def facts(**values: str | Text) -> None:
    """A line for each value that is not empty; names are aligned, `_` stands for a blank."""
    console = Console()
    width = max(len(name) for name, value in values.items() if value)
    grid = Table(box=None, pad_edge=False, show_header=False, padding=(0, GAP, 0, 0))
    grid.add_column(no_wrap=True, min_width=width)
    grid.add_column(overflow="fold")
    for name, value in values.items():
        if value:
            grid.add_row(name.replace("_", " "), value if isinstance(value, Text) else Text(value))
    console.print(grid)
