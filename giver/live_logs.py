"""Sends what running containers write to those who ask, and only while they ask.

Nobody is waited for: a follower that is too slow misses something, and is told how much.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from typing import Any

import structlog

from broker import LinkStopped, Publisher, PublishError, Unroutable
from giver.engine import Container, Engine, EngineError
from giver.log_buffer import LogBuffer
from runtime.lifecycle import TaskGuard
from schemas.logs import CHUNK_CHARACTERS, LogChunk, StreamLogs, log_key
from schemas.topology import LOGS

log = structlog.get_logger(__name__)

LOG_WINDOW = 64
LOG_DEADLINE_S = 5.0
"""Of its publisher: what comes later is no live log."""
STREAMS_MAX = 64
"""At a time; who asks for more is told that there is nothing."""
_PIECE_COSTS = 1 << 10
_LOOK_S = 0.1
"""Between looks for something new; with so much at each it is also the highest rate."""


class LiveLogs:
    def __init__(
        self,
        giver_id: str,
        publisher: Publisher,
        engine: Engine,
        guard: TaskGuard,
        holds: Callable[[str], bool],
        container: Callable[[str], Container | None],
    ) -> None:
        """
        Args:
            holds: whether an assignment is here and has not ended.
            container: that of an assignment, once it runs.
        """
        self._giver_id = giver_id
        self._publisher = publisher
        self._engine = engine
        self._guard = guard
        self._holds = holds
        self._container = container
        self._until: dict[str, float] = {}
        """By key: when the follower must have asked again."""
        self.published = 0

    @property
    def streams(self) -> int:
        """At present."""
        return len(self._until)

    def ask(self, asked: StreamLogs) -> None:
        key = log_key(asked.assignment_id, asked.follower)
        begun = key in self._until
        self._until[key] = asyncio.get_running_loop().time() + asked.duration_s
        if not begun:
            self._guard.spawn(self._stream(key, asked), "live log")

    async def _stream(self, key: str, asked: StreamLogs) -> None:
        try:
            if len(self._until) <= STREAMS_MAX:
                await self._until_ended(key, asked)
            else:
                log.warning("too_many_live_logs", assignment_id=asked.assignment_id)
            await self._send(key, asked, self._chunk(asked, end=True))
        except (Unroutable, LinkStopped):
            log.debug("live_log_without_reader", assignment_id=asked.assignment_id)
        finally:
            del self._until[key]

    async def _until_ended(self, key: str, asked: StreamLogs) -> None:
        """
        Raises:
            Unroutable: nobody listens any more.
            LinkStopped
        """
        container = await self._running(key, asked)
        if container is None:
            return
        buffer = LogBuffer()
        tail = self._engine.tail(container, asked.lines, asked.follow, buffer)
        reading = asyncio.create_task(tail.read())
        try:
            while not reading.done() and self._wanted(key):
                await asyncio.wait((reading,), timeout=_LOOK_S)
                await self._send_pieces(key, asked, buffer)
            while self._wanted(key) and len(buffer):
                await self._send_pieces(key, asked, buffer)
                await asyncio.sleep(_LOOK_S)
        finally:
            tail.close()
            with contextlib.suppress(EngineError, asyncio.CancelledError):
                await reading

    async def _running(self, key: str, asked: StreamLogs) -> Container | None:
        """The container, once there is one."""
        while self._wanted(key) and self._holds(asked.assignment_id):
            if (container := self._container(asked.assignment_id)) is not None:
                return container
            if not asked.follow:
                return None
            await asyncio.sleep(_LOOK_S)
        return None

    def _wanted(self, key: str) -> bool:
        return asyncio.get_running_loop().time() < self._until[key]

    async def _send_pieces(self, key: str, asked: StreamLogs, buffer: LogBuffer) -> None:
        """As much as may go at once."""
        sent = 0
        while sent < CHUNK_CHARACTERS and (piece := buffer.take()) is not None:
            # Lines of both streams in turn make for small pieces, each with a cost of its own.
            sent += len(piece.text) + _PIECE_COSTS
            await self._send(key, asked, self._chunk(asked, **piece._asdict()))

    async def _send(self, key: str, asked: StreamLogs, chunk: LogChunk) -> None:
        self.published += 1
        try:
            await self._publisher.publish(
                exchange=LOGS.name,
                routing_key=key,
                body=chunk.encode(),
                message_id=asked.follower,
                mandatory=True,
                persistent=False,
            )
        except (Unroutable, LinkStopped):
            raise
        except PublishError as error:
            log.warning("log_not_sent", assignment_id=asked.assignment_id, reason=str(error))

    def _chunk(self, asked: StreamLogs, **fields: Any) -> LogChunk:
        return LogChunk(assignment_id=asked.assignment_id, giver_id=self._giver_id, **fields)
