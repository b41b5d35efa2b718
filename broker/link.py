"""One connection to the broker, kept up, with its publishers and consumers."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Sequence
from typing import TypeVar

import pika
import structlog
from pika.exceptions import AMQPError
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception_type, wait_random_exponential

from broker.connection import Connection
from broker.consumer import Consumer
from broker.declaration import declare
from broker.errors import BrokerUnreachable, ChannelLost, DeclarationRefused, LinkStopped
from broker.publisher import Publisher
from broker.tenant import Tenant
from runtime.settings import SettingsError
from runtime.urls import redact
from schemas.topology import Declaration, Exchange, Queue

log = structlog.get_logger(__name__)

T = TypeVar("T")

HEARTBEAT_S = 10
"""Agreed with the broker. pika notices silence after once to twice this and 5 s more."""

HANDSHAKE_TIMEOUT_S = 8
"""From the first packet to an open connection: a frozen broker accepts, but does not answer."""

BLOCKED_TIMEOUT_S = 300
"""A broker short of memory or disk for this long is tried anew: it may be one of a cluster."""

CONNECT_RETRIABLE = (BrokerUnreachable, ChannelLost)
CONNECT_WAIT = wait_random_exponential(multiplier=0.2, max=10)
"""Without end: a service without its broker has nothing better to do. Random, which keeps a fleet
from coming back all at once."""


class Link:
    """One connection to the broker, opened again whenever it is lost.

    Publishers and consumers are made before `start` and go on across reconnects. While the broker
    is short of memory or disk it stops reading from a connection that publishes, acknowledgements
    included: whoever must go on consuming then has a link for each direction.
    """

    def __init__(self, url: str, *, name: str, topology: Sequence[Declaration] = ()) -> None:
        """`name` is shown by the broker; `topology` is declared on every connect.

        Raises:
            SettingsError: the URL is none of a broker.
        """
        self._parameters = _parameters(url, name)
        self.user: str = self._parameters.credentials.username
        self._url = redact(url)
        self._name = name
        self._topology = topology
        self._publishers: list[Publisher] = []
        self._consumers: list[Tenant] = []
        self._dead_letters: Publisher | None = None
        self._callbacks: list[Callable[[], None]] = []
        self._connection: Connection | None = None
        self._connected = asyncio.Event()
        self._supervisor: asyncio.Task[None] | None = None
        self._stopped: LinkStopped | None = None
        self._refused: asyncio.Future[BrokerUnreachable] | None = None
        self._last_error: BrokerUnreachable | ChannelLost | None = None
        self.session = ""
        """Names the present connection, or the last; new on every connect."""
        self.epoch = 0
        """Counts the connects."""

    @property
    def connected(self) -> bool:
        return self._connected.is_set() and self._stopped is None

    @property
    def blocked(self) -> bool:
        """The broker takes no messages for now: it is short of memory or disk."""
        return self._connection is not None and self._connection.blocked

    def publisher(self, *, window: int = 2000, deadline_s: float = 30.0) -> Publisher:
        """`window`: messages on their way at the most; `deadline_s`: for each, from `send`."""
        self._require_not_started()
        publisher = Publisher(
            f"{self._name} publisher",
            window=window,
            deadline_s=deadline_s,
            user=self.user,
            condition=self._condition,
        )
        self._publishers.append(publisher)
        return publisher

    def consumer(
        self,
        *,
        queue: Callable[[str], Queue],
        decode: Callable[[bytes], T],
        bind_to: Sequence[Exchange] = (),
        binding_key: str = "#",
        prefetch: int = 100,
        batch_max: int = 500,
        quarantine: bool = True,
        auto_ack: bool = False,
    ) -> Consumer[T]:
        """`queue` maps the session to the queue, which is declared and bound by `binding_key` to
        each exchange of `bind_to` on every connect. `auto_ack`: the broker forgets a message
        once it is sent."""
        self._require_not_started()
        if quarantine and self._dead_letters is None:
            self._dead_letters = self.publisher(window=100)
        consumer = Consumer(
            f"{self._name} consumer",
            queue=queue,
            decode=decode,
            bind_to=bind_to,
            binding_key=binding_key,
            prefetch=prefetch,
            batch_max=batch_max,
            auto_ack=auto_ack,
            dead_letters=self._dead_letters if quarantine else None,
        )
        self._consumers.append(consumer)
        return consumer

    def on_connect(self, callback: Callable[[], None]) -> None:
        """Call `callback` after each connect, once publishers and consumers are up."""
        self._callbacks.append(callback)

    async def start(self, timeout_s: float | None = None) -> None:
        """Connect; `None` in the background and for ever, a number of seconds: now.

        Raises:
            BrokerUnreachable: not connected in time, or refused for good (at once).
        """
        self._require_not_started()
        self._refused = asyncio.get_running_loop().create_future()
        self._supervisor = asyncio.create_task(self._supervise(), name=f"link {self._name}")
        self._supervisor.add_done_callback(self._supervisor_ended)
        if timeout_s is None:
            return
        connected = asyncio.create_task(self.wait_connected())
        done, _ = await asyncio.wait(
            (connected, self._refused), timeout=timeout_s, return_when=asyncio.FIRST_COMPLETED
        )
        connected.cancel()
        if connected in done:
            connected.result()
            return
        await self.stop()
        if self._refused.done():
            refusal = self._refused.result()
            if isinstance(refusal, DeclarationRefused):
                raise refusal
            raise BrokerUnreachable(f"broker {self._url}: {refusal}", permanent=True) from refusal
        reason = self._last_error or "no answer: see that it is not frozen or behind a firewall"
        raise BrokerUnreachable(
            f"broker {self._url} cannot be reached within {timeout_s:g} s: {reason}"
        )

    async def wait_connected(self) -> None:
        """
        Raises:
            LinkStopped: after `stop`.
        """
        await self._connected.wait()
        if self._stopped is not None:
            raise self._stopped

    async def stop(self) -> None:
        """Close the connection. What is not confirmed yet ends with `LinkStopped`."""
        if self._supervisor is not None:
            self._supervisor.cancel()
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await self._supervisor
        self._fail(LinkStopped(f"the link {self._name!r} has been stopped"))

    async def _supervise(self) -> None:
        while True:
            connection = await self._connect()
            try:
                self._connected.set()
                for callback in self._callbacks:
                    callback()
                reason = await asyncio.shield(connection.closed)
                log.warning("broker_lost", link=self._name, broker=self._url, reason=reason)
            finally:
                self._connected.clear()
                await self._hang_up(connection)

    async def _connect(self) -> Connection:
        async for attempt in AsyncRetrying(
            wait=CONNECT_WAIT,
            retry=retry_if_exception_type(CONNECT_RETRIABLE),
            before_sleep=self._log_failed_connect,
        ):
            with attempt:
                return await self._connect_once()
        raise AssertionError("unreachable: the retries have no end")

    async def _connect_once(self) -> Connection:
        connection = await Connection.open(self._parameters, self._on_blocked)
        self._connection = connection
        self.session = connection.session
        self.epoch += 1
        try:
            amqp_channel = await connection.channel()
            await declare(amqp_channel, self._topology)
            amqp_channel.close()
            for tenant in (*self._publishers, *self._consumers):
                await tenant.open(connection)
        except BaseException:
            await self._hang_up(connection)
            raise
        log.info(
            "broker_connected",
            link=self._name,
            broker=self._url,
            session=self.session,
            epoch=self.epoch,
        )
        return connection

    async def _hang_up(self, connection: Connection) -> None:
        for tenant in (*self._publishers, *self._consumers):
            tenant.detach()
        await connection.close()
        self._connection = None

    def _log_failed_connect(self, state: RetryCallState) -> None:
        error = state.outcome.exception() if state.outcome else None
        assert isinstance(error, CONNECT_RETRIABLE)
        self._last_error = error
        permanent = isinstance(error, BrokerUnreachable) and error.permanent
        (log.error if permanent else log.warning)(
            "broker_unreachable",
            link=self._name,
            broker=self._url,
            error=str(error),
            attempt=state.attempt_number,
            retry_in_s=round(state.next_action.sleep, 1) if state.next_action else None,
        )
        if (
            isinstance(error, BrokerUnreachable)
            and permanent
            and self._refused is not None
            and not self._refused.done()
        ):
            self._refused.set_result(error)

    def _on_blocked(self, connection: Connection) -> None:
        if connection.blocked:
            log.warning("broker_blocks_publishers", link=self._name, broker=self._url)
        else:
            log.info("broker_takes_messages_again", link=self._name, broker=self._url)

    def _condition(self) -> str:
        if self.blocked:
            return f"broker {self._url} blocks publishers, as it is short of memory or disk"
        if not self.connected:
            return f"not connected to broker {self._url}"
        return f"broker {self._url} is connected but does not answer"

    def _supervisor_ended(self, supervisor: asyncio.Task[None]) -> None:
        if supervisor.cancelled():
            return
        error = supervisor.exception()
        log.critical("link_died", link=self._name, exc_info=error)
        # Whoever uses the link fails loudly, and the service with them.
        self._fail(LinkStopped(f"the link {self._name!r} died: {error!r}"))

    def _fail(self, error: LinkStopped) -> None:
        if self._stopped is not None:
            return
        self._stopped = error
        for tenant in (*self._publishers, *self._consumers):
            tenant.fail(error)
        self._connected.set()  # Releases those in `wait_connected`, which then raises.

    def _require_not_started(self) -> None:
        if self._supervisor is not None:
            raise RuntimeError(f"the link {self._name!r} has been started already")


def _parameters(url: str, name: str) -> pika.connection.Parameters:
    try:
        if not url.startswith(("amqp://", "amqps://")):
            raise ValueError("it starts with neither amqp:// nor amqps://")
        parameters = pika.URLParameters(url)
    except (ValueError, TypeError, LookupError, AMQPError) as error:
        raise SettingsError(
            f"broker URL {redact(url)!r} does not fit ({error}): "
            "give it as amqp://user:password@host:5672/vhost"
        ) from error
    if "heartbeat=" not in url:
        parameters.heartbeat = HEARTBEAT_S
    parameters.blocked_connection_timeout = BLOCKED_TIMEOUT_S
    parameters.connection_attempts = 1
    parameters.socket_timeout = HANDSHAKE_TIMEOUT_S
    parameters.stack_timeout = HANDSHAKE_TIMEOUT_S
    parameters.client_properties = {"connection_name": name, "product": "seekgive"}
    return parameters
