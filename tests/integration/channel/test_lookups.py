from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from schemas import digests
from schemas.heartbeat import Capacity, Heartbeat, Platform
from schemas.identifiers import new_job_id
from schemas.result import Result
from schemas.states import GiverState
from schemas.topology import HEARTBEATS
from tests.integration.channel.conftest import Wire
from tests.integration.channel.processes import ChannelProcess, eventually
from tests.unit.channel.builders import a_result


@pytest.fixture
async def stored(channel: ChannelProcess, wire: Wire) -> list[Result]:
    """Of one job: three tries at task 0 by three givers, one each at tasks 1 to 4 by the first.
    In the order of storing."""
    job = new_job_id()
    results = [a_result(0, job=job, attempt=n, giver=f"giver-{n}") for n in (1, 2, 3)]
    results += [a_result(index, job=job, giver="giver-1") for index in range(1, 5)]
    for result in results:
        await wire.send([result])
        await wire.told_of_all([result])
    return results


def ids(results: list[Result]) -> list[str]:
    return [result.result_id for result in results]


async def pages(channel: ChannelProcess, path: str) -> list[list[str]]:
    """The result ids on each page, following the links."""
    found = []
    url: str | None = f"{channel.url}{path}"
    async with httpx.AsyncClient() as http:
        while url is not None:
            response = (await http.get(url)).raise_for_status()
            found.append([document["result_id"] for document in response.json()])
            url = response.links.get("next", {}).get("url")
    return found


async def test_results_are_found_by_task_job_and_giver_in_the_order_of_storing(
    channel: ChannelProcess, stored: list[Result]
) -> None:
    job = stored[0].job_id
    assert await pages(channel, f"/v1/tasks/{job}-0/results") == [ids(stored[:3])]
    assert await pages(channel, f"/v1/jobs/{job}/results") == [ids(stored)]
    assert await pages(channel, "/v1/givers/giver-1/results") == [ids([stored[0], *stored[3:]])]


async def test_a_result_has_every_field_and_how_it_came_here(
    channel: ChannelProcess, stored: list[Result], wire: Wire
) -> None:
    result = stored[0]
    document = (await channel.get(f"/v1/results/{result.result_id}")).raise_for_status().json()
    sent = json.loads(result.model_dump_json())
    found = {"digest": digests.digest(result), "comparable": None, "files_digest": None}
    assert {**document, "sent_at": sent["sent_at"]} == {
        **sent,
        **found,
        "stored_at": document["stored_at"],
        "sent_by": wire.link.user,
    }
    assert datetime.fromisoformat(document["sent_at"]) == result.sent_at
    listed = (await channel.get(f"/v1/tasks/{result.task_id}/results")).json()
    assert listed[0] == document


@pytest.mark.parametrize(("order", "step"), [("oldest", 1), ("newest", -1)])
async def test_pages_follow_one_another_without_gap_or_overlap(
    channel: ChannelProcess, stored: list[Result], order: str, step: int
) -> None:
    path = f"/v1/jobs/{stored[0].job_id}/results?limit=3&order={order}"
    expected = ids(stored)[::step]
    assert await pages(channel, path) == [expected[:3], expected[3:6], expected[6:]]


async def test_results_stored_at_the_same_moment_are_paged_each_once(
    channel: ChannelProcess, wire: Wire
) -> None:
    job = new_job_id()
    results = [a_result(index, job=job) for index in range(300)]
    await wire.send(results)
    await wire.told_of_all(results)
    for order in ("oldest", "newest"):
        found = await pages(channel, f"/v1/jobs/{job}/results?limit=7&order={order}")
        seen = [each for page in found for each in page]
        assert sorted(seen) == sorted(ids(results))


async def test_a_full_last_page_has_no_next(channel: ChannelProcess, stored: list[Result]) -> None:
    found = await pages(channel, f"/v1/jobs/{stored[0].job_id}/results?limit={len(stored)}")
    assert found == [ids(stored)]


@pytest.mark.parametrize(
    "path", [f"/v1/tasks/{'0' * 26}-0/results", f"/v1/jobs/{'0' * 26}/results", "/v1/givers"]
)
async def test_a_list_of_what_was_never_heard_of_is_empty(
    channel: ChannelProcess, path: str
) -> None:
    answer = await channel.get(path)
    assert (answer.status_code, answer.json()) == (200, [])


