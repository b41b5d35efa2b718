"""The running channel: what it is made of, and in which order it starts and stops."""

from __future__ import annotations

import asyncio

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from broker import Link
from channel import admission
from channel.api import create_app
from channel.artifacts import Artifacts
from channel.artifacts_api import artifacts_router
from channel.metrics import Metrics
from channel.registrations import Registrations
from channel.settings import ChannelSettings
from channel.store import Store, StoreUnavailable
from channel.writer import PREFETCH_BATCHES, Writer
from runtime.http import HttpServer
from runtime.lifecycle import TaskGuard, run
from schemas.heartbeat import Heartbeat
from schemas.topology import CHANNEL_RESULTS, DURABLE, HEARTBEATS, heartbeat_queue

log = structlog.get_logger(__name__)

PREPARE_RETRIABLE = (StoreUnavailable,)
PREPARE_WAIT = wait_random_exponential(multiplier=0.5, max=5)
"""Without end: the service stays up without its database, and says so."""


class Database:
    """Component: what is kept, with its indexes, made as soon as the database is there."""

    def __init__(self, store: Store, artifacts: Artifacts, guard: TaskGuard) -> None:
        self._store = store
        self._artifacts = artifacts
        self._guard = guard
        self._preparing: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._preparing = self._guard.spawn(self._prepare(), "channel indexes")

    async def stop(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
        await self._store.close()
        await self._artifacts.close()

    async def _prepare(self) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(PREPARE_RETRIABLE),
            wait=PREPARE_WAIT,
            before_sleep=_log_not_prepared,
        ):
            with attempt:
                await self._store.prepare()
                await self._artifacts.prepare()
        log.info("database_ready")


class Broker:
    """Component: the links, connecting in the background for as long as it takes.

    One for each direction: a broker short of memory or disk stops reading from whoever publishes,
    and acknowledgements, which would relieve it, must not wait behind that.
    """

    def __init__(self, reading: Link, writing: Link) -> None:
        self._links = (writing, reading)

    async def start(self) -> None:
        for link in self._links:
            await link.start()

    async def stop(self) -> None:
        for link in reversed(self._links):
            await link.stop()

    def status(self) -> str:
        """In a line."""
        if not all(link.connected for link in self._links):
            return "not connected to the broker"
        return "connected to the broker"


async def serve(settings: ChannelSettings) -> None:
    """Run until told to stop.

    Raises:
        SettingsError: a URL is malformed.
        AddressInUse: the HTTP port is taken.
    """
    guard = TaskGuard()
    metrics = Metrics()
    store = Store(settings.mongodb_url, settings.database)
    artifacts = Artifacts(settings.mongodb_url, settings.database)
    key = settings.artifacts_key.get_secret_value() if settings.artifacts_key else None
    writing = Link(settings.broker_url, name="channel writing", topology=DURABLE)
    publisher = writing.publisher()
    link = Link(settings.broker_url, name="channel", topology=DURABLE)
    results = link.consumer(
        queue=lambda _: CHANNEL_RESULTS,
        decode=admission.decode,
        prefetch=settings.batch_max * PREFETCH_BATCHES,
        batch_max=settings.batch_max,
    )
    heartbeats = link.consumer(
        queue=lambda session: heartbeat_queue("channel", session),
        decode=Heartbeat.decode,
        bind_to=[HEARTBEATS],
        auto_ack=True,
        quarantine=False,
    )
    app = create_app(store, artifacts_router(artifacts, key), (link, writing), metrics)
    broker = Broker(link, writing)
    await run(
        [
            Database(store, artifacts, guard),
            broker,
            Writer(results, publisher, store, artifacts, metrics, guard),
            Registrations(heartbeats, store, guard),
            HttpServer(app, settings.http_host, settings.http_port, "CHANNEL_HTTP_PORT"),
        ],
        guard,
        broker.status,
    )


def _log_not_prepared(state: RetryCallState) -> None:
    log.warning(
        "database_not_ready",
        error=str(state.outcome.exception() if state.outcome else ""),
        attempt=state.attempt_number,
    )
