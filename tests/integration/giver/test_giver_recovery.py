"""What a giver makes of being killed, of repeats, of cancels, of what it finds."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import socket
import time
from pathlib import Path

import docker
import httpx
import pytest
from docker_proxy import DOCKER
from giver_desk import Assign, Containers, Desk, GiverProcess, none_left, running_giver, until

from giver.hardening import ASSIGNMENT_LABEL, GIVER_LABEL, container_name
from giver.identity import IdentityError
from giver.service import GiverService
from giver.settings import GiverSettings
from schemas.states import GiverState, Outcome

unclosed_by_docker_py = pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
"""It forgets the socket of a connection that fails."""

ONCE = "cat /proc/sys/kernel/random/uuid; "
"""Prints something else each time it runs."""


async def run(*command: str) -> None:
    process = await asyncio.create_subprocess_exec(*command)
    assert await process.wait() == 0


async def test_a_killed_giver_goes_on_with_its_container(
    process: GiverProcess, desk: Desk, assign: Assign, containers: Containers
) -> None:
    assignment = assign(ONCE + "sleep 4; echo done")
    await process.start()
    await desk.dispatch(assignment)
    await desk.held(assignment, "running")
    (before,) = containers()
    await process.end(signal.SIGKILL)
    desk.forget_beats()
    await process.start()
    await desk.held(assignment, "running")
    (after,) = containers()
    assert after["Id"] == before["Id"]
    result = await desk.result(assignment)
    assert result.outcome is Outcome.SUCCEEDED
    assert len(result.stdout.splitlines()) == 2
    assert result.stdout.endswith("done\n")
    await none_left(containers)
    assert len(desk.results_of(assignment)) == 1


async def test_what_ended_meanwhile_is_reported_and_what_waited_is_run(
    process: GiverProcess,
    settings: GiverSettings,
    desk: Desk,
    assign: Assign,
    containers: Containers,
) -> None:
    single = settings.model_copy(update={"containers": 1})
    ended, waiting = assign("sleep 1; echo ended"), assign("echo waited")
    process = GiverProcess(single)
    await process.start()
    await desk.dispatch(ended, waiting)
    await desk.held(ended, "running")
    await process.end(signal.SIGKILL)
    await until(lambda: containers()[0]["State"] == "exited")
    async with running_giver(single):
        assert (await desk.result(ended)).stdout == "ended\n"
        assert (await desk.result(waiting)).stdout == "waited\n"
        await none_left(containers)


async def test_sigterm_is_quick_and_leaves_the_container_running(
    process: GiverProcess, desk: Desk, assign: Assign, containers: Containers
) -> None:
    assignment = assign("sleep 60")
    await process.start()
    await desk.dispatch(assignment)
    await desk.held(assignment, "running")
    began = time.monotonic()
    assert await process.end(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5
    (container,) = containers()
    assert container["State"] == "running"


async def test_five_containers_outlive_a_restart(
    process: GiverProcess, desk: Desk, assign: Assign, containers: Containers
) -> None:
    assignments = [assign(ONCE + "sleep 4; echo done") for _ in range(5)]
    await process.start()
    await desk.dispatch(*assignments)
    for assignment in assignments:
        await desk.held(assignment, "running")
    before = {container["Id"] for container in containers()}
    assert await process.end(signal.SIGTERM) == 0
    desk.forget_beats()
    await process.start()
    for assignment in assignments:
        await desk.held(assignment, "running")
    assert {container["Id"] for container in containers()} == before
    for assignment in assignments:
        result = await desk.result(assignment)
        assert result.outcome is Outcome.SUCCEEDED
        assert len(result.stdout.splitlines()) == 2
    await none_left(containers)
    assert len(desk.results) == 5


async def test_sigterm_finishes_everything_where_that_is_the_mode(
    image: str, settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers
) -> None:
    draining = settings.model_copy(update={"containers": 1, "stop_mode": "drain"})
    process = GiverProcess(draining)
    running, waiting, late = assign("sleep 1; echo ran"), assign("echo waited"), assign("echo late")
    await process.start()
    await desk.dispatch(running, waiting)
    await desk.held(running, "running")
    ending = asyncio.create_task(process.end(signal.SIGTERM))
    beat = await desk.beat(lambda beat: beat.state is GiverState.DRAINING)
    assert beat.state_reason == "the giver is stopping"
    await desk.dispatch(late)
    assert await ending == 0
    assert (await desk.result(running)).stdout == "ran\n"
    assert (await desk.result(waiting)).stdout == "waited\n"
    assert desk.results_of(late) == []
    assert containers() == []


async def test_a_drain_hands_over_what_it_has_not_finished_in_time(
    image: str, settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers
) -> None:
    update = {"stop_mode": "drain", "stop_deadline_s": 0.5}
    process = GiverProcess(settings.model_copy(update=update))
    assignment = assign("sleep 60")
    await process.start()
    await desk.dispatch(assignment)
    await desk.held(assignment, "running")
    assert await process.end(signal.SIGTERM) == 0
    (container,) = containers()
    assert container["State"] == "running"


async def test_a_repeated_assignment_runs_once(
    giver: GiverService, desk: Desk, assign: Assign
) -> None:
    assignment = assign(ONCE + "sleep 1")
    for _ in range(5):
        await desk.dispatch(assignment, assignment)
    first = await desk.result(assignment)
    await desk.beat(lambda beat: not beat.inventory)
    assert desk.results_of(assignment) == [first]
    await desk.dispatch(assignment)
    assert await desk.result(assignment, copies=2) == first


async def test_a_result_is_sent_again_after_a_restart_too(
    settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers
) -> None:
    assignment = assign(ONCE)
    async with running_giver(settings):
        await desk.dispatch(assignment)
        first = await desk.result(assignment)
        await desk.beat(lambda beat: not beat.inventory)
    desk.forget_beats()
    async with running_giver(settings):
        await desk.dispatch(assignment)
        assert await desk.result(assignment, copies=2) == first


async def test_a_cancel_kills_what_runs_and_withdraws_what_waits(
    settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers
) -> None:
    running, waiting = assign("sleep 60"), assign("echo never")
    async with running_giver(settings.model_copy(update={"containers": 1})):
        await desk.dispatch(running, waiting)
        await desk.held(running, "running")
        await desk.cancel(waiting)
        assert (await desk.result(waiting)).outcome is Outcome.CANCELLED
        assert not desk.results_of(running)
        await desk.cancel(running)
        result = await desk.result(running)
        assert result.outcome is Outcome.CANCELLED
        await none_left(containers)


async def test_a_cancel_that_comes_first_prevents_the_start_even_after_a_restart(
    settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers
) -> None:
    at_once, later = assign("echo never"), assign("echo never")
    async with running_giver(settings):
        await desk.cancel(at_once, later)
        # The control queue is apart from the tasks: the cancel may still be on its way.
        await desk.beat(lambda beat: beat.sequence > 2)
        await desk.dispatch(at_once)
        assert (await desk.result(at_once)).outcome is Outcome.CANCELLED
    desk.forget_beats()
    async with running_giver(settings):
        await desk.dispatch(later)
        result = await desk.result(later)
    assert (result.outcome, result.stdout) == (Outcome.CANCELLED, "")


async def test_leftovers_are_removed_and_strangers_left_alone(
    settings: GiverSettings,
    desk: Desk,
    assign: Assign,
    containers: Containers,
    docker_client: docker.APIClient,
    image: str,
) -> None:
    def sleeper(giver: str) -> str:
        assignment_id = assign("true").assignment_id
        made = docker_client.create_container(
            image,
            ["sleep", "60"],
            name=container_name(giver, assignment_id),
            labels={GIVER_LABEL: giver, ASSIGNMENT_LABEL: assignment_id},
            host_config=docker_client.create_host_config(network_mode="none"),
        )
        docker_client.start(made["Id"])
        identity: str = made["Id"]
        return identity

    ours, strangers = sleeper(settings.id or ""), sleeper("another-giver")
    try:
        async with running_giver(settings):
            await none_left(containers)
        assert docker_client.inspect_container(strangers)["State"]["Running"]
        with pytest.raises(docker.errors.NotFound):
            docker_client.inspect_container(ours)
    finally:
        docker_client.remove_container(strangers, force=True)


async def test_a_late_leftover_is_removed_after_the_grace(
    settings: GiverSettings,
    desk: Desk,
    containers: Containers,
    assign: Assign,
    docker_client: docker.APIClient,
    image: str,
) -> None:
    eager = settings.model_copy(update={"reap_interval_s": 0.1, "reap_grace_s": 2.0})
    async with running_giver(eager):
        busy = assign("sleep 4; echo done")
        await desk.dispatch(busy)
        await desk.held(busy, "running")
        giver_id, assignment_id = settings.id or "", assign("true").assignment_id
        late = docker_client.create_container(
            image,
            ["true"],
            name=container_name(giver_id, assignment_id),
            labels={GIVER_LABEL: giver_id, ASSIGNMENT_LABEL: assignment_id},
        )["Id"]
        assert late in {each["Id"] for each in containers()}
        await until(lambda: late not in {each["Id"] for each in containers()})
        assert (await desk.result(busy)).outcome is Outcome.SUCCEEDED


async def test_a_taken_name_is_a_clear_error_and_the_taker_survives(
    giver: GiverService, desk: Desk, assign: Assign, docker_client: docker.APIClient, image: str
) -> None:
    assignment = assign("true")
    name = container_name(giver.giver_id, assignment.assignment_id)
    taker = docker_client.create_container(image, ["true"], name=name)["Id"]
    try:
        await desk.dispatch(assignment)
        result = await desk.result(assignment)
        assert result.outcome is Outcome.INFRASTRUCTURE_ERROR
        assert f"docker rm -f {name}" in result.reason
        docker_client.inspect_container(taker)
    finally:
        docker_client.remove_container(taker, force=True)


async def test_results_wait_for_the_broker(
    giver: GiverService, desk: Desk, assign: Assign, broker_url: str
) -> None:
    assignment = assign("sleep 1; echo survived")
    await desk.dispatch(assignment)
    running = await desk.held(assignment, "running")
    management = os.environ.get(
        "LOCAL_RABBITMQ_MANAGEMENT_URL", "http://guest:guest@127.0.0.1:15672"
    )
    vhost = broker_url.rpartition("/")[2]
    async with httpx.AsyncClient(base_url=management, timeout=30) as http:
        closed = 0
        async with asyncio.timeout(30):
            while not closed:  # The management plugin learns of connections with a delay.
                for connection in (await http.get(f"/api/vhosts/{vhost}/connections")).json():
                    if connection.get("client_properties", {}).get("connection_name") == "giver":
                        response = await http.delete(f"/api/connections/{connection['name']}")
                        closed += response.status_code == 204
    assert (await desk.result(assignment)).stdout == "survived\n"
    after = await desk.beat(lambda beat: beat.session != running.session)
    assert after.boot_id == running.boot_id


async def test_a_docker_that_hangs_makes_the_giver_degraded_not_hang(
    settings: GiverSettings, desk: Desk, assign: Assign, tmp_path: Path
) -> None:
    path = tmp_path / "docker.sock"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))
        listener.listen()
        deaf = settings.model_copy(
            update={"docker_host": f"unix://{path}", "docker_check_deadline_s": 0.5}
        )
        async with running_giver(deaf):
            beat = await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
            assert "Docker" in beat.state_reason
            assignment = assign("true")
            await desk.dispatch(assignment)
            beat = await desk.beat(lambda beat: bool(beat.refusals))
            assert beat.refusals[0].assignment_id == assignment.assignment_id
            assert "Docker" in beat.refusals[0].reason
            stopping = time.monotonic()
        assert time.monotonic() - stopping < 3


@unclosed_by_docker_py
async def test_a_docker_that_comes_back_makes_the_giver_ready(
    settings: GiverSettings, desk: Desk, assign: Assign, tmp_path: Path, containers: Containers
) -> None:
    path = tmp_path / "docker.sock"
    async with running_giver(settings.model_copy(update={"docker_host": f"unix://{path}"})):
        await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
        path.symlink_to(DOCKER)
        await desk.beat(lambda beat: beat.state is GiverState.READY)
        assignment = assign("echo ok")
        await desk.dispatch(assignment)
        assert (await desk.result(assignment)).stdout == "ok\n"
    gc.collect()


async def test_what_never_fits_is_refused_with_the_reason(
    giver: GiverService, desk: Desk, assign: Assign
) -> None:
    assignment = assign("true", resources={"cpus": 65.0})
    await desk.dispatch(assignment)
    beat = await desk.beat(lambda beat: bool(beat.refusals))
    assert "65 CPUs" in beat.refusals[0].reason


async def test_a_full_disk_refuses_and_recovers(
    settings: GiverSettings, desk: Desk, assign: Assign, tmp_path: Path, containers: Containers
) -> None:
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    small = tmp_path / "small"
    small.mkdir()
    await run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(small))
    try:
        async with running_giver(settings.model_copy(update={"state_dir": small})):
            await desk.beat(lambda beat: beat.state is GiverState.READY)
            filler = small / "filler"
            with pytest.raises(OSError, match="No space"):
                filler.write_bytes(b"x" * (2 << 20))
            refused = assign("true", env={"LONG": "x" * 20_000})
            await desk.dispatch(refused)
            beat = await desk.beat(lambda beat: bool(beat.refusals))
            assert beat.state is GiverState.DEGRADED
            assert "journal" in beat.state_reason
            filler.unlink()
            await desk.beat(lambda beat: beat.state is GiverState.READY)
            await desk.dispatch(refused)
            assert (await desk.result(refused)).outcome is Outcome.SUCCEEDED
    finally:
        await run("umount", str(small))


async def test_two_givers_never_share_a_state_folder(
    giver: GiverService, settings: GiverSettings
) -> None:
    with pytest.raises(IdentityError, match="another giver is running"):
        async with running_giver(settings):
            pass
