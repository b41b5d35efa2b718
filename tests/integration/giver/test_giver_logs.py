"""What a container writes, to whoever looks on, and to nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from giver_desk import Assign, Desk, until

from broker import Consumer, Link
from giver.service import GiverService
from schemas import topology
from schemas.heartbeat import Progress
from schemas.logs import LogChunk, StreamLogs

CLOCK = "while true; do cat /proc/uptime; sleep 0.2; done"


class Follower:
    """Reads its own key, or every key."""

    def __init__(self, url: str, name: str, binding_key: str) -> None:
        self.name = name
        self.chunks: list[LogChunk] = []
        self.late_s: list[float] = []
        self.link = Link(url, name="follower", topology=(topology.LOGS,))
        self._consumer: Consumer[LogChunk] = self.link.consumer(
            queue=lambda _: topology.log_queue(name),
            decode=LogChunk.decode,
            bind_to=[topology.LOGS],
            binding_key=binding_key,
            auto_ack=True,
            quarantine=False,
        )

    async def read(self) -> None:
        while True:
            for delivery in await self._consumer.take():
                now = float(Path("/proc/uptime").read_text().split()[0])
                lines = delivery.message.text.split("\n")[:-1]
                self.late_s += [now - float(line.split()[0]) for line in lines if " " in line]
                self.chunks.append(delivery.message)

    @property
    def text(self) -> str:
        return "".join(chunk.text for chunk in self.chunks)


Follow = Callable[..., "contextlib.AbstractAsyncContextManager[Follower]"]


@pytest.fixture
def follow(broker_url: str) -> Follow:
    @contextlib.asynccontextmanager
    async def following(name: str, binding_key: str | None = None) -> AsyncIterator[Follower]:
        follower = Follower(broker_url, name, binding_key or f"*.{name}")
        await follower.link.start(timeout_s=10)
        reading = asyncio.create_task(follower.read())
        yield follower
        reading.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await reading
        await follower.link.stop()

    return following


async def test_lines_arrive_within_a_second_and_only_while_somebody_follows(
    giver: GiverService, desk: Desk, assign: Assign, follow: Follow
) -> None:
    assignment = assign(CLOCK)
    async with follow("observer", "#") as observer:
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        await asyncio.sleep(1)  # Lines are written, and nobody asked.
        assert observer.chunks == []
        assert giver.live_logs.published == 0
        ask = StreamLogs(assignment_id=assignment.assignment_id, follower="me", duration_s=2)
        async with follow("me") as me:
            await desk.tell(ask)
            await until(lambda: len(me.late_s) > 6)
            assert max(me.late_s[4:]) < 1.0  # Those before were written before.
            # Not asked for again, it ends by itself.
            await until(lambda: any(chunk.end for chunk in me.chunks))
        published = giver.live_logs.published
        seen = len(observer.chunks)
        await asyncio.sleep(1)
        assert (giver.live_logs.published, len(observer.chunks)) == (published, seen)
    await desk.cancel(assignment)
    await desk.result(assignment)


async def test_a_follower_that_vanished_ends_the_stream_at_once(
    giver: GiverService, desk: Desk, assign: Assign, follow: Follow
) -> None:
    assignment = assign(CLOCK)
    await desk.dispatch(assignment)
    await desk.held(assignment, "running")
    ask = StreamLogs(assignment_id=assignment.assignment_id, follower="gone", duration_s=60)
    async with follow("gone") as gone:
        await desk.tell(ask)
        await until(lambda: bool(gone.chunks))
    began = time.monotonic()
    await until(lambda: not giver.live_logs.streams)
    assert time.monotonic() - began < 5
    await desk.cancel(assignment)
    await desk.result(assignment)


async def test_a_stream_begins_with_what_was_written_and_ends_with_the_container(
    giver: GiverService, desk: Desk, assign: Assign, follow: Follow
) -> None:
    assignment = assign("echo one; echo two; echo three >&2; sleep 2; echo four")
    async with follow("me") as me:
        await desk.dispatch(assignment)
        await desk.held(assignment, "running")
        ask = StreamLogs(assignment_id=assignment.assignment_id, follower="me")
        await desk.tell(ask)
        await desk.tell(ask)  # Asked again, it goes on and does not begin again.
        await until(lambda: bool(me.chunks) and me.chunks[-1].end)
        by_stream = {
            name: "".join(chunk.text for chunk in me.chunks if chunk.stream == name)
            for name in ("stdout", "stderr")
        }
        assert by_stream == {"stdout": "one\ntwo\nfour\n", "stderr": "three\n"}
        assert sum(chunk.end for chunk in me.chunks) == 1


async def test_of_an_assignment_that_is_not_here_only_the_end_is_sent(
    giver: GiverService, desk: Desk, assign: Assign, follow: Follow
) -> None:
    async with follow("me") as me:
        await desk.tell(StreamLogs(assignment_id=assign().assignment_id, follower="me"))
        await until(lambda: bool(me.chunks))
        assert (me.text, me.chunks[0].end) == ("", True)


async def test_what_a_task_says_of_its_progress_is_in_the_inventory(
    giver: GiverService, desk: Desk, assign: Assign
) -> None:
    assignment = assign("echo '::progress 0.5 half way' >&2; sleep 3")
    await desk.dispatch(assignment)
    beat = await desk.beat(lambda beat: any(held.progress for held in beat.inventory))
    assert beat.inventory[0].progress == Progress(fraction=0.5, note="half way")
    assert (await desk.result(assignment)).stderr == "::progress 0.5 half way\n"
