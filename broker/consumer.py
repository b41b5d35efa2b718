"""Consuming in batches."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, NamedTuple, TypeVar

import structlog
from pika.spec import BasicProperties
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from broker.connection import AmqpChannel
from broker.declaration import declare
from broker.errors import BrokerError, ChannelLost, PublishError
from broker.publisher import Publisher
from broker.tenant import Tenant
from schemas.base import MalformedMessage
from schemas.topology import DEAD, DEFAULT_EXCHANGE, Binding, Declaration, Exchange, Queue

log = structlog.get_logger(__name__)

T = TypeVar("T")

UNACKNOWLEDGED_MAX = 20_000
"""Messages that an `auto_ack` consumer keeps for a reader that lags; the oldest go first."""

ERROR_HEADER_MAX = 2_000
"""Characters of the reason in the header of a quarantined message."""

QUARANTINE_WAIT = wait_random_exponential(multiplier=1, max=60)
"""Ends with the amqp channel: the message then comes again."""


class Delivery(NamedTuple, Generic[T]):
    """One message as it was delivered."""

    message: T
    body: bytes
    redelivered: bool
    exchange: str
    routing_key: str
    user_id: str | None
    """Who sent it, as the broker authenticated them; `None` if they did not say."""
    message_id: str | None
    epoch: int
    """Counts the consumer's amqp channels: `tag` means nothing on any other."""
    tag: int


