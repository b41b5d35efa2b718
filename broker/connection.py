"""One AMQP connection and its channels: pika's callbacks made awaitable, its errors translated."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from functools import partial
from typing import Any

import pika
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.adapters.utils.connection_workflow import AMQPConnectionWorkflowAborted
from pika.exceptions import (
    AMQPError,
    ChannelClosedByBroker,
    ProbableAccessDeniedError,
    ProbableAuthenticationError,
)

from broker.errors import BrokerUnreachable, ChannelLost
from schemas.identifiers import new_session

REPLY_TIMEOUT_S = 10.0
"""For one declaration and the like. A broker that has just been killed and started can keep silent
for a minute over a queue that it is still recovering, and answer at once when asked anew."""

CLOSE_TIMEOUT_S = 3.0
"""How long a polite goodbye may take before the socket is simply closed."""

WRITE_CHUNK_BYTES = 1 << 16
"""Frames are joined up to this size: large enough to save system calls, small enough that the
rest of a partial send is cheap to copy."""


class _CoalescingConnection(AsyncioConnection):  # type: ignore[misc]
    """Joins the frames of one loop iteration: pika alone makes three system calls a message."""

    _frames: list[bytes]
    _frames_bytes: int

    def _init_connection_state(self) -> None:
        super()._init_connection_state()
        self._frames = []
        self._frames_bytes = 0

    def _adapter_emit_data(self, data: bytes) -> None:
        if not self._frames:
            self._nbio.get_native_ioloop().call_soon(self._flush)
        self._frames.append(data)
        self._frames_bytes += len(data)
        if self._frames_bytes >= WRITE_CHUNK_BYTES:
            self._flush()

    def _flush(self) -> None:
        if self._frames and self._transport is not None:
            super()._adapter_emit_data(b"".join(self._frames))
        self._frames = []
        self._frames_bytes = 0

    def _on_connection_workflow_done(self, outcome: Any) -> None:
        # pika reports an abort during the handshake by its class, which it then takes for a
        # connection and fails an assertion.
        if outcome is AMQPConnectionWorkflowAborted:
            outcome = AMQPConnectionWorkflowAborted()
        super()._on_connection_workflow_done(outcome)


class Connection:
    """One AMQP connection, from open to closed; never reopened.

    `session` names it and is never used again.
    """

    def __init__(self) -> None:
        self.session = new_session()
        self.blocked = False
        """The broker takes no messages for now: it is short of memory or disk."""
        self.closed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        """Ends with the reason once the connection is gone."""
        self._pika: Any = None

    @classmethod
    async def open(
        cls,
        parameters: pika.connection.Parameters,
        on_blocked: Callable[[Connection], None],
    ) -> Connection:
        """Connect once.

        Raises:
            BrokerUnreachable: says why, for a person; the caller adds where.
        """
        self = cls()
        opened: asyncio.Future[Any] = asyncio.get_running_loop().create_future()

        def failed(_: Any, error: BaseException) -> None:
            if not opened.done():
                opened.set_exception(explain(error))

        def lost(_: Any, error: BaseException) -> None:
            if not self.closed.done():
                self.closed.set_result(str(error) or type(error).__name__)

        def blocked(state: bool, *_: Any) -> None:
            self.blocked = state
            on_blocked(self)

        self._pika = _CoalescingConnection(
            parameters,
            on_open_callback=partial(_resolve, opened),
            on_open_error_callback=failed,
            on_close_callback=lost,
        )
        self._pika.add_on_connection_blocked_callback(partial(blocked, True))
        self._pika.add_on_connection_unblocked_callback(partial(blocked, False))
        try:
            await opened
        except asyncio.CancelledError:
            with contextlib.suppress(AMQPError):
                self._pika.close()
            raise
        return self

    @property
    def is_open(self) -> bool:
        return bool(self._pika.is_open)

    async def channel(self) -> AmqpChannel:
        """
        Raises:
            ChannelLost: the connection is gone.
        """
        return await AmqpChannel.open(self._pika)

    async def close(self) -> None:
        """Say goodbye, or hang up when the broker does not answer."""
        with contextlib.suppress(AMQPError):
            self._pika.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_TIMEOUT_S):
                await asyncio.shield(self.closed)
            return
        self._pika._terminate_stream(ConnectionAbortedError("the broker did not say goodbye"))
        await asyncio.shield(self.closed)


class AmqpChannel:
    """One amqp channel. `raw` is pika's, for what happens once a message."""

    def __init__(self) -> None:
        self.raw: Any = None
        self.on_closed: Callable[[ChannelLost], None] | None = None
        """Called at once when the channel ends, whoever ended it."""
        self.lost: ChannelLost | None = None
        self._replies: set[asyncio.Future[Any]] = set()

    @classmethod
    async def open(cls, connection: Any) -> AmqpChannel:
        self = cls()
        opened = self._expect()
        try:
            self.raw = connection.channel(on_open_callback=partial(_resolve, opened))
        except AMQPError as error:
            raise ChannelLost(str(error) or "the connection is closed") from error
        self.raw.add_on_close_callback(self._closed)
        await self._answer(opened, "channel_open")
        return self

    @property
    def is_open(self) -> bool:
        return bool(self.raw.is_open)

    async def call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        """Call a method of pika's channel that takes a `callback`, and await the broker's reply.

        Raises:
            ChannelLost: the broker closed the channel instead, or the connection ended.
        """
        reply = self._expect()
        try:
            getattr(self.raw, method)(*args, callback=partial(_resolve, reply), **kwargs)
        except AMQPError as error:
            raise ChannelLost(str(error) or type(error).__name__) from error
        return await self._answer(reply, method)

    def close(self) -> None:
        with contextlib.suppress(AMQPError):
            self.raw.close()

    async def _answer(self, reply: asyncio.Future[Any], method: str) -> Any:
        try:
            async with asyncio.timeout(REPLY_TIMEOUT_S):
                return await reply
        except TimeoutError:
            raise ChannelLost(f"no answer to {method} within {REPLY_TIMEOUT_S:g} s") from None

    def _expect(self) -> asyncio.Future[Any]:
        reply: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._replies.add(reply)
        reply.add_done_callback(self._replies.discard)
        return reply

    def _closed(self, _: Any, reason: Exception) -> None:
        if isinstance(reason, ChannelClosedByBroker):
            self.lost = ChannelLost(reason.reply_text, code=reason.reply_code)
        else:
            self.lost = ChannelLost(str(reason) or type(reason).__name__)
        for reply in list(self._replies):
            if not reply.done():
                reply.set_exception(self.lost)
        if self.on_closed is not None:
            self.on_closed(self.lost)


