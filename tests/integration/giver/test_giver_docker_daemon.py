"""A Docker daemon that is restarted, frozen, or out of disk while containers run."""

from __future__ import annotations

import asyncio
import contextlib
import gc
from collections.abc import Iterator
from typing import Any

import docker
import pytest
from giver_desk import Assign, Desk, running_giver
from own_docker import OwnDocker, missing

from giver.settings import GiverSettings
from schemas.states import GiverState, Outcome

pytestmark = [
    pytest.mark.skipif(bool(missing()), reason=missing()),
    pytest.mark.filterwarnings(
        # docker-py forgets the socket of a connection that fails.
        "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
    ),
]


@contextlib.contextmanager
def own_docker(docker_client: docker.APIClient, image: str, **options: Any) -> Iterator[OwnDocker]:
    made = OwnDocker(**options)
    try:
        made.start()
        made.load(docker_client, image)
        yield made
    finally:
        made.close()
        gc.collect()


def using(settings: GiverSettings, own: OwnDocker) -> GiverSettings:
    return settings.model_copy(
        update={
            "docker_host": own.url,
            "docker_check_deadline_s": 1.0,
            "docker_call_deadline_s": 5.0,
        }
    )


async def test_a_container_outlives_a_daemon_with_live_restore_and_a_frozen_one(
    settings: GiverSettings, docker_client: docker.APIClient, image: str, desk: Desk, assign: Assign
) -> None:
    assignment, queued = assign("echo begun; sleep 8; echo done"), assign("echo after")
    with own_docker(docker_client, image, live_restore=True) as own:
        async with running_giver(using(settings, own)) as giver:
            await desk.dispatch(assignment)
            await desk.held(assignment, "running")
            await asyncio.to_thread(own.stop_daemon)
            await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
            await asyncio.to_thread(own.start_daemon)
            await desk.beat(lambda beat: beat.state is GiverState.READY)
            own.freeze()
            beat = await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
            assert "Docker" in beat.state_reason
            # The giver itself goes on: it answers, and says why it refuses.
            await desk.dispatch(queued)
            beat = await desk.beat(lambda beat: bool(beat.refusals))
            assert "Docker" in beat.refusals[0].reason
            assert "degraded" in giver.status()
            own.thaw()
            await desk.beat(lambda beat: beat.state is GiverState.READY)
            result = await desk.result(assignment)
            assert (result.outcome, result.stdout) == (Outcome.SUCCEEDED, "begun\ndone\n")
            await desk.dispatch(queued)
            assert (await desk.result(queued)).stdout == "after\n"
    assert len(desk.results_of(assignment)) == 1


async def test_a_container_that_went_down_with_its_daemon_is_nobodys_fault_but_the_hosts(
    settings: GiverSettings, docker_client: docker.APIClient, image: str, desk: Desk, assign: Assign
) -> None:
    assignment = assign("trap 'exit 3' TERM; echo begun; while true; do sleep 0.1; done")
    with own_docker(docker_client, image, live_restore=False) as own:
        async with running_giver(using(settings, own)):
            await desk.dispatch(assignment)
            await desk.held(assignment, "running")
            await asyncio.to_thread(own.stop_daemon)
            await asyncio.to_thread(own.start_daemon)
            result = await desk.result(assignment)
            await desk.beat(lambda beat: beat.state is GiverState.READY)
    assert result.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert "Docker went away while the container ran" in result.reason


async def test_a_docker_without_disk_fails_what_it_cannot_make_and_recovers(
    settings: GiverSettings, docker_client: docker.APIClient, image: str, desk: Desk, assign: Assign
) -> None:
    failing, running = assign("echo made"), assign("echo made")
    with own_docker(docker_client, image, disk="64m") as own:
        async with running_giver(using(settings, own)):
            await desk.beat(lambda beat: beat.state is GiverState.READY)
            filler = own.data / "filler"
            with contextlib.suppress(OSError):
                filler.write_bytes(bytes(64 << 20))
            await desk.dispatch(failing)
            result = await desk.result(failing)
            assert result.outcome is Outcome.INFRASTRUCTURE_ERROR
            assert "no space left on device" in result.reason
            filler.unlink()
            await desk.dispatch(running)
            assert (await desk.result(running)).stdout == "made\n"
