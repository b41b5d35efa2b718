"""Docker goes away while containers run: restarted, frozen, or for good."""

from __future__ import annotations

import gc
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from docker_proxy import DockerProxy
from giver_desk import Assign, Containers, Desk, none_left, running_giver

from giver.settings import GiverSettings
from schemas.states import GiverState, Outcome

pytestmark = pytest.mark.filterwarnings(
    # docker-py forgets the socket of a connection that fails.
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)


@pytest.fixture
async def proxy(tmp_path: Path) -> AsyncIterator[DockerProxy]:
    made = DockerProxy(tmp_path / "docker.sock")
    await made.start()
    yield made
    await made.cut()
    gc.collect()


@pytest.fixture
def impatient(settings: GiverSettings, proxy: DockerProxy) -> GiverSettings:
    return settings.model_copy(
        update={
            "docker_host": proxy.url,
            "docker_check_deadline_s": 0.5,
            "docker_call_deadline_s": 1.0,
            "docker_patience_s": 20.0,
        }
    )


async def test_a_container_that_runs_on_is_followed_to_its_end(
    impatient: GiverSettings,
    proxy: DockerProxy,
    desk: Desk,
    assign: Assign,
    containers: Containers,
) -> None:
    assignment = assign("cat /proc/sys/kernel/random/uuid; sleep 4; echo done")
    async with running_giver(impatient):
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        await proxy.cut()
        await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
        await proxy.start()
        await desk.beat(lambda beat: beat.state is GiverState.READY)
        result = await desk.result(assignment)
        assert result.outcome is Outcome.SUCCEEDED
        assert len(result.stdout.splitlines()) == 2
        assert result.stdout.endswith("done\n")
        assert result.exact_output
        await none_left(containers)


async def test_a_failure_nobody_watched_is_not_blamed_on_the_task(
    impatient: GiverSettings, proxy: DockerProxy, desk: Desk, assign: Assign
) -> None:
    assignment = assign("sleep 2; exit 1")
    async with running_giver(impatient):
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        await proxy.cut()
        await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
        await proxy.start()
        result = await desk.result(assignment)
        assert (result.outcome, result.exit_code) == (Outcome.INFRASTRUCTURE_ERROR, 1)


async def test_a_cancel_reaches_the_container_once_docker_is_back(
    impatient: GiverSettings,
    proxy: DockerProxy,
    desk: Desk,
    assign: Assign,
    containers: Containers,
) -> None:
    assignment = assign("sleep 60")
    async with running_giver(impatient):
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        proxy.freeze()
        await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
        await desk.cancel(assignment)
        proxy.thaw()
        assert (await desk.result(assignment)).outcome is Outcome.CANCELLED
        await none_left(containers)


async def test_when_patience_ends_what_runs_and_what_waits_is_given_up(
    impatient: GiverSettings,
    proxy: DockerProxy,
    desk: Desk,
    assign: Assign,
    containers: Containers,
) -> None:
    hasty = impatient.model_copy(
        update={
            "docker_patience_s": 1.0,
            "containers": 1,
            "reap_interval_s": 0.1,
            "reap_grace_s": 0.0,
        }
    )
    running, waiting = assign("sleep 60"), assign("true")
    async with running_giver(hasty):
        await desk.dispatch(running, waiting)
        await desk.held(running, "running")
        await proxy.cut()
        for assignment in (running, waiting):
            result = await desk.result(assignment)
            assert result.outcome is Outcome.INFRASTRUCTURE_ERROR
            assert "Docker" in result.reason
        await proxy.start()
        await desk.beat(lambda beat: beat.state is GiverState.READY)
        await none_left(containers)


async def test_a_giver_stops_at_once_though_docker_is_frozen(
    impatient: GiverSettings,
    proxy: DockerProxy,
    desk: Desk,
    assign: Assign,
    containers: Containers,
) -> None:
    assignment = assign("sleep 60")
    async with running_giver(impatient):
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        proxy.freeze()
        await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
        stopping = time.monotonic()
    assert time.monotonic() - stopping < 3
    assert len(containers()) == 1
