"""Colours: smooth, in range, and unharmed by the file."""

from pathlib import Path

import numpy as np

from deploy.demo.palette import load, paint, save


def levels(ranks: object, lights: object) -> np.ndarray:
    return np.stack(np.broadcast_arrays(np.asarray(ranks), np.asarray(lights)), axis=-1)[np.newaxis]


def test_the_unlit_is_dark_and_the_lit_is_bright() -> None:
    dark, bright = paint(levels([2000, 2000], [0, 8835]))[0].sum(axis=-1, dtype=int)

    assert dark < 100 < bright


def test_neighbouring_levels_have_neighbouring_colours() -> None:
    colours = paint(levels(np.arange(8836), 6000))[0].astype(int)

    assert np.abs(np.diff(colours, axis=0)).max() <= 4
    assert len(np.unique(colours, axis=0)) > 500


def test_a_saved_picture_is_read_back_pixel_by_pixel(tmp_path: Path) -> None:
    colours = paint(levels(np.arange(0, 8836, 10), 7000))

    save(colours, tmp_path / "picture.png")

    assert np.array_equal(load(tmp_path / "picture.png"), colours)
