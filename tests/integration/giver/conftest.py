"""A giver on real Docker and a real broker, and the other end of its queues."""

from __future__ import annotations

import contextlib
import io
import signal
import tarfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from docker.utils import kwargs_from_env
from giver_desk import Desk, GiverProcess, running_giver

from giver.hardening import GIVER_LABEL
from giver.service import GiverService
from giver.settings import GiverSettings
from schemas.assignment import Assignment
from schemas.identifiers import assignment_id, new_job_id, new_session, task_id
from schemas.job import ContainerSpec, Resources

IMAGE = "seekgive-test-giver:busybox"
_APPLETS = (
    *("sh", "cat", "sleep", "tail", "yes", "id", "touch", "head", "grep", "true", "echo"),
    "tr",
)


@pytest.fixture(scope="session")
def docker_client() -> Iterator[docker.APIClient]:
    client = docker.APIClient(version="auto", **kwargs_from_env())
    yield client
    client.close()


@pytest.fixture(scope="session")
def image(docker_client: docker.APIClient) -> str:
    """A static busybox and nothing else."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        tar.add("/bin/busybox", "bin/busybox")
        for name in _APPLETS:
            link = tarfile.TarInfo(f"bin/{name}")
            link.type, link.linkname = tarfile.SYMTYPE, "busybox"
            tar.addfile(link)
        recipe = b"FROM scratch\nADD bin /bin\n"
        entry = tarfile.TarInfo("Dockerfile")
        entry.size = len(recipe)
        tar.addfile(entry, io.BytesIO(recipe))
    context.seek(0)
    for event in docker_client.build(
        fileobj=context, custom_context=True, tag=IMAGE, rm=True, forcerm=True, decode=True
    ):
        assert "error" not in event, event
    return IMAGE


@pytest.fixture
def giver_id() -> str:
    return f"test-{new_session()}"


@pytest.fixture
def containers(
    docker_client: docker.APIClient, giver_id: str
) -> Iterator[Callable[[], list[dict[str, Any]]]]:
    """The giver's containers; whatever a failed test leaves is removed."""

    def listed() -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = docker_client.containers(
            all=True, filters={"label": f"{GIVER_LABEL}={giver_id}"}
        )
        return found

    yield listed
    for container in listed():
        with contextlib.suppress(docker.errors.APIError):  # The giver may be removing it.
            docker_client.remove_container(container["Id"], force=True, v=True)


@pytest.fixture
def settings(broker_url: str, tmp_path: Path, giver_id: str) -> GiverSettings:
    return GiverSettings(
        broker_url=broker_url,
        state_dir=tmp_path / "state",
        id=giver_id,
        cpus=64,
        memory="16GiB",
        disk="1TiB",
        containers=8,
        heartbeat_interval_s=1,
        docker_check_interval_s=0.3,
        stop_grace_s=1,
        pull_attempts=1,
        http_port=0,
    )


@pytest.fixture
async def desk(broker_url: str, giver_id: str) -> AsyncIterator[Desk]:
    made = Desk(broker_url, giver_id)
    await made.start()
    yield made
    await made.stop()


@pytest.fixture
async def giver(
    settings: GiverSettings, containers: object, image: str
) -> AsyncIterator[GiverService]:
    async with running_giver(settings) as service:
        yield service


@pytest.fixture
async def process(
    settings: GiverSettings, containers: object, image: str
) -> AsyncIterator[GiverProcess]:
    made = GiverProcess(settings)
    yield made
    if made.process is not None:
        await made.end(signal.SIGKILL)


@pytest.fixture
def assign(image: str) -> Callable[..., Assignment]:
    """An assignment to run a shell script, or a `command`."""

    def make(script: str = "", **options: Any) -> Assignment:
        job = new_job_id()
        task = task_id(job, 0)
        resources = Resources(
            **{"cpus": 0.5, "memory_bytes": 32 << 20, **options.pop("resources", {})}
        )
        command = options.pop("command", ("sh", "-c", script))
        return Assignment(
            assignment_id=assignment_id(task, 1),
            task_id=task,
            job_id=job,
            container=ContainerSpec(
                **{"image": image, "command": command, "resources": resources, **options}
            ),
        )

    return make
