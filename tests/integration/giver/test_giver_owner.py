"""The owner of a host and their giver, on real containers."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
from typing import Any

from giver_desk import Assign, Containers, Desk, GiverProcess, running_giver, until

from giver.doctor import examine
from giver.hardening import GIVER_LABEL
from giver.owner import Word
from giver.settings import GiverSettings
from schemas.states import GiverState, Outcome
from tests.containers import free_ports


async def giver_command(*arguments: str) -> dict[str, Any]:
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "giver.cli", *arguments, "--json"),
        stdout=asyncio.subprocess.PIPE,
        env=os.environ,
    )
    stdout, _ = await process.communicate()
    assert process.returncode == 0
    answer: dict[str, Any] = json.loads(stdout)
    return answer


async def test_a_pause_freezes_survives_a_restart_and_costs_no_run_time(
    image: str,
    settings: GiverSettings,
    desk: Desk,
    assign: Assign,
    containers: Containers,
) -> None:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}"
    process = GiverProcess(settings.model_copy(update={"http_port": port}))
    # Frozen for longer than its timeout leaves: what counts is the time it ran.
    assignment = assign("echo begun; sleep 5; echo done", timeout_s=8)
    await process.start()
    try:
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        answer = await giver_command("pause", "--url", url)
        assert (answer["state"], answer["asked"]) == ("paused", "pause")
        beat = await desk.beat(lambda beat: beat.state is GiverState.PAUSED)
        assert beat.state_reason == "paused by its owner"
        await until(lambda: containers()[0]["State"] == "paused")
        await process.end(signal.SIGTERM)
        assert containers()[0]["State"] == "paused"
        desk.forget_beats()
        await process.start()
        await desk.beat(lambda beat: beat.state is GiverState.PAUSED and bool(beat.inventory))
        await asyncio.sleep(4)  # Nothing happens, which nothing tells of.
        assert containers()[0]["State"] == "paused"
        assert (await giver_command("resume", "--url", url))["state"] == "ready"
        result = await desk.result(assignment)
    finally:
        await process.end(signal.SIGTERM)
    assert result.outcome is Outcome.SUCCEEDED
    assert result.stdout == "begun\ndone\n"
    assert result.usage.wall_s is not None
    assert result.usage.wall_s < 8


async def test_a_frozen_container_can_be_cancelled(
    settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers
) -> None:
    assignment = assign("trap '' TERM; while :; do sleep 1; done")
    patient = settings.model_copy(update={"stop_grace_s": 3600})
    async with running_giver(patient) as giver:
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        giver.steward.say(Word(asked="pause"))
        await until(lambda: containers()[0]["State"] == "paused")
        await desk.cancel(assignment)
        assert (await desk.result(assignment)).outcome is Outcome.CANCELLED


async def test_a_drained_giver_finishes_and_takes_nothing_new(
    settings: GiverSettings, desk: Desk, assign: Assign
) -> None:
    one = settings.model_copy(update={"containers": 1})
    running, waiting, late = assign("sleep 1"), assign("echo waited"), assign("echo late")
    async with running_giver(one) as giver:
        await desk.dispatch(running, waiting)
        await desk.held(running, "running")
        giver.steward.say(Word(asked="drain"))
        await desk.beat(lambda beat: beat.state is GiverState.DRAINING)
        await desk.dispatch(late)
        beat = await desk.beat(lambda beat: bool(beat.refusals))
        assert beat.refusals[0].reason == "drained by its owner"
        assert (await desk.result(running)).outcome is Outcome.SUCCEEDED
        assert (await desk.result(waiting)).stdout == "waited\n"


async def test_a_doctor_runs_a_container_and_leaves_nothing(
    settings: GiverSettings, image: str, docker_client: Any
) -> None:
    checks = {check.name: check for check in await examine(settings, image)}
    assert {check.verdict for check in checks.values()} <= {"ok", "warning"}
    assert checks["broker"].verdict == checks["docker"].verdict == "ok"
    assert checks["container"].found == f"`true` ran in {image}"
    left = docker_client.containers(all=True, filters={"label": GIVER_LABEL})
    assert not [each for each in left if each["Labels"][GIVER_LABEL].startswith("doctor-")]
