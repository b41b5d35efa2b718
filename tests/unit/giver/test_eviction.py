"""Which images go when Docker's disk fills up, and what is told of a pull."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from giver.engine import Engine, EngineUnavailable
from giver.eviction import Evictor, used_share
from giver.metrics import Metrics
from giver.pull_progress import PullProgress
from giver.pulled_images import FILE, PulledImages


class Docker:
    """Removes images, each of which frees a tenth of the disk."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.removed: list[tuple[str, str]] = []
        self.held: set[str] = set()
        """By containers that are not ours."""
        self.away = False

    async def remove_image(self, reference: str, image_id: str) -> bool:
        if self.away:
            raise EngineUnavailable("away")
        if reference in self.held:
            return False
        self.removed.append((reference, image_id))
        self.share -= 0.1
        return True


@pytest.fixture
def pulled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> PulledImages:
    """Four images, used in the order d, a, b, c."""
    clock: Iterator[int] = iter(range(100))
    monkeypatch.setattr("giver.pulled_images.time.time", lambda: float(next(clock)))
    made = PulledImages(tmp_path)
    for name in "abcd":
        made.pulled(name, f"id-{name}")
    for name in "abc":
        made.used(name)
    made.used("nobody pulled it")
    return made


def evictor(docker: Docker, pulled: PulledImages, *in_use: str) -> Evictor:
    return Evictor(
        cast(Engine, docker),
        pulled,
        Metrics(),
        above=0.8,
        below=0.65,
        used_share=lambda: docker.share,
        in_use=lambda: set(in_use),
    )


async def test_the_one_used_longest_ago_goes_first_until_there_is_room(
    pulled: PulledImages, tmp_path: Path
) -> None:
    docker = Docker(0.85)
    await evictor(docker, pulled).look()
    assert docker.removed == [("d", "id-d"), ("a", "id-a")]
    # What is gone is not remembered, by a giver that starts again either.
    assert [name for name, _ in PulledImages(tmp_path).idle(())] == ["b", "c"]


async def test_below_the_high_watermark_nothing_goes(pulled: PulledImages) -> None:
    docker = Docker(0.8)
    await evictor(docker, pulled).look()
    assert docker.removed == []


async def test_what_is_in_use_stays(pulled: PulledImages) -> None:
    docker = Docker(1.0)
    docker.held = {"a"}
    await evictor(docker, pulled, "b", "d").look()
    assert docker.removed == [("c", "id-c")]
    docker.held = set()
    await evictor(docker, pulled).look()
    assert [name for name, _ in docker.removed[1:]] == ["d", "a", "b"]


async def test_a_docker_that_is_away_is_asked_again_later(pulled: PulledImages) -> None:
    docker = Docker(1.0)
    docker.away = True
    await evictor(docker, pulled).look()
    docker.away = False
    await evictor(docker, pulled).look()
    assert len(docker.removed) == 4


async def test_without_a_figure_nothing_goes(pulled: PulledImages, tmp_path: Path) -> None:
    docker = Docker(1.0)
    docker.share = cast(Any, None)
    await evictor(docker, pulled).look()
    assert docker.removed == []
    assert used_share(tmp_path / "gone") is None
    share = used_share(tmp_path)
    assert share is not None
    assert 0 <= share <= 1


def test_an_unreadable_list_means_that_nothing_is_ours(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"a": 1}')
    assert PulledImages(tmp_path).idle(()) == []


def test_progress_is_the_sum_over_layers() -> None:
    progress = PullProgress("i:1")

    def says(layer: str, status: str, **detail: int) -> tuple[int, int]:
        progress.feed({"id": layer, "status": status, "progressDetail": detail})
        told = progress.told()
        return told.done_bytes, told.total_bytes

    progress.feed({"status": "Pulling from i"})
    assert says("1", "Pulling from i") == (0, 0)
    assert says("a", "Already exists") == (0, 0)
    assert says("b", "Downloading", current=10, total=100) == (10, 100)
    assert says("c", "Downloading", current=5, total=50) == (15, 150)
    assert says("b", "Download complete") == (105, 150)
    assert says("b", "Extracting", current=1, total=100) == (105, 150)
    assert says("c", "Downloading", current=60) == (160, 160)
    assert progress.told().image == "i:1"
