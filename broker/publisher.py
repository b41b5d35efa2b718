"""Publishing with confirms, many at a time."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from typing import Any

from pika.exceptions import AMQPError
from pika.spec import BasicProperties

from broker.connection import AmqpChannel
from broker.errors import (
    BrokerError,
    ChannelLost,
    ConfirmTimeout,
    PublishError,
    Refused,
    Unroutable,
)
from broker.tenant import Tenant
from schemas.base import CONTENT_TYPE

PERSISTENT = 2
TRANSIENT = 1


class _Outgoing:
    """A message from `send` until it is settled."""

    __slots__ = ("body", "deadline", "exchange", "future", "mandatory", "properties", "routing_key")

    def __init__(
        self,
        exchange: str,
        routing_key: str,
        body: bytes,
        properties: BasicProperties,
        mandatory: bool,
        deadline: float,
        future: asyncio.Future[None],
    ) -> None:
        self.exchange = exchange
        self.routing_key = routing_key
        self.body = body
        self.properties = properties
        self.mandatory = mandatory
        self.deadline = deadline
        self.future = future

    def __str__(self) -> str:
        return (
            f"message {self.properties.message_id!r} to exchange {self.exchange!r} "
            f"with routing key {self.routing_key!r}"
        )


class Publisher(Tenant):
    """A window of messages on their way, each ending with the broker's confirm or an error.

    What is not confirmed when the connection is lost is published again on the next one, in
    order, until its deadline; so a message may arrive twice, with the same `message_id`.
    """

    def __init__(
        self,
        name: str,
        *,
        window: int,
        deadline_s: float,
        user: str,
        condition: Callable[[], str],
    ) -> None:
        """`condition` says in words how the link is, for the error of a missed deadline."""
        super().__init__(name)
        self._window = window
        self._deadline_s = deadline_s
        self._user = user
        self._condition = condition
        self._room = asyncio.Semaphore(window)
        self._failed: BrokerError | None = None
        self._amqp_channel: AmqpChannel | None = None
        # All deadlines are equally long, so the oldest message is always the next to expire:
        # first those handed to the broker, by delivery tag, then those still waiting.
        self._unconfirmed: dict[int, _Outgoing] = {}
        self._oldest_tag = 1
        self._last_tag = 0
        self._waiting: deque[_Outgoing] = deque()
        self._suspects = 0
        self._timer: asyncio.TimerHandle | None = None

    @property
    def pending(self) -> int:
        """Messages not settled yet."""
        return len(self._unconfirmed) + len(self._waiting)

    async def send(
        self,
        *,
        exchange: str,
        routing_key: str,
        body: bytes,
        message_id: str,
        mandatory: bool = True,
        persistent: bool = True,
        headers: Mapping[str, Any] | None = None,
        content_type: str = CONTENT_TYPE,
    ) -> asyncio.Future[None]:
        """Hand a message over, waiting while the window is full.

        The future ends when the broker has confirmed the message, or with `Unroutable`,
        `Refused`, `ConfirmTimeout` or `LinkStopped`. It must be awaited.

        Raises:
            ConfirmTimeout: the window stayed full for the length of a deadline.
            LinkStopped: after `stop`.
        """
        if self._room.locked():
            await self._wait_for_room()
        else:
            await self._room.acquire()
        if self._failed is not None:
            self._room.release()
            raise self._failed
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        message = _Outgoing(
            exchange,
            routing_key,
            body,
            BasicProperties(
                content_type=content_type,
                delivery_mode=PERSISTENT if persistent else TRANSIENT,
                message_id=message_id,
                user_id=self._user,
                headers=headers,
            ),
            mandatory,
            loop.time() + self._deadline_s,
            future,
        )
        if self._timer is None:
            self._timer = loop.call_at(message.deadline, self._expire)
        self._waiting.append(message)
        self._pump()
        return future

    async def publish(
        self,
        *,
        exchange: str,
        routing_key: str,
        body: bytes,
        message_id: str,
        mandatory: bool = True,
        persistent: bool = True,
        headers: Mapping[str, Any] | None = None,
    ) -> None:
        """As `send`, and wait for the confirm.

        Raises:
            PublishError: as the future of `send`.
            LinkStopped: after `stop`.
        """
        confirmed = await self.send(
            exchange=exchange,
            routing_key=routing_key,
            body=body,
            message_id=message_id,
            mandatory=mandatory,
            persistent=persistent,
            headers=headers,
        )
        await confirmed

    def fail(self, error: BrokerError) -> None:
        self._failed = error
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for message in (*self._unconfirmed.values(), *self._waiting):
            self._settle(message, error)
        self._unconfirmed.clear()
        self._waiting.clear()

    async def _set_up(self, amqp_channel: AmqpChannel, session: str) -> None:  # noqa: ARG002
        amqp_channel.raw.add_on_return_callback(self._on_return)
        await amqp_channel.call("confirm_delivery", self._on_confirm)
        self._oldest_tag = 1
        self._last_tag = 0
        self._amqp_channel = amqp_channel
        self._pump()

    def _tear_down(self, lost: ChannelLost) -> None:
        self._amqp_channel = None
        unconfirmed = list(self._unconfirmed.values())
        self._unconfirmed.clear()
        if lost.code is not None and len(unconfirmed) == 1:
            # It was alone, so it is the one that the broker took offence at.
            self._settle(unconfirmed.pop(), Refused(f"the broker refuses it: {lost}"))
        self._waiting.extendleft(reversed(unconfirmed))
        if lost.code is not None:
            # One of these made the broker close the channel. They go one at a time, so that it
            # is found and the others are not dragged down with it again and again.
            self._suspects = len(unconfirmed)

    def _pump(self) -> None:
        """Hand over what waits, as far as it may go now."""
        while self._waiting and self._amqp_channel is not None and self._amqp_channel.is_open:
            if self._suspects:
                if self._unconfirmed:
                    return
                self._suspects -= 1
            self._emit(self._waiting.popleft())

    def _emit(self, message: _Outgoing) -> None:
        assert self._amqp_channel is not None
        tag = self._last_tag + 1
        # A returned message does not carry its delivery tag; this brings it back.
        message.properties.correlation_id = str(tag)
        try:
            self._amqp_channel.raw.basic_publish(
                message.exchange,
                message.routing_key,
                message.body,
                message.properties,
                message.mandatory,
            )
        except (AMQPError, ValueError, TypeError, AssertionError) as error:
            self._settle(message, Refused(f"{message} cannot be encoded: {error!r}"))
            return
        self._last_tag = tag
        self._unconfirmed[tag] = message

    def _on_return(self, _: Any, method: Any, properties: BasicProperties, __: bytes) -> None:
        # Comes before the confirm, which then finds nothing left to settle.
        message = self._unconfirmed.pop(int(properties.correlation_id), None)
        if message is not None:
            self._settle(
                message, Unroutable(f"no queue for {message}: {method.reply_text or 'returned'}")
            )
            self._pump()

    def _on_confirm(self, frame: Any) -> None:
        method = frame.method
        refused = method.NAME == "Basic.Nack"
        tag = method.delivery_tag
        first = self._oldest_tag if method.multiple else tag
        unconfirmed = self._unconfirmed
        for each in range(first, tag + 1):
            message = unconfirmed.pop(each, None)
            if message is None:
                continue
            if refused:
                self._settle(message, Refused(f"the broker refuses {message}"))
            else:
                self._settle(message, None)
        if first <= self._oldest_tag <= tag:
            self._oldest_tag = tag + 1
        if self._waiting:
            self._pump()

    def _settle(self, message: _Outgoing, error: BrokerError | None) -> None:
        self._room.release()
        if message.future.done():  # Whoever waited for it has gone.
            return
        if error is None:
            message.future.set_result(None)
        else:
            message.future.set_exception(error)

    def _expire(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        self._timer = None
        while message := self._next_to_expire():
            if message.deadline > now:
                self._timer = loop.call_at(message.deadline, self._expire)
                break
            if self._unconfirmed:
                del self._unconfirmed[self._oldest_tag]
            else:
                self._waiting.popleft()
                self._suspects = max(0, self._suspects - 1)
            self._settle(message, self._timeout(str(message)))
        self._pump()

    def _next_to_expire(self) -> _Outgoing | None:
        if not self._unconfirmed:
            return self._waiting[0] if self._waiting else None
        while self._oldest_tag not in self._unconfirmed:
            self._oldest_tag += 1
        return self._unconfirmed[self._oldest_tag]

    def _timeout(self, what: str) -> PublishError:
        return ConfirmTimeout(
            f"no confirm within {self._deadline_s:g} s for {what}: {self._condition()}"
        )

    async def _wait_for_room(self) -> None:
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._room.acquire()
        except TimeoutError:
            raise self._timeout(f"any of {self._window} messages on their way") from None