@pytest.mark.parametrize(
    ("path", "status", "said"),
    [
        ("/v1/tasks/nonsense/results", 422, "task_id: "),
        ("/v1/jobs/nonsense/results", 422, "job_id: "),
        ("/v1/givers/Not_A_Giver/results", 422, "giver_id: "),
        ("/v1/givers/giver-1/results?limit=0", 422, "limit: "),
        ("/v1/givers/giver-1/results?limit=1001", 422, "limit: "),
        ("/v1/givers/giver-1/results?order=best", 422, "order: "),
        ("/v1/givers/giver-1/results?after=x", 422, "after='x' names no result"),
        ("/v1/results/x", 404, "no result 'x' is stored"),
    ],
)
async def test_a_wrong_question_is_answered_with_what_is_wrong(
    channel: ChannelProcess, path: str, status: int, said: str
) -> None:
    answer = await channel.get(path)
    assert answer.status_code == status
    assert said in answer.json()["detail"]


async def test_a_heartbeat_is_a_registration(channel: ChannelProcess, wire: Wire) -> None:
    await eventually(channel.healthy)
    room = Capacity(cpus=2, memory_bytes=1 << 30, disk_bytes=1 << 30, containers=2)
    heartbeat = Heartbeat(
        giver_id="giver-1",
        boot_id="boot",
        session="session",
        sequence=0,
        interval_s=10,
        state=GiverState.READY,
        version="1",
        labels={"with.dots": "x", "$dollar": "y"},
        platform=Platform(os="linux", architecture="amd64"),
        capacity=room,
        free=room,
        backlog=0,
    )

    async def beat(**changes: Any) -> None:
        await wire.publisher.publish(
            exchange=HEARTBEATS.name,
            routing_key="",
            body=heartbeat.model_copy(update=changes).encode(),
            message_id="",
        )

    async def state() -> str | None:
        givers = (await channel.get("/v1/givers")).json()
        return givers[0]["state"] if givers else None

    await beat()
    assert await eventually(state) == "ready"
    (first,) = (await channel.get("/v1/givers")).json()
    assert first["labels"] == heartbeat.labels
    assert first["first_seen"] == first["last_seen"]
    await beat(state=GiverState.DRAINING, sequence=1)

    async def draining() -> bool:
        return await state() == "draining"

    await eventually(draining)
    (second,) = (await channel.get("/v1/givers")).json()
    assert second["first_seen"] == first["first_seen"]
    assert second["last_seen"] > first["last_seen"]


async def test_the_service_counts_what_it_stores(
    channel: ChannelProcess, stored: list[Result]
) -> None:
    lines = (await channel.get("/metrics")).text.splitlines()
    assert f"channel_results_stored_total {len(stored)}.0" in lines
    assert "channel_results_duplicate_total 0.0" in lines
    assert f"channel_batch_results_sum {len(stored)}.0" in lines


async def test_the_command_line_shows_what_the_service_answers(
    channel: ChannelProcess, stored: list[Result], tmp_path: Path
) -> None:
    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [Path(sys.executable).with_name("channel"), *arguments],
            env={**os.environ, "CHANNEL_URL": channel.url},
            cwd=tmp_path,
            check=False,
            capture_output=True,
            text=True,
        )

    job, first = stored[0].job_id, stored[0]
    listed = json.loads(run("results", first.task_id, "--json").stdout)
    assert [document["result_id"] for document in listed] == ids(stored[:3])
    assert len(json.loads(run("results", "--job", job, "--json").stdout)) == len(stored)
    assert len(json.loads(run("results", "--job", job, "--limit", "2", "--json").stdout)) == 2
    one = json.loads(run("get", first.result_id, "--json").stdout)
    assert one == listed[0]
    for shown in (run("results", first.task_id), run("get", first.result_id)):
        assert shown.returncode == 0
        assert first.result_id in shown.stdout
        assert "hello" in shown.stdout
    unknown = run("results", f"{job}-99", "--json")
    assert (unknown.returncode, unknown.stdout) == (0, "[]\n")
    for_a_person = run("results", f"{job}-99")
    assert for_a_person.returncode == 0
    assert f"no results of task {job}-99 are stored" in for_a_person.stderr
    missing = run("get", f"{job}-99-1@giver-1", "--json")
    assert (missing.returncode, missing.stdout) == (2, "")
    assert f"no result {job}-99-1@giver-1 is stored" in missing.stderr


async def test_a_taken_port_is_named_with_the_setting_to_change(
    channel: ChannelProcess, make_channel: Callable[..., ChannelProcess]
) -> None:
    second = make_channel()
    port = channel.url.rpartition(":")[2]
    second.environment["CHANNEL_HTTP_PORT"] = port
    second.spawn()
    assert second.wait() == 2
    said = second.output.read_text()
    assert f"cannot listen on 127.0.0.1:{port}" in said
    assert "set CHANNEL_HTTP_PORT" in said
    assert "Traceback" not in said
