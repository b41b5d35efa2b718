"""From the givers' heartbeats into the list of registrations."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

import structlog

from broker import Consumer, Delivery
from channel import documents
from channel.documents import Document
from channel.store import Store, StoreUnavailable
from runtime.lifecycle import TaskGuard
from schemas.heartbeat import Heartbeat

log = structlog.get_logger(__name__)

WRITE_INTERVAL_S = 30.0
"""Between writes for a giver that has nothing new to tell."""


class Registry:
    """What was written down of each giver, and when; decides what is worth a write."""

    def __init__(self) -> None:
        self._written: dict[str, tuple[Document, float]] = {}

    def due(self, heard: Iterable[Document], monotonic: float) -> list[Document]:
        """The latest of each giver, where it differs from what is written or that is old."""
        latest = {document["_id"]: document for document in heard}
        return [each for each in latest.values() if self._is_due(each, monotonic)]

    def wrote(self, registrations: Iterable[Document], monotonic: float) -> None:
        for document in registrations:
            self._written[document["_id"]] = (document, monotonic)

    def _is_due(self, document: Document, monotonic: float) -> bool:
        written = self._written.get(document["_id"])
        if written is None:
            return True
        known, when = written
        return document != known or monotonic - when >= WRITE_INTERVAL_S


class Registrations:
    """Component. A heartbeat that could not be written is forgotten: the next one says the same."""

    def __init__(
        self,
        consumer: Consumer[Heartbeat],
        store: Store,
        guard: TaskGuard,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._consumer = consumer
        self._store = store
        self._guard = guard
        self._clock = clock
        self._monotonic = monotonic
        self._registry = Registry()
        self._listening: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._listening = self._guard.spawn(self._listen(), "channel registrations")

    async def stop(self) -> None:
        if self._listening is not None:
            self._listening.cancel()

    async def _listen(self) -> None:
        while True:
            await self._write(await self._consumer.take())

    async def _write(self, batch: list[Delivery[Heartbeat]]) -> None:
        now = self._monotonic()
        due = self._registry.due(
            (documents.from_heartbeat(each.message, each.user_id) for each in batch), now
        )
        if not due:
            return
        try:
            await self._store.register(due, documents.whole_milliseconds(self._clock()))
        except StoreUnavailable as error:
            log.warning("registrations_not_written", givers=len(due), error=str(error))
        else:
            self._registry.wrote(due, now)
