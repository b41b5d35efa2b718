"""What publishers and consumers have in common: one amqp channel each, kept open."""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from functools import partial

import structlog
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from broker.connection import AmqpChannel, Connection
from broker.errors import BrokerError, ChannelLost, DeclarationRefused

log = structlog.get_logger(__name__)

REOPEN_PAUSE_S = 0.02
"""Before the first attempt, so that a channel that dies at once does not make a hot loop."""

REOPEN_RETRIABLE = (ChannelLost, DeclarationRefused)
REOPEN_WAIT = wait_random_exponential(multiplier=0.1, max=10)
"""Ends with the connection: the next one opens its channels itself."""


class Tenant(ABC):
    """Keeps one amqp channel on whatever connection the link has.

    When the broker closes only the channel, it is opened again without touching the connection.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        """For logs."""
        self._reopening: asyncio.Task[None] | None = None

    @abstractmethod
    async def _set_up(self, amqp_channel: AmqpChannel, session: str) -> None:
        """Make a fresh amqp channel ready for work."""

    @abstractmethod
    def _tear_down(self, lost: ChannelLost) -> None:
        """The amqp channel is gone; also called when `_set_up` failed."""

    @abstractmethod
    def fail(self, error: BrokerError) -> None:
        """There will be no other channel: release whoever waits."""

    async def open(self, connection: Connection) -> None:
        """
        Raises:
            DeclarationRefused: the broker refuses what this needs.
            ChannelLost: retriable while the connection is open.
        """
        amqp_channel = await connection.channel()
        try:
            await self._set_up(amqp_channel, connection.session)
            if amqp_channel.lost is not None:
                raise amqp_channel.lost
        except BaseException:
            self._tear_down(ChannelLost("could not be set up"))
            amqp_channel.close()
            raise
        amqp_channel.on_closed = partial(self._lost, connection)

    def detach(self) -> None:
        """The connection is gone."""
        if self._reopening is not None:
            self._reopening.cancel()
            self._reopening = None

    def _lost(self, connection: Connection, lost: ChannelLost) -> None:
        self._tear_down(lost)
        if connection.is_open:
            log.warning("amqp_channel_lost", tenant=self.name, reason=str(lost), code=lost.code)
            self._reopening = asyncio.create_task(
                self._reopen(connection), name=f"reopen {self.name}"
            )

    async def _reopen(self, connection: Connection) -> None:
        await asyncio.sleep(REOPEN_PAUSE_S)
        try:
            async for attempt in AsyncRetrying(
                wait=REOPEN_WAIT,
                retry=retry_if_exception_type(REOPEN_RETRIABLE),
                before_sleep=self._log_failed_reopen,
            ):
                with attempt:
                    if not connection.is_open:
                        return
                    await self.open(connection)
        except Exception:
            # A defect; a new connection at least does not leave this silent and dead.
            log.exception("amqp_channel_reopen_failed", tenant=self.name)
            await connection.close()
        else:
            log.info("amqp_channel_reopened", tenant=self.name)

    def _log_failed_reopen(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        log.error("amqp_channel_not_reopened", tenant=self.name, error=str(error))
