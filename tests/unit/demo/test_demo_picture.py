"""The picture: what a container prints is, in every pixel, what the reference computes."""

import shutil
import subprocess

import numpy as np
import pytest

from deploy.demo.job import RENDER
from deploy.demo.picture import Levels, Scene, Tile, WrongTile, assemble, decode
from deploy.demo.reference import reference

SMALL = Scene(columns=3, rows=2, tile=12)


def encode(levels: Levels) -> str:
    """The text of a tile, written here a second time to check `decode` against."""
    return "".join(
        "".join(chr(33 + n // 94) + chr(33 + n % 94) for pixel in row for n in pixel) + "\n"
        for row in levels.tolist()
    )


def rendered(scene: Scene, tile: Tile) -> str:
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("no busybox here: apt-get install busybox-static")
    command = [
        busybox,
        "awk",
        "-v",
        f"column={tile.column}",
        "-v",
        f"row={tile.row}",
        "-f",
        str(RENDER),
    ]
    done = subprocess.run(
        command, env=scene.environment(), capture_output=True, text=True, check=True
    )
    return done.stdout


@pytest.mark.parametrize("tile", [Tile(column=0, row=0), Tile(column=2, row=1)], ids=str)
def test_awk_and_the_reference_agree_in_every_pixel(tile: Tile) -> None:
    levels = decode(rendered(SMALL, tile), SMALL.tile)

    top, left = tile.row * SMALL.tile, tile.column * SMALL.tile
    expected = reference(SMALL)[top : top + SMALL.tile, left : left + SMALL.tile]
    assert np.array_equal(levels, expected)


def test_points_that_never_escape_are_black_in_both() -> None:
    scene = Scene(columns=1, rows=1, tile=8, c=(0.0, 0.0), centre=(0.0, 0.0), view_width=3.0)

    levels = decode(rendered(scene, Tile(column=0, row=0)), scene.tile)

    assert np.array_equal(levels, reference(scene))
    assert levels[4, 4].tolist() == [0, 0]
    assert levels[0, 0, 0] > 0


def test_neighbouring_iterations_meet_without_a_step() -> None:
    """A ring where one more iteration is needed must not be seen in the colours."""
    scene = Scene(columns=1, rows=1, tile=200, c=(0.0, 0.0), centre=(2.0, 0.0), view_width=0.5)

    ranks = reference(scene)[100, :, 0]

    assert np.all(np.diff(ranks) <= 0)
    assert np.abs(np.diff(ranks)).max() <= 2 * np.median(np.abs(np.diff(ranks))) + 2


def test_a_tile_of_the_demo_travels_inside_its_result() -> None:
    scene = Scene()

    assert len(scene.tiles) >= 48
    assert scene.tile * (scene.tile * 4 + 1) < 60 * 1024


def test_tiles_are_put_where_they_belong() -> None:
    whole = np.arange(SMALL.height * SMALL.width * 2).reshape(SMALL.height, SMALL.width, 2) % 8836
    texts = {
        tile: encode(
            whole[
                tile.row * SMALL.tile : (tile.row + 1) * SMALL.tile,
                tile.column * SMALL.tile : (tile.column + 1) * SMALL.tile,
            ]
        )
        for tile in SMALL.tiles
    }

    assert np.array_equal(assemble(SMALL, texts), whole)


def test_a_missing_tile_is_named() -> None:
    with pytest.raises(WrongTile, match=r"tile 0,0 is missing"):
        assemble(SMALL, {})


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "0 characters in 0 lines, not 2 of 8"),
        ("!!!!!!!!\n!!!!\n", "not 2 of 8"),
        ("!!!!!!!!\n!!!! !!!\n", "outside ! to ~"),
        ("!!!!!!!!\n!!!!é!!!\n", "beyond ASCII"),
    ],
    ids=["empty", "short line", "space", "letter beyond ASCII"],
)
def test_a_text_that_is_no_tile_is_refused(text: str, complaint: str) -> None:
    with pytest.raises(WrongTile, match=complaint):
        decode(text, 2)
