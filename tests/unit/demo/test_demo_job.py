"""The job file: what a person reads is what the seeker takes."""

import textwrap
from pathlib import Path

import pytest

from deploy.demo.job import RENDER, write
from deploy.demo.picture import Scene
from schemas.job import JobSpec
from seeker import jobfile
from seeker.rendering import container_of

SCENE = Scene()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "demo" / "job.yaml"
    write(SCENE, "busybox:local", path)
    return path


@pytest.fixture
def spec(path: Path) -> JobSpec:
    return jobfile.build(jobfile.read(path), str(path))


def test_every_tile_is_a_task_that_two_givers_have_to_agree_on(spec: JobSpec) -> None:
    assert spec.count == len(SCENE.tiles)
    assert (spec.agreement.replicas, spec.agreement.quorum) == (2, 2)


def test_each_task_is_told_its_own_tile_and_the_whole_script(spec: JobSpec) -> None:
    for index, tile in enumerate(SCENE.tiles):
        container = container_of(spec, "01J00000000000000000000000", index, "task")
        assert container.command == (
            *("awk", "-v", f"column={tile.column}", "-v", f"row={tile.row}"),
            RENDER.read_text(),
        )
        assert container.env.items() >= SCENE.environment().items()


def test_a_person_can_read_the_script_in_the_file(path: Path) -> None:
    assert textwrap.indent(RENDER.read_text(), "  ") in path.read_text()
