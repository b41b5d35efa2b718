"""The scene, its division into tiles, and the text in which a tile travels."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FIRST = 33
BASE = 94
"""A number takes two characters from `!` to `~`, the higher digit first."""

Levels = NDArray[np.int64]
"""Shape (rows, columns, 2): how soon each point escapes, and how much light falls on it."""


class WrongTile(ValueError):
    """The text is not a tile of this scene; the message says what is wrong with it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tile:
    column: int
    row: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scene:
    """A piece of the Julia set of z² + c, in square tiles."""

    columns: int = 8
    rows: int = 6
    tile: int = 120
    """Pixels on a side. 120 make 57,720 bytes, which a result carries inline."""
    iterations: int = 400
    """At most 480: beyond, a level would not fit two characters."""
    centre: tuple[float, float] = (0.27, 0.28)
    view_width: float = 0.8
    c: tuple[float, float] = (0.285, 0.01)

    @property
    def width(self) -> int:
        return self.columns * self.tile

    @property
    def height(self) -> int:
        return self.rows * self.tile

    @property
    def tiles(self) -> tuple[Tile, ...]:
        return tuple(
            Tile(column=column, row=row)
            for row in range(self.rows)
            for column in range(self.columns)
        )

    def environment(self) -> dict[str, str]:
        """What `render.awk` is told; `repr` of a float is read back as exactly that float."""
        return {
            "WIDTH": str(self.width),
            "HEIGHT": str(self.height),
            "TILE": str(self.tile),
            "ITERATIONS": str(self.iterations),
            "CENTRE_X": repr(self.centre[0]),
            "CENTRE_Y": repr(self.centre[1]),
            "VIEW_WIDTH": repr(self.view_width),
            "C_X": repr(self.c[0]),
            "C_Y": repr(self.c[1]),
        }


def decode(text: str, side: int) -> Levels:
    """The levels of one tile, shape (side, side, 2).

    Raises:
        WrongTile: a line or a character is not as `render.awk` writes it.
    """
    lines = text.splitlines()
    if len(lines) != side or any(len(line) != 4 * side for line in lines):
        raise WrongTile(f"{len(text)} characters in {len(lines)} lines, not {side} of {4 * side}")
    if not text.isascii():
        raise WrongTile("it holds characters beyond ASCII")
    digits = np.frombuffer("".join(lines).encode(), dtype=np.uint8).astype(np.int64) - FIRST
    if digits.min() < 0 or digits.max() >= BASE:
        raise WrongTile("it holds characters outside ! to ~")
    pairs = digits.reshape(side, side, 2, 2)
    return pairs[..., 0] * BASE + pairs[..., 1]


def assemble(scene: Scene, texts: Mapping[Tile, str]) -> Levels:
    """The levels of the whole picture, shape (height, width, 2).

    Raises:
        WrongTile: one is missing or not a tile.
    """
    levels = np.zeros((scene.height, scene.width, 2), dtype=np.int64)
    for tile in scene.tiles:
        if tile not in texts:
            raise WrongTile(f"tile {tile.column},{tile.row} is missing")
        top, left = tile.row * scene.tile, tile.column * scene.tile
        try:
            piece = decode(texts[tile], scene.tile)
        except WrongTile as error:
            raise WrongTile(f"tile {tile.column},{tile.row}: {error}") from error
        levels[top : top + scene.tile, left : left + scene.tile] = piece
    return levels
