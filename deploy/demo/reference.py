"""The same picture computed here, without the system: what every pixel has to be.

The arithmetic of `render.awk` on whole arrays: the same operations on IEEE doubles in the same
order, hence the same bits. It shares no code with it.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from deploy.demo.picture import Levels, Scene

Reals = NDArray[np.float64]

ESCAPE = 2.0**20
LOG_ESCAPE = 20.0


def reference(scene: Scene) -> Levels:
    """The levels of the whole picture, shape (height, width, 2)."""
    step = scene.view_width / scene.width
    columns = np.arange(scene.width, dtype=np.float64)
    rows = np.arange(scene.height, dtype=np.float64)
    across = scene.centre[0] + (columns + 0.5 - scene.width / 2) * step
    down = scene.centre[1] - (rows + 0.5 - scene.height / 2) * step
    grid_x, grid_y = np.meshgrid(across, down)
    levels = np.zeros((scene.height * scene.width, 2), dtype=np.int64)

    x, y = grid_x.ravel(), grid_y.ravel()
    dx, dy = np.ones_like(x), np.zeros_like(x)
    points = np.arange(x.size)
    for n in range(scene.iterations):
        xx, yy = x * x, y * y
        out = xx + yy >= ESCAPE
        if out.any():
            levels[points[out]] = _levels(
                n, x[out], y[out], dx[out], dy[out], xx[out] + yy[out], step
            )
            inside = ~out
            points = points[inside]
            x, y, dx, dy = x[inside], y[inside], dx[inside], dy[inside]
            xx, yy = xx[inside], yy[inside]
        dx, dy = 2 * (x * dx - y * dy), 2 * (x * dy + y * dx)
        x, y = xx - yy + scene.c[0], 2 * x * y + scene.c[1]
    return levels.reshape(scene.height, scene.width, 2)


def _levels(n: int, x: Reals, y: Reals, dx: Reals, dy: Reals, size: Reals, step: float) -> Levels:
    """Levels of points that escaped at iteration `n`, shape (points, 2)."""
    log_size = _logarithm(size)
    late = n + 1 - _logarithm(log_size / LOG_ESCAPE)
    rank = late / (late + 40)
    nx, ny = x * dx + y * dy, y * dx - x * dy
    greatest = np.maximum(np.abs(nx), np.abs(ny))
    nx, ny = nx / greatest, ny / greatest
    light = 0.6 + 0.4 * (ny - nx) / (_root(nx * nx + ny * ny) * math.sqrt(2))
    distance = log_size / step / 4
    near = size / (dx * dx + dy * dy) * distance * distance
    light = light * (near / (near + 0.25))
    return np.stack([np.trunc(rank * 8836), np.trunc(light * 8835)], axis=-1).astype(np.int64)


def _root(value: Reals) -> Reals:
    """Square root of values from 1 to 2, by four of Newton's steps."""
    r = np.full_like(value, 1.2)
    for _ in range(4):
        r = (r + value / r) / 2
    return r


def _logarithm(value: Reals) -> Reals:
    """To base 2, of values of at least 1; within 1e-6."""
    mantissa, exponent = np.frexp(value)
    t = (2 * mantissa - 1) / (2 * mantissa + 1)
    tt = t * t
    series = 1 + tt * (1 / 3 + tt * (1 / 5 + tt * (1 / 7 + tt / 9)))
    return np.asarray(exponent - 1 + 2 / math.log(2) * t * series, dtype=np.float64)
