"""The other end of a giver's queues, and givers to talk to."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from typing import Any

from broker import Link
from deploy.local.layout import CHECKOUT
from giver.engine import Engine
from giver.service import GiverService
from giver.settings import GiverSettings
from runtime.lifecycle import TaskGuard
from schemas import topology
from schemas.assignment import Assignment, CancelAssignments, Dispatch
from schemas.heartbeat import Heartbeat
from schemas.logs import StreamLogs
from schemas.result import Result

WAIT_S = 60.0

Assign = Callable[..., Assignment]
Containers = Callable[[], list[dict[str, Any]]]


async def until(condition: Callable[[], bool]) -> None:
    """For what can only be asked, such as Docker's containers."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.05)


async def none_left(containers: Containers) -> None:
    await until(lambda: not containers())


class Desk:
    """What the seeker and the channel are to a giver."""

    def __init__(self, url: str, giver_id: str) -> None:
        self.giver_id = giver_id
        self.results: list[Result] = []
        self.beats: list[Heartbeat] = []
        self._link = Link(url, name="desk", topology=topology.DURABLE)
        self._publisher = self._link.publisher()
        self._results = self._link.consumer(
            queue=lambda _: topology.CHANNEL_RESULTS, decode=Result.decode_all
        )
        self._beats = self._link.consumer(
            queue=lambda session: topology.heartbeat_queue("desk", session),
            decode=Heartbeat.decode,
            bind_to=[topology.HEARTBEATS],
            auto_ack=True,
        )
        self._news = asyncio.Condition()
        self._readers: list[asyncio.Task[None]] = []

    async def start(self) -> None:
        await self._link.start(timeout_s=10)
        self._readers = [
            asyncio.create_task(self._read_results()),
            asyncio.create_task(self._read_beats()),
        ]

    async def stop(self) -> None:
        for reader in self._readers:
            reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await reader
        await self._link.stop()

    async def dispatch(self, *assignments: Assignment) -> None:
        beat = await self.beat(lambda _: True)
        await self._publisher.publish(
            exchange=topology.DEFAULT_EXCHANGE,
            routing_key=topology.tasks_queue(self.giver_id, beat.session).name,
            body=Dispatch(giver_id=self.giver_id, assignments=assignments).encode(),
            message_id=assignments[0].assignment_id,
        )

    async def cancel(self, *assignments: Assignment) -> None:
        beat = await self.beat(lambda _: True)
        ids = tuple(each.assignment_id for each in assignments)
        await self._publisher.publish(
            exchange=topology.DEFAULT_EXCHANGE,
            routing_key=topology.control_queue(self.giver_id, beat.session).name,
            body=CancelAssignments(assignment_ids=ids).encode(),
            message_id=ids[0],
        )

    async def tell(self, message: StreamLogs) -> None:
        beat = await self.beat(lambda _: True)
        await self._publisher.publish(
            exchange=topology.DEFAULT_EXCHANGE,
            routing_key=topology.control_queue(self.giver_id, beat.session).name,
            body=message.encode(),
            message_id=message.follower,
        )

    async def beat(self, fits: Callable[[Heartbeat], bool]) -> Heartbeat:
        """The newest heartbeat, as soon as it fits."""
        async with self._news:
            async with asyncio.timeout(WAIT_S):
                await self._news.wait_for(lambda: self.beats and fits(self.beats[-1]))
            return self.beats[-1]

    async def held(self, assignment: Assignment, state: str) -> Heartbeat:
        """Wait until the inventory says so."""
        return await self.beat(
            lambda beat: any(
                held.assignment_id == assignment.assignment_id and held.state == state
                for held in beat.inventory
            )
        )

    async def result(self, assignment: Assignment, copies: int = 1) -> Result:
        """The assignment's result, once it has come so often."""
        async with self._news:
            async with asyncio.timeout(WAIT_S):
                await self._news.wait_for(lambda: len(self.results_of(assignment)) >= copies)
            return self.results_of(assignment)[-1]

    def results_of(self, assignment: Assignment) -> list[Result]:
        return [each for each in self.results if each.assignment_id == assignment.assignment_id]

    def forget_beats(self) -> None:
        """Those of a giver that is gone must not be taken for the next one's."""
        self.beats.clear()

    async def _read_results(self) -> None:
        while True:
            batch = await self._results.take()
            self._results.ack(batch)
            async with self._news:
                self.results += [result for delivery in batch for result in delivery.message]
                self._news.notify_all()

    async def _read_beats(self) -> None:
        while True:
            batch = await self._beats.take()
            async with self._news:
                self.beats += [delivery.message for delivery in batch]
                self._news.notify_all()


@contextlib.asynccontextmanager
async def running_giver(
    settings: GiverSettings, engine: Engine | None = None
) -> AsyncIterator[GiverService]:
    guard = TaskGuard()
    service = GiverService(settings, guard, engine)
    try:
        await service.start()
        yield service
    finally:
        await service.stop()
        await guard.cancel()
    if guard.failed.done():
        guard.failed.result()


class GiverProcess:
    """A real `giver run`."""

    def __init__(self, settings: GiverSettings) -> None:
        self._environment = {
            **os.environ,
            **{
                f"GIVER_{name.upper()}": str(getattr(settings, name))
                for name in settings.model_dump(exclude_defaults=True)
            },
        }
        self.process: asyncio.subprocess.Process | None = None

    async def start(self, failpoint: str | None = None) -> None:
        """`failpoint`: one of those in `tests.failpoints`, at which it kills itself."""
        module = ("tests.failpoints", failpoint) if failpoint else ("giver.cli", "run")
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *module, env=self._environment, cwd=CHECKOUT
        )

    async def died(self) -> None:
        """At its failpoint."""
        assert self.process is not None
        assert await asyncio.wait_for(self.process.wait(), WAIT_S) == -signal.SIGKILL

    async def end(self, number: signal.Signals) -> int:
        assert self.process is not None
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), WAIT_S)
