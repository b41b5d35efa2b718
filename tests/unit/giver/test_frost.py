"""Containers that stand still, and their deadlines."""

from __future__ import annotations

import asyncio
from typing import Any, cast

from giver.engine import Container, Engine, EngineUnavailable
from giver.frost import Deadline, Frost

CONTAINER = Container(id="c", assignment_id="a")


class Docker:
    """Only what a `Frost` needs of it."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails: list[Exception] = []

    async def pause(self, _: Container) -> None:
        self._call("pause")

    async def resume(self, _: Container) -> None:
        self._call("resume")

    def _call(self, name: str) -> None:
        if self.fails:
            raise self.fails.pop()
        self.calls.append(name)


def frost(docker: Docker, frozen: bool | None = False) -> tuple[Frost, Deadline]:
    deadline = Deadline(asyncio.get_running_loop(), lambda: None)
    return Frost(cast(Engine, docker), deadline, frozen), deadline


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_container_is_frozen_once_it_runs() -> None:
    docker = Docker()
    ice, deadline = frost(docker)
    ice.freeze()
    await settle()
    assert docker.calls == []
    deadline.start(60)
    ice.started(CONTAINER)
    await settle()
    ice.freeze()
    await settle()
    assert docker.calls == ["pause"]
    ice.thaw()
    await settle()
    assert docker.calls == ["pause", "resume"]
    deadline.cancel()


async def test_one_found_after_a_restart_is_thawed_as_nobody_knows() -> None:
    docker = Docker()
    ice, _ = frost(docker, frozen=None)
    ice.started(CONTAINER)
    await settle()
    assert docker.calls == ["resume"]


async def test_it_is_thawed_for_good_before_it_is_stopped() -> None:
    docker = Docker()
    ice, _ = frost(docker)
    ice.started(CONTAINER)
    ice.freeze()
    await ice.melt()
    ice.freeze()
    await settle()
    assert docker.calls in ([], ["pause", "resume"])


async def test_a_docker_that_does_not_answer_is_asked_again(monkeypatch: Any) -> None:
    monkeypatch.setattr("giver.frost._AGAIN_S", 0.0)
    docker = Docker()
    docker.fails = [EngineUnavailable("away")]
    ice, _ = frost(docker)
    ice.freeze()
    ice.started(CONTAINER)
    async with asyncio.timeout(5):
        while not docker.calls:  # noqa: ASYNC110
            await asyncio.sleep(0)
    assert docker.calls == ["pause"]


async def test_a_deadline_stands_still_while_halted() -> None:
    due = asyncio.Event()
    deadline = Deadline(asyncio.get_running_loop(), due.set)
    deadline.start(0.05)
    deadline.halt()
    assert deadline.running
    await asyncio.sleep(0.1)
    assert not due.is_set()
    deadline.go_on()
    async with asyncio.timeout(5):
        await due.wait()
