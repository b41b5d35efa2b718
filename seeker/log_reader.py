"""Asking givers for what a container writes, and receiving it."""

from __future__ import annotations

import asyncio
import secrets
from typing import Self

from broker import BrokerUnreachable, Link, LinkStopped, PublishError
from runtime.command_line import Unreachable
from schemas import topology
from schemas.logs import LogChunk, StreamLogs
from seeker.client import CONFIRM_S, CONNECT_S, Client

ASK_FOR_S = 15.0
"""A follower that vanished costs no more than that."""
ASK_AGAIN_S = 5.0


class LogReader:
    """A queue of one's own, for as long as it is open. Used with `async with`."""

    def __init__(self, seeker: Client, lines: int, follow: bool) -> None:
        self._follower = secrets.token_hex(8)
        self._lines = lines
        self._follow = follow
        self._link = Link(seeker.broker_url, name="seeker-logs", topology=(topology.LOGS,))
        self._publisher = self._link.publisher(window=100, deadline_s=CONFIRM_S)
        self._consumer = self._link.consumer(
            queue=lambda _: topology.log_queue(self._follower),
            decode=LogChunk.decode,
            bind_to=[topology.LOGS],
            binding_key=f"*.{self._follower}",
            auto_ack=True,
            quarantine=False,
        )
        self._asked: dict[str, float] = {}
        """By assignment: when."""
        self._heard: set[str] = set()
        self._taking: asyncio.Task[list[LogChunk]] | None = None

    async def __aenter__(self) -> Self:
        """
        Raises:
            Unreachable: the broker does not answer.
        """
        try:
            await self._link.start(timeout_s=CONNECT_S)
        except BrokerUnreachable as error:
            raise Unreachable(str(error)) from error
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._taking is not None:
            self._taking.cancel()
        await self._link.stop()

    @property
    def asked(self) -> set[str]:
        """Assignments that a giver was asked for."""
        return set(self._asked)

    async def ask(self, assignment_id: str, giver_id: str, session: str) -> None:
        """Unless it was just now. A giver that has gone meanwhile is none of an error: the seeker
        will know of its new session, or of another giver."""
        now = asyncio.get_running_loop().time()
        if now - self._asked.get(assignment_id, float("-inf")) < ASK_AGAIN_S:
            return
        message = StreamLogs(
            assignment_id=assignment_id,
            follower=self._follower,
            duration_s=ASK_FOR_S,
            # A giver that starts again would repeat what was shown already.
            lines=0 if assignment_id in self._heard else self._lines,
            follow=self._follow,
        )
        try:
            await self._publisher.publish(
                exchange=topology.DEFAULT_EXCHANGE,
                routing_key=topology.control_queue(giver_id, session).name,
                body=message.encode(),
                message_id=f"logs-{assignment_id}",
                persistent=False,
            )
        except (PublishError, LinkStopped):
            return
        self._asked[assignment_id] = now

    async def take(self, timeout_s: float) -> list[LogChunk]:
        """What has arrived; empty after so long without anything."""
        if self._taking is None:
            self._taking = asyncio.create_task(self._take())
        await asyncio.wait((self._taking,), timeout=timeout_s)
        if not self._taking.done():
            return []
        chunks = self._taking.result()
        self._taking = None
        self._heard.update(chunk.assignment_id for chunk in chunks if chunk.text)
        return chunks

    async def _take(self) -> list[LogChunk]:
        return [delivery.message for delivery in await self._consumer.take()]
