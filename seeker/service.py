"""`seeker run`: stands by until it may lead, leads until it may not, and stands by again."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import time

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from runtime.lifecycle import TaskGuard
from schemas.identifiers import new_session
from seeker.database import StoreUnreachable
from seeker.leader import Leader, LeaseLost
from seeker.settings import SeekerSettings
from seeker.store import Store

log = structlog.get_logger(__name__)


class SeekerService:
    """A `Component`."""

    def __init__(self, settings: SeekerSettings, guard: TaskGuard) -> None:
        self._settings = settings
        self._guard = guard
        self._store = Store(settings.mongodb_url, settings.database)
        self._holder = f"{socket.gethostname()}:{os.getpid()}:{new_session()}"
        self._lease_ends = float("-inf")
        self._serving: asyncio.Task[None] | None = None
        self._at = "waits for the database"

    def status(self) -> str:
        """What it is at, in a line."""
        return self._at

    async def start(self) -> None:
        self._serving = self._guard.spawn(self._serve(), "seeker")

    async def stop(self) -> None:
        if self._serving is not None:
            self._serving.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._serving
        if self._lease_valid():
            with contextlib.suppress(StoreUnreachable):
                await self._store.give_up_lease(self._holder)
        await self._store.close()

    async def _serve(self) -> None:
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StoreUnreachable),
            wait=wait_random_exponential(multiplier=0.2, max=5.0),
            before_sleep=lambda state: log.warning(
                "database_away", error=str(state.outcome and state.outcome.exception())
            ),
        ):
            with attempt:
                await self._store.prepare()
        while True:
            await self._stand_by()
            self._at = "leads"
            leading = asyncio.create_task(
                Leader(self._settings, self._store, self._lease_valid).lead()
            )
            renewing = asyncio.create_task(self._keep_lease())
            try:
                await asyncio.wait({leading, renewing}, return_when=asyncio.FIRST_COMPLETED)
                for ended in (task for task in (renewing, leading) if task.done()):
                    ended.result()
            except (LeaseLost, StoreUnreachable) as error:
                log.warning("standing_by_again", reason=str(error))
            finally:
                for task in (leading, renewing):
                    task.cancel()
                    with contextlib.suppress(asyncio.CancelledError, Exception):
                        await task

    async def _stand_by(self) -> None:
        """Wait until the right to lead is free."""
        told = ""
        while True:
            try:
                leader = await self._take_lease()
                if leader is None:
                    return
                state = f"{leader} leads"
            except StoreUnreachable as error:
                state = str(error)
            self._at = f"stands by: {state}"
            if state != told:
                log.info("standing_by", reason=state)
                told = state
            await asyncio.sleep(self._settings.lease_s / 10)

    async def _keep_lease(self) -> None:
        """
        Raises:
            LeaseLost: it ran out, or somebody else has it.
        """
        while True:
            await asyncio.sleep(self._settings.lease_s / 5)
            try:
                leader = await self._take_lease()
            except StoreUnreachable as error:
                log.warning("lease_not_renewed", error=str(error))
                leader = None
            if leader is not None:
                raise LeaseLost(f"{leader} leads now")
            if not self._lease_valid():
                raise LeaseLost("the lease ran out while the database was away")

    async def _take_lease(self) -> str | None:
        # Counted from before the request, so that ours ends before the database's.
        asked = time.monotonic()
        leader = await self._store.take_lease(self._holder, self._settings.lease_s)
        if leader is None:
            self._lease_ends = asked + self._settings.lease_s
        return leader

    def _lease_valid(self) -> bool:
        return time.monotonic() < self._lease_ends