class Consumer(Tenant, Generic[T]):
    """Delivers decoded messages in batches, across reconnects.

    A message is delivered again when its acknowledgement did not reach the broker.
    """

    def __init__(
        self,
        name: str,
        *,
        queue: Callable[[str], Queue],
        decode: Callable[[bytes], T],
        bind_to: Sequence[Exchange],
        binding_key: str,
        prefetch: int,
        batch_max: int,
        auto_ack: bool,
        dead_letters: Publisher | None,
    ) -> None:
        """`queue` maps the session to the queue; `dead_letters` publishes what cannot be decoded,
        `None` drops it."""
        super().__init__(name)
        self._queue = queue
        self._decode = decode
        self._bind_to = bind_to
        self._binding_key = binding_key
        self._prefetch = prefetch
        self._batch_max = batch_max
        self._auto_ack = auto_ack
        self._dead_letters = dead_letters
        self._queue_name = ""
        self._failed: BrokerError | None = None
        self._amqp_channel: AmqpChannel | None = None
        self._epoch = 0
        self._ready: deque[Delivery[T]] = deque(maxlen=UNACKNOWLEDGED_MAX if auto_ack else None)
        self._arrived = asyncio.Event()
        self._unacked: set[int] = set()
        self._lowest_unacked = 1
        self._last_tag = 0
        self._quarantining: set[asyncio.Task[None]] = set()

    async def take(self) -> list[Delivery[T]]:
        """All that has arrived, up to `batch_max`; waits until there is something.

        Raises:
            LinkStopped: after `stop`.
        """
        while not self._ready:
            if self._failed is not None:
                raise self._failed
            self._arrived.clear()
            await self._arrived.wait()
        ready = self._ready
        return [ready.popleft() for _ in range(min(len(ready), self._batch_max))]

    def ack(self, batch: Iterable[Delivery[T]]) -> None:
        """Acknowledge exactly these.

        Those of an earlier amqp channel are left out: the broker delivers them again.
        """
        amqp_channel = self._amqp_channel
        if amqp_channel is None or not amqp_channel.is_open or self._auto_ack:
            return
        unacked = self._unacked
        epoch = self._epoch
        tags = {delivery.tag for delivery in batch if delivery.epoch == epoch} & unacked
        if not tags:
            return
        unacked -= tags
        lowest = self._lowest_unacked
        while lowest <= self._last_tag and lowest not in unacked:
            lowest += 1
        self._lowest_unacked = lowest
        # Below the lowest that stays, one acknowledgement serves for all.
        below = [tag for tag in tags if tag < lowest]
        if below:
            amqp_channel.raw.basic_ack(max(below), multiple=True)
        for tag in sorted(tag for tag in tags if tag > lowest):
            amqp_channel.raw.basic_ack(tag)

    def reject(self, delivery: Delivery[Any], reason: str) -> None:
        """Treat a message that was decoded, but cannot be used, as a malformed one."""
        log.warning(
            "malformed_message",
            queue=self._queue_name,
            message_id=delivery.message_id,
            user_id=delivery.user_id,
            size_bytes=len(delivery.body),
            error=reason,
            quarantined=self._dead_letters is not None,
        )
        if self._dead_letters is None:
            self.ack([delivery])
            return
        if self._amqp_channel is None or delivery.epoch != self._epoch:
            return  # It comes again.
        task = asyncio.create_task(
            self._quarantine(self._dead_letters, delivery, reason), name=f"quarantine {self.name}"
        )
        self._quarantining.add(task)
        task.add_done_callback(self._quarantining.discard)

    def fail(self, error: BrokerError) -> None:
        self._failed = error
        self._arrived.set()

    async def _set_up(self, amqp_channel: AmqpChannel, session: str) -> None:
        queue = self._queue(session)
        self._queue_name = queue.name
        await declare(amqp_channel, self._declarations(queue))
        await amqp_channel.call("basic_qos", prefetch_count=self._prefetch)
        self._epoch += 1
        self._unacked.clear()
        self._lowest_unacked = 1
        self._last_tag = 0
        self._amqp_channel = amqp_channel
        amqp_channel.raw.add_on_cancel_callback(partial(self._cancelled, amqp_channel))
        await amqp_channel.call(
            "basic_consume",
            queue=queue.name,
            on_message_callback=self._receive,
            auto_ack=self._auto_ack,
        )

    def _declarations(self, queue: Queue) -> list[Declaration]:
        return [
            *([DEAD] if self._dead_letters is not None else []),
            queue,
            *self._bind_to,
            *(
                Binding(exchange=exchange.name, queue=queue.name, routing_key=self._binding_key)
                for exchange in self._bind_to
            ),
        ]

    def _tear_down(self, lost: ChannelLost) -> None:  # noqa: ARG002
        self._amqp_channel = None
        if not self._auto_ack:
            # They are delivered again.
            self._ready.clear()
        for task in self._quarantining:
            task.cancel()

    def _cancelled(self, amqp_channel: AmqpChannel, _: Any) -> None:
        log.warning("consumer_cancelled_by_broker", consumer=self.name, queue=self._queue_name)
        # A fresh channel is the one way that serves for every loss.
        self._amqp_channel = None
        amqp_channel.close()

    def _receive(self, _: Any, method: Any, properties: BasicProperties, body: bytes) -> None:
        tag = method.delivery_tag
        self._last_tag = tag
        if not self._auto_ack:
            self._unacked.add(tag)
        try:
            message = self._decode(body)
        except MalformedMessage as error:
            self._reject(method, properties, body, str(error))
            return
        except Exception as error:
            # A defect of the decoder: raised into pika, it would end the connection, and the
            # message would come again and end the next one.
            log.exception("decoder_failed", consumer=self.name, queue=self._queue_name)
            self._reject(method, properties, body, f"{type(error).__name__}: {error}")
            return
        self._ready.append(
            Delivery(
                message,
                body,
                method.redelivered,
                method.exchange,
                method.routing_key,
                properties.user_id,
                properties.message_id,
                self._epoch,
                tag,
            )
        )
        self._arrived.set()

    def _reject(self, method: Any, properties: BasicProperties, body: bytes, reason: str) -> None:
        self.reject(
            Delivery(
                None,
                body,
                method.redelivered,
                method.exchange,
                method.routing_key,
                properties.user_id,
                properties.message_id,
                self._epoch,
                method.delivery_tag,
            ),
            reason,
        )

    async def _quarantine(
        self, dead_letters: Publisher, delivery: Delivery[Any], reason: str
    ) -> None:
        """Keep a malformed message for the operator, and acknowledge it only then."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(PublishError),
            wait=QUARANTINE_WAIT,
            before_sleep=lambda state: log.error(
                "quarantine_failed",
                queue=self._queue_name,
                error=str(state.outcome.exception() if state.outcome else ""),
            ),
        ):
            with attempt:
                await dead_letters.publish(
                    exchange=DEFAULT_EXCHANGE,
                    routing_key=DEAD.name,
                    body=delivery.body,
                    message_id=delivery.message_id or "",
                    headers={
                        "x-error": reason[:ERROR_HEADER_MAX],
                        "x-queue": self._queue_name,
                        "x-exchange": delivery.exchange,
                        "x-routing-key": delivery.routing_key,
                    },
                )
        self.ack([delivery])
