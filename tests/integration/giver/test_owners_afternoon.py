"""An owner's afternoon with a giver: pause, a busy host, hours, limits on all tasks together."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path

import docker
import pytest
from giver_desk import Assign, Containers, Desk, none_left, running_giver, until

from giver import parent_cgroup
from giver.hours import parse
from giver.owner import Word
from giver.parent_cgroup import own_name, path_of
from giver.settings import GiverSettings
from schemas.heartbeat import Speed
from schemas.states import GiverState, Outcome


@contextlib.asynccontextmanager
async def busy_host() -> AsyncIterator[None]:
    """Somebody else's programs on every core."""
    spinning = [
        await asyncio.create_subprocess_exec("sh", "-c", "while :; do :; done")
        for _ in range(os.cpu_count() or 1)
    ]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            await process.wait()


def hours(first: int, last: int) -> str:
    """A span of the day, in hours from now."""
    now = datetime.now().astimezone()
    begin, end = (f"{now + timedelta(hours=each):%H:%M}" for each in (first, last))
    return f"{begin}-{end}"


async def test_an_owners_afternoon(
    image: str, settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers
) -> None:
    def frozen() -> bool:
        return bool(containers()[0]["State"] == "paused")

    watchful = {"owner_check_interval_s": 0.3, "idle_cpu": 0.75, "idle_for_s": 0.5}
    measured = {"speed": Speed(single=1, all_cores=1)}  # Measuring it takes all cores.
    settings = settings.model_copy(update={**watchful, **measured})
    # A little CPU of its own, which does not count as others'.
    assignment = assign(
        "for i in 1 2 3 4 5 6 7 8; do echo $i; n=0; while [ $n -lt 9999 ]; do n=$((n+1)); done; "
        "sleep 0.7; done",
        timeout_s=30,
    )
    async with running_giver(settings) as giver:
        await desk.beat(lambda beat: beat.state is GiverState.READY)
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        giver.steward.say(Word(asked="pause"))
        await until(frozen)
        giver.steward.say(Word())
        await until(lambda: not frozen())
        async with busy_host():
            reason = "others use more than 75% of the CPUs"
            beat = await desk.beat(lambda beat: beat.state_reason == reason)
            assert beat.state is GiverState.PAUSED
            await until(frozen)
        await desk.beat(lambda beat: beat.state is GiverState.READY)
        await until(lambda: not frozen())
        assert parent_cgroup.cpu_s(own_name(giver.giver_id, "cgroupfs")) > 0
    desk.forget_beats()
    async with running_giver(settings.model_copy(update={"hours": parse(hours(2, 3))})):
        beat = await desk.beat(lambda beat: beat.state is GiverState.PAUSED)
        assert beat.state_reason.startswith("out of hours")
        await until(frozen)
    assert frozen()
    desk.forget_beats()
    async with running_giver(settings.model_copy(update={"hours": parse(hours(-2, 3))})):
        result = await desk.result(assignment)
        await none_left(containers)
    assert (result.outcome, result.stdout) == (Outcome.SUCCEEDED, "1\n2\n3\n4\n5\n6\n7\n8\n")
    assert len(desk.results_of(assignment)) == 1


async def test_all_tasks_together_are_limited_by_a_group_of_the_givers_own(
    settings: GiverSettings,
    desk: Desk,
    assign: Assign,
    containers: Containers,
    docker_client: docker.APIClient,
    tmp_path: Path,
) -> None:
    if docker_client.info()["CgroupDriver"] != "cgroupfs" or os.geteuid() != 0:
        pytest.skip("made without systemd only by root")
    policy = tmp_path / "policy.yaml"
    policy.write_text("host: {cpus: 1.5, memory: 1GiB}")
    name = own_name(settings.id or "", "cgroupfs")
    memory = parent_cgroup.ROOT / ("" if parent_cgroup.unified() else "memory") / path_of(name)
    assignment = assign("sleep 1; echo done")
    async with running_giver(settings.model_copy(update={"policy": policy})):
        beat = await desk.beat(lambda beat: beat.state is GiverState.READY)
        assert (beat.capacity.cpus, beat.capacity.memory_bytes) == (1.5, 1 << 30)
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        (container,) = containers()
        assert (memory / container["Id"]).is_dir()
        limit = "memory.max" if parent_cgroup.unified() else "memory.limit_in_bytes"
        assert (memory / limit).read_text().strip() == str(1 << 30)
        result = await desk.result(assignment)
        assert result.outcome is Outcome.SUCCEEDED
        assert result.usage.peak_memory_bytes is not None
        assert (result.usage.received_bytes, result.usage.sent_bytes) == (0, 0)
        await none_left(containers)
    assert not memory.exists()
