"""From the results' queue into the database, and word of it to the seeker.

The order is what makes a result count: stored on a majority, then told, then acknowledged. A
process that dies anywhere in between leaves its messages to the next one, to which they are
duplicates that it tells of again.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    wait_random_exponential,
)

from broker import Consumer, Delivery, Publisher, PublishError
from channel import admission, documents
from channel.artifacts import Artifacts
from channel.metrics import Metrics
from channel.store import Store, StoreUnavailable
from runtime.lifecycle import TaskGuard
from schemas.result import Result, StoredBatch, StoredResult
from schemas.topology import STORED

log = structlog.get_logger(__name__)

WRITES_AT_ONCE = 2
"""One batch is taken and prepared while the database is busy with the other."""

PREFETCH_BATCHES = WRITES_AT_ONCE + 1
"""In memory at the most: those being written, and one that waits for its turn."""

STOP_GRACE_S = 10.0
"""For writes under way; what is not finished then is delivered again."""

STORE_RETRIABLE = (StoreUnavailable,)
STORE_WAIT = wait_random_exponential(multiplier=0.2, max=5)
"""Without end: meanwhile nothing more is taken, and the results wait in the broker."""

PUBLISH_RETRIABLE = (PublishError,)
PUBLISH_WAIT = wait_random_exponential(multiplier=0.2, max=5)
"""Without end: an unacknowledged result is the only thing that recalls the missing summary."""


Results = Delivery[tuple[Result, ...]]


class _Written(NamedTuple):
    kept: list[Results]
    """Of these the database has all."""
    refused: list[tuple[Results, str]]
    """Of these it never takes one, and why; it has the others."""
    summaries: list[StoredResult]


class Writer:
    """Component: takes batches of results, writes them, tells of them and acknowledges them."""

    def __init__(
        self,
        consumer: Consumer[tuple[Result, ...]],
        publisher: Publisher,
        store: Store,
        artifacts: Artifacts,
        metrics: Metrics,
        guard: TaskGuard,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._consumer = consumer
        self._publisher = publisher
        self._store = store
        self._artifacts = artifacts
        self._metrics = metrics
        self._guard = guard
        self._clock = clock
        self._slots = asyncio.Semaphore(WRITES_AT_ONCE)
        self._writing: set[asyncio.Task[None]] = set()
        self._intake: asyncio.Task[None] | None = None

    async def start(self) -> None:
        self._intake = self._guard.spawn(self._take(), "channel writer")

    async def stop(self) -> None:
        if self._intake is not None:
            self._intake.cancel()
        if self._writing:
            await asyncio.wait(self._writing, timeout=STOP_GRACE_S)

    async def _take(self) -> None:
        while True:
            await self._slots.acquire()
            batch = await self._consumer.take()
            task = self._guard.spawn(self._process(batch), "channel write")
            self._writing.add(task)
            task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._writing.discard(task)
        self._slots.release()

    async def _process(self, batch: Sequence[Results]) -> None:
        admitted = []
        for delivery in batch:
            objection = admission.objection(delivery.message, delivery.routing_key)
            if objection is None:
                admitted.append(delivery)
            else:
                self._reject(delivery, objection)
        if not admitted:
            return
        written = await self._write(admitted)
        if written.summaries:
            await self._tell(written.summaries)
        for delivery, reason in written.refused:
            self._reject(delivery, reason)
        self._consumer.ack(written.kept)

    async def _write(self, batch: Sequence[Results]) -> _Written:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(STORE_RETRIABLE),
            wait=STORE_WAIT,
            before_sleep=self._log_failed_write,
        ):
            with attempt:
                return await self._write_once(batch)
        raise AssertionError("unreachable: the retries have no end")

    async def _write_once(self, batch: Sequence[Results]) -> _Written:
        results = [(delivery, result) for delivery in batch for result in delivery.message]
        stored_at = documents.whole_milliseconds(self._clock())
        began = time.perf_counter()
        named = {file.sha256 for _, result in results for file in result.files}
        absent = await self._artifacts.missing(named) if named else set()
        to_store = [
            documents.from_result(result, delivery.user_id, stored_at, absent)
            for delivery, result in results
        ]
        duplicates, refused = await self._store.insert(to_store)
        self._metrics.write_seconds.observe(time.perf_counter() - began)
        self._metrics.batch_size.observe(len(results))
        self._metrics.duplicates.inc(len(duplicates))
        self._metrics.stored.inc(len(results) - len(duplicates) - len(refused))
        fresh = {}
        for position, document in enumerate(to_store):
            if position not in duplicates and position not in refused:
                fresh[document["_id"]] = documents.to_summary(document)
        summaries = list(fresh.values())
        # The first one stays, and may say something else than its repetition.
        earlier = {results[position][1].result_id for position in duplicates} - fresh.keys()
        if earlier:
            summaries += await self._store.summaries(earlier)
        objections = {results[position][0].tag: reason for position, reason in refused.items()}
        return _Written(
            [each for each in batch if each.tag not in objections],
            [(each, objections[each.tag]) for each in batch if each.tag in objections],
            summaries,
        )

    async def _tell(self, summaries: list[StoredResult]) -> None:
        body = StoredBatch(results=tuple(summaries)).encode()
        message_id = batch_id(each.result_id for each in summaries)
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(PUBLISH_RETRIABLE),
            wait=PUBLISH_WAIT,
            before_sleep=self._log_failed_publish,
        ):
            with attempt:
                await self._publisher.publish(
                    exchange=STORED.name, routing_key="", body=body, message_id=message_id
                )

    def _reject(self, delivery: Results, reason: str) -> None:
        self._metrics.rejected.inc()
        self._consumer.reject(delivery, reason)

    def _log_failed_write(self, state: RetryCallState) -> None:
        self._metrics.write_failures.inc()
        _log_retry("results_not_stored", state)

    def _log_failed_publish(self, state: RetryCallState) -> None:
        self._metrics.publish_failures.inc()
        _log_retry("stored_not_told", state)


def batch_id(result_ids: Iterable[str]) -> str:
    """Names a summary by what it is about: the same results, the same message."""
    return hashlib.sha256("\n".join(sorted(result_ids)).encode()).hexdigest()[:32]


def _log_retry(action: str, state: RetryCallState) -> None:
    log.warning(
        action,
        error=str(state.outcome.exception() if state.outcome else ""),
        attempt=state.attempt_number,
        retry_in_s=round(state.next_action.sleep, 1) if state.next_action else None,
    )
