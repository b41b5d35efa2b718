"""From levels to colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from deploy.demo.picture import BASE, Levels

Colours = NDArray[np.uint8]
"""Shape (rows, columns, 3)."""

STOPS = (
    (0.00, 0x0A0E2C),
    (0.20, 0x1A5C96),
    (0.38, 0x82D6D6),
    (0.50, 0xFFF6E0),
    (0.64, 0xFAB048),
    (0.80, 0xBC3442),
    (0.92, 0x42124A),
    (1.00, 0x0A0E2C),
)
"""Position in the cycle, and the colour there: night, sea, dawn and back."""

CYCLES = 3.4
"""How often the colours go round from the first level to the last."""

PHASE = 0.42


def paint(levels: Levels) -> Colours:
    """The colours of a picture: hue by how soon a point escapes, brightness by its light."""
    rank, light = levels[..., 0] / (BASE * BASE), levels[..., 1] / (BASE * BASE - 1)
    positions = [position for position, _ in STOPS]
    cycle = np.mod(rank * CYCLES + PHASE, 1.0)
    hue = np.stack(
        [
            np.interp(cycle, positions, [colour >> shift & 0xFF for _, colour in STOPS])
            for shift in (16, 8, 0)
        ],
        axis=-1,
    )
    gloss = np.clip(light, 0, 1) ** 12 * 30
    shaded = hue * (0.12 + 0.95 * light[..., np.newaxis]) + gloss[..., np.newaxis]
    return np.clip(shaded, 0, 255).astype(np.uint8)


def save(colours: Colours, path: Path) -> None:
    Image.fromarray(colours).save(path, optimize=True)


def load(path: Path) -> Colours:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))
