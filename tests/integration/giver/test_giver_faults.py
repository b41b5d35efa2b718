"""A giver killed between two steps, containers killed from outside, names taken, disks full."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from pathlib import Path

import docker
import psutil
import pytest
from giver_desk import Assign, Containers, Desk, GiverProcess, none_left, running_giver, until

from giver.hardening import ASSIGNMENT_LABEL, GIVER_LABEL, container_name
from giver.service import GiverService
from giver.settings import GiverSettings
from schemas.states import GiverState, Outcome
from tests.small_disk import MIB, small_disk

ONCE = "cat /proc/sys/kernel/random/uuid"
"""Prints something else each time it runs."""


@pytest.mark.parametrize("failpoint", ["after_create", "while_creating"])
async def test_a_giver_that_dies_between_create_and_start_leaks_no_container(
    process: GiverProcess, desk: Desk, assign: Assign, containers: Containers, failpoint: str
) -> None:
    assignment = assign(ONCE)
    await process.start(failpoint)
    await desk.dispatch(assignment)
    await process.died()
    (made,) = containers()
    assert made["State"] == "created"
    desk.forget_beats()
    await process.start()
    result = await desk.result(assignment)
    assert result.outcome is Outcome.SUCCEEDED
    assert len(result.stdout.splitlines()) == 1
    await none_left(containers)
    assert len(desk.results) == 1


async def test_a_giver_that_dies_once_the_broker_has_a_result_sends_the_very_same_again(
    process: GiverProcess, desk: Desk, assign: Assign, containers: Containers
) -> None:
    assignment = assign(ONCE)
    await process.start("after_publish")
    await desk.dispatch(assignment)
    first = await desk.result(assignment)
    await process.died()
    await process.start()
    assert await desk.result(assignment, copies=2) == first
    await none_left(containers)


@pytest.mark.parametrize("whom", ["init", "its command"])
async def test_a_process_killed_from_outside_is_no_lack_of_memory(
    giver: GiverService,
    desk: Desk,
    assign: Assign,
    containers: Containers,
    docker_client: docker.APIClient,
    whom: str,
) -> None:
    if os.geteuid() != 0:
        pytest.skip("killing a container's process needs root")
    assignment = assign(command=("sleep", "60"))
    await desk.dispatch(assignment)
    await desk.held(assignment, "running")
    init = psutil.Process(docker_client.inspect_container(containers()[0]["Id"])["State"]["Pid"])
    await until(lambda: bool(init.children()))
    (init if whom == "init" else init.children()[0]).kill()
    result = await desk.result(assignment)
    assert (result.outcome, result.exit_code) == (Outcome.KILLED, 137)
    assert "nor for lack of memory" in result.reason


@pytest.mark.parametrize("how", ["timeout", "cancel"])
async def test_who_ignores_sigterm_is_given_the_grace_and_not_much_more(
    settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers, how: str
) -> None:
    grace_s, timeout_s = 2, 1.0
    assignment = assign(
        "trap '' TERM; while true; do sleep 0.1; done",
        timeout_s=timeout_s if how == "timeout" else 60,
    )
    async with running_giver(settings.model_copy(update={"stop_grace_s": grace_s})):
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        if how == "cancel":
            await asyncio.sleep(timeout_s)
            await desk.cancel(assignment)
        result = await desk.result(assignment)
    assert result.outcome is (Outcome.TIMED_OUT if how == "timeout" else Outcome.CANCELLED)
    assert result.usage.wall_s is not None
    assert timeout_s + grace_s - 0.1 <= result.usage.wall_s < timeout_s + grace_s + 5


async def test_a_container_of_ours_that_has_the_name_is_adopted(
    giver: GiverService, desk: Desk, assign: Assign, docker_client: docker.APIClient, image: str
) -> None:
    assignment = assign("echo made anew")
    labels = {GIVER_LABEL: giver.giver_id, ASSIGNMENT_LABEL: assignment.assignment_id}
    docker_client.create_container(
        image,
        ["echo", "made before"],
        name=container_name(giver.giver_id, assignment.assignment_id),
        labels=labels,
        host_config=docker_client.create_host_config(network_mode="none"),
    )
    await desk.dispatch(assignment)
    assert (await desk.result(assignment)).stdout == "made before\n"


async def test_a_result_that_the_full_disk_has_no_room_for_waits_until_it_has(
    settings: GiverSettings, desk: Desk, assign: Assign, tmp_path: Path, containers: Containers
) -> None:
    small = settings.model_copy(update={"state_dir": tmp_path / "small"})
    with small_disk(small.state_dir, megabytes=1) as disk:
        async with running_giver(small):
            assignment = assign("sleep 1; head -c 60000 /dev/zero | tr '\\0' x")
            await desk.dispatch(assignment)
            await desk.held(assignment, "running")
            disk.fill()
            beat = await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
            assert "journal" in beat.state_reason
            # What is not written down is neither sent nor forgotten, and its container is there.
            assert desk.results == []
            assert len(containers()) == 1
            disk.make_room()
            assert len((await desk.result(assignment)).stdout) == 60_000
            await desk.beat(lambda beat: beat.state is GiverState.READY)
            await none_left(containers)


async def test_memory_stays_flat_whatever_is_written(
    settings: GiverSettings, image: str, desk: Desk, assign: Assign, containers: Containers
) -> None:
    def write(size: int) -> str:
        return f"head -c {size} /dev/zero | tr '\\0' x"

    process = GiverProcess(settings.model_copy(update={"output_limit": 128 * MIB}))
    await process.start()
    assert process.process is not None
    try:
        small, large = assign(write(MIB)), assign(write(100 * MIB), resources={"cpus": 2.0})
        endless = assign("tr '\\0' x < /dev/zero", resources={"cpus": 2.0})
        await desk.dispatch(small)
        result = await desk.result(small)
        assert (result.stdout_stream.bytes, result.stdout_stream.truncated) == (MIB, True)
        before = psutil.Process(process.process.pid).memory_info().rss
        began = time.monotonic()
        await desk.dispatch(large, endless)
        result = await desk.result(large)
        assert result.outcome is Outcome.SUCCEEDED
        assert (result.stdout_stream.bytes, result.stdout_stream.truncated) == (100 * MIB, True)
        assert (await desk.result(endless)).outcome is Outcome.OUTPUT_LIMIT
        grown = psutil.Process(process.process.pid).memory_info().rss - before
        assert grown < 20 * MIB, f"grew by {grown} in {time.monotonic() - began:.1f} s"
        await none_left(containers)
    finally:
        await process.end(signal.SIGTERM)


async def test_a_giver_without_a_place_for_files_says_so_until_it_has_one(
    settings: GiverSettings, desk: Desk, containers: Containers
) -> None:
    settings.state_dir.mkdir()
    data = settings.state_dir / "data"
    data.write_text("in the way")
    async with running_giver(settings):
        beat = await desk.beat(lambda beat: beat.state is GiverState.DEGRADED)
        assert "tasks' files find no place here" in beat.state_reason
        data.unlink()
        await desk.beat(lambda beat: beat.state is GiverState.READY)
