"""A task's files, before any of them moves."""

from __future__ import annotations

from pathlib import Path

import pytest

from giver.data import Data
from giver.settings import GiverSettings
from runtime.transfers import DataError
from schemas.assignment import Assignment
from schemas.data import DataAccess, Input
from schemas.identifiers import assignment_id, new_job_id, task_id
from schemas.job import ContainerSpec, Resources


def assignment(*sizes: int, disk_bytes: int) -> Assignment:
    """With an input of each size."""
    task = task_id(new_job_id(), 0)
    return Assignment(
        assignment_id=assignment_id(task, 1),
        task_id=task,
        job_id=task.partition("-")[0],
        container=ContainerSpec(
            image="busybox:local",
            resources=Resources(disk_bytes=disk_bytes),
            inputs=tuple(
                Input(path=f"in-{number}", sha256="0" * 64, size_bytes=size)
                for number, size in enumerate(sizes)
            ),
            outputs=("x",),
        ),
        # Where nobody listens.
        data=DataAccess(inputs=tuple("http://127.0.0.1:1/" for _ in sizes)),
    )


async def test_inputs_larger_than_the_tasks_disk_are_not_even_asked_for(tmp_path: Path) -> None:
    data = Data(GiverSettings(broker_url="amqp://127.0.0.1:1/", state_dir=tmp_path))
    try:
        with pytest.raises(DataError, match="inputs have 1200 bytes, its disk 1000"):
            await data.prepare(assignment(600, 600, disk_bytes=1000))
        assert list(tmp_path.iterdir()) == []
    finally:
        await data.close()


def test_outputs_have_what_the_inputs_leave() -> None:
    assert assignment(600, 300, disk_bytes=1000).container.output_bytes == 100
