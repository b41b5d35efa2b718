"""What the giver says of itself: composing it, and sending it when it is time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass

import structlog

from broker import BrokerError, Link, LinkStopped, Publisher
from giver.health import Health
from giver.ledger import Ledger
from giver.slots import Slots
from schemas.heartbeat import Heartbeat, Platform, Pull, Speed
from schemas.policy import DEFAULT, Policy
from schemas.topology import HEARTBEATS

log = structlog.get_logger(__name__)

DEADLINE_S = 5.0
"""A heartbeat that comes later says nothing any more."""
IMAGES_MAX = 200
_SOON_S = 0.05
"""For what somebody waits for: a refusal, a change of state."""
_LATER_S = 0.1
_PER_ENTRY_S = 0.001
"""A long inventory is told less often: it costs all who read it."""


@dataclass(slots=True)
class Described:
    """What a heartbeat says beside the state of the work."""

    giver_id: str
    boot_id: str
    interval_s: float
    version: str
    owner: str
    labels: dict[str, str]
    platform: Platform
    policy: Policy = DEFAULT
    speed: Speed | None = None
    images: tuple[str, ...] = ()
    pulls: tuple[Pull, ...] = ()


def compose(
    described: Described,
    session: str,
    sequence: int,
    health: Health,
    slots: Slots,
    ledger: Ledger,
) -> Heartbeat:
    """Its parts are ours, so they are not validated again."""
    return Heartbeat.model_construct(
        giver_id=described.giver_id,
        boot_id=described.boot_id,
        session=session,
        sequence=sequence,
        interval_s=described.interval_s,
        state=health.state,
        state_reason=health.reason,
        version=described.version,
        owner=described.owner,
        labels=described.labels,
        platform=described.platform,
        speed=described.speed,
        capacity=slots.capacity,
        free=slots.free,
        backlog=slots.backlog,
        policy=None if described.policy == DEFAULT else described.policy,
        images=described.images[:IMAGES_MAX],
        pulls=described.pulls,
        inventory=ledger.inventory(),
        refusals=ledger.tell_refusals(),
    )


class Pulse:
    """Sends a heartbeat every interval, and soon after something changed."""

    def __init__(
        self, link: Link, publisher: Publisher, interval_s: float, size: Callable[[], int]
    ) -> None:
        """`size`: entries of the inventory."""
        self._link = link
        self._publisher = publisher
        self._interval_s = interval_s
        self._size = size
        self._sequence = 0
        self._due_at = 0.0
        self._soon = False
        """The next one was brought forward already."""
        self._woken = asyncio.Event()
        link.on_connect(lambda: self.changed(True))

    def changed(self, urgent: bool) -> None:
        """The next heartbeat comes soon; the first of several changes decides when."""
        if self._soon and not urgent:  # Asked several times for each assignment.
            return
        delay = _SOON_S if urgent else _LATER_S + _PER_ENTRY_S * self._size()
        due_at = asyncio.get_running_loop().time() + delay
        if due_at < self._due_at:
            self._due_at = due_at
            self._soon = True
            self._woken.set()

    async def run(self, beat: Callable[[str, int], Heartbeat]) -> None:
        """Until cancelled, or the link is stopped. `beat` composes for a session and a number."""
        loop = asyncio.get_running_loop()
        while True:
            self._due_at = loop.time() + self._interval_s
            self._soon = False
            with contextlib.suppress(LinkStopped):
                await self.send(beat)
            while (wait_s := self._due_at - loop.time()) > 0:
                self._woken.clear()
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(self._woken.wait(), wait_s)

    async def send(self, beat: Callable[[str, int], Heartbeat]) -> None:
        """One now, if there is a connection.

        Raises:
            LinkStopped
        """
        if not self._link.connected:
            return
        message = beat(self._link.session, self._sequence)
        self._sequence += 1
        try:
            sent = await self._publisher.send(
                exchange=HEARTBEATS.name,
                routing_key=message.giver_id,
                body=message.encode(),
                message_id=f"{message.boot_id}-{message.sequence}",
                mandatory=False,
                persistent=False,
            )
        except LinkStopped:
            raise
        except BrokerError as error:
            log.warning("heartbeat_not_sent", reason=str(error))
            return
        sent.add_done_callback(_retrieve)


def _retrieve(sent: asyncio.Future[None]) -> None:
    if not sent.cancelled():
        sent.exception()  # Looked at: the next one says more than a repeat would.