def _resolve(reply: asyncio.Future[Any], answer: Any) -> None:
    if not reply.done():
        reply.set_result(answer)


def explain(error: BaseException) -> BrokerUnreachable:
    """What pika says of a failed connect, in words that help; permanent where only a person can
    mend it."""
    text = str(error) or repr(error)
    # pika guesses from how far the handshake went; only the broker's own words make it certain.
    said_by_broker = "ConnectionClosedByBroker" in text
    if isinstance(error, ProbableAuthenticationError) and said_by_broker:
        return BrokerUnreachable(
            "the broker refuses this user and password: correct them in the broker's URL",
            permanent=True,
        )
    if isinstance(error, ProbableAccessDeniedError) and said_by_broker:
        return BrokerUnreachable(
            f"the broker refuses this virtual host ({_reply_text(text)}): create it and give the "
            "user its permissions, or correct the last part of the broker's URL",
            permanent=True,
        )
    cause = _innermost(error)
    return BrokerUnreachable(
        f"{cause}: see that RabbitMQ runs there and that the broker's URL is right"
    )


def _innermost(error: BaseException) -> str:
    """The system's own words below pika's layers."""
    seen: BaseException = error
    while True:
        # A workflow has `exceptions`, a phase of it `exception`; others carry theirs in `args`.
        nested = [
            part
            for part in (
                *seen.args,
                *getattr(seen, "exceptions", ()),
                getattr(seen, "exception", None),
            )
            if isinstance(part, BaseException)
        ]
        if not nested:
            break
        seen = nested[-1]
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return str(seen) or type(seen).__name__


def _reply_text(text: str) -> str:
    return text.partition("'")[2].rpartition("'")[0].strip("'\"") or text
