"""Results on their way to the broker: sent again until it has confirmed them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial

import structlog

from broker import BrokerError, LinkStopped, Publisher
from giver.journal import Journal
from giver.ledger import Ledger
from giver.metrics import Metrics
from schemas.base import CONTENT_TYPE
from schemas.identifiers import result_id, task_of
from schemas.result import SEQUENCE_BYTES, SEQUENCE_CONTENT_TYPE, SEQUENCE_MOST, sequence
from schemas.topology import RESULTS, result_key

log = structlog.get_logger(__name__)

_FIRST_AGAIN_S = 0.5
_LONGEST_AGAIN_S = 30.0
"""Without end: a result is not given up."""
_CONFIRM_EVERY_S = 0.1
"""Confirms are written down together; one that is forgotten costs a repeat, no more."""

Result = tuple[str, bytes]
"""An assignment's id and the body of its result."""


class Outbox:
    """First in, first out; memory holds what the broker has not confirmed."""

    def __init__(
        self,
        giver_id: str,
        publisher: Publisher,
        journal: Journal,
        ledger: Ledger,
        metrics: Metrics,
        on_confirmed: Callable[[], None],
    ) -> None:
        self._giver_id = giver_id
        self._publisher = publisher
        self._journal = journal
        self._ledger = ledger
        self._metrics = metrics
        self._on_confirmed = on_confirmed
        self._waiting: deque[Result] = deque()
        self._arrived = asyncio.Event()
        self._confirmed: list[str] = []
        self._confirm_timer: asyncio.TimerHandle | None = None
        self._again: set[asyncio.TimerHandle] = set()
        self._failures = 0

    def add(self, assignment_id: str, body: bytes) -> None:
        self._waiting.append((assignment_id, body))
        self._arrived.set()

    async def run(self) -> None:
        """Until cancelled, or the link is stopped."""
        while True:
            await self._arrived.wait()
            while self._waiting:
                results = self._next()
                try:
                    confirm = await self._send(results)
                except LinkStopped:
                    return
                except BrokerError as error:  # The window stays full: nothing gets through.
                    self._log_failure(results, error)
                    continue
                for _ in results:
                    self._waiting.popleft()
                confirm.add_done_callback(partial(self._settled, results))
            self._arrived.clear()

    def stop(self) -> None:
        """Write down the last confirms."""
        for handle in self._again:
            handle.cancel()
        if self._confirm_timer is not None:
            self._confirm_timer.cancel()
            self._write_confirms()

    def _next(self) -> list[Result]:
        """What goes together: nobody waits for more, but what waits shares a message."""
        results: list[Result] = []
        size = 0
        for assignment_id, body in self._waiting:
            size += len(body)
            if results and (len(results) == SEQUENCE_MOST or size > SEQUENCE_BYTES):
                break
            results.append((assignment_id, body))
        return results

    async def _send(self, results: Sequence[Result]) -> asyncio.Future[None]:
        first = results[0][0]
        return await self._publisher.send(
            exchange=RESULTS.name,
            routing_key=result_key(self._giver_id, task_of(first)),
            body=sequence([body for _, body in results]),
            message_id=result_id(first, self._giver_id),
            content_type=CONTENT_TYPE if len(results) == 1 else SEQUENCE_CONTENT_TYPE,
        )

    def _settled(self, results: Sequence[Result], confirm: asyncio.Future[None]) -> None:
        if confirm.cancelled():
            return
        error = confirm.exception()
        if error is None:
            self._failures = 0
            self._confirmed += [assignment_id for assignment_id, _ in results]
            if self._confirm_timer is None:
                loop = asyncio.get_running_loop()
                self._confirm_timer = loop.call_later(_CONFIRM_EVERY_S, self._write_confirms)
        elif not isinstance(error, LinkStopped):
            self._log_failure(results, error)
            self._send_later(results)

    def _send_later(self, results: Sequence[Result]) -> None:
        self._failures = min(self._failures + 1, 20)
        wait_s = min(_LONGEST_AGAIN_S, _FIRST_AGAIN_S * 2 ** (self._failures - 1))

        def again() -> None:
            self._again.discard(handle)
            for result in results:
                self.add(*result)

        handle = asyncio.get_running_loop().call_later(wait_s, again)
        self._again.add(handle)

    def _write_confirms(self) -> None:
        self._confirm_timer = None
        confirmed, self._confirmed = self._confirmed, []
        self._journal.confirm(confirmed)
        self._ledger.confirmed(confirmed)
        self._metrics.confirmed.inc(len(confirmed))
        self._on_confirmed()

    def _log_failure(self, results: Sequence[Result], error: BaseException) -> None:
        log.warning(
            "results_not_confirmed",
            count=len(results),
            assignment_id=results[0][0],
            reason=str(error),
        )
