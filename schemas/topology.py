"""Names, kinds and settings of all that is declared at the broker.

Works from RabbitMQ 3.10 to 4.x: nothing transient but what is exclusive, no global prefetch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True, slots=True, kw_only=True)
class Exchange:
    name: str
    kind: Literal["topic", "fanout"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Queue:
    """An exclusive queue lives as long as its connection; all others are durable."""

    name: str
    exclusive: bool = False
    arguments: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    exchange: str
    queue: str
    routing_key: str = "#"


DEFAULT_EXCHANGE = ""
"""Routes to the queue named by the routing key."""

RESULTS = Exchange(name="results", kind="topic")
STORED = Exchange(name="stored", kind="fanout")
HEARTBEATS = Exchange(name="heartbeats", kind="fanout")
LOGS = Exchange(name="logs", kind="topic")
"""What containers write, while somebody looks on."""

DEAD = Queue(
    name="dead",
    arguments={"x-queue-type": "quorum", "x-max-length-bytes": 1 << 30},
)
"""Malformed or undeliverable messages, kept for the operator."""

_DEAD_LETTERS = {
    "x-queue-type": "quorum",
    "x-dead-letter-exchange": DEFAULT_EXCHANGE,
    "x-dead-letter-routing-key": DEAD.name,
}

SUBMISSIONS = Queue(name="submissions", arguments=_DEAD_LETTERS)
COMMANDS = Queue(name="commands", arguments=_DEAD_LETTERS)
CHANNEL_RESULTS = Queue(name="channel.results", arguments=_DEAD_LETTERS)
SEEKER_STORED = Queue(name="seeker.stored", arguments=_DEAD_LETTERS)

Declaration = Exchange | Queue | Binding

DURABLE: tuple[Declaration, ...] = (
    DEAD,
    RESULTS,
    STORED,
    HEARTBEATS,
    LOGS,
    SUBMISSIONS,
    COMMANDS,
    CHANNEL_RESULTS,
    SEEKER_STORED,
    Binding(exchange=RESULTS.name, queue=CHANNEL_RESULTS.name),
    Binding(exchange=STORED.name, queue=SEEKER_STORED.name),
)
"""Declared by the seeker and the channel at every connect, each as a whole: whichever starts first
makes the queues of the others, so that nothing is sent into the void meanwhile."""


def tasks_queue(giver_id: str, session: str) -> Queue:
    """Exists exactly as long as that session of the giver is connected."""
    return Queue(name=f"tasks.{giver_id}.{session}", exclusive=True)


def control_queue(giver_id: str, session: str) -> Queue:
    """Apart from the tasks, so that a cancel never waits behind queued work."""
    return Queue(name=f"control.{giver_id}.{session}", exclusive=True)


def heartbeat_queue(reader: str, session: str) -> Queue:
    """One reader's own copy of the heartbeats: short and dropping the oldest:
    only fresh ones count."""
    return Queue(
        name=f"heartbeats.{reader}.{session}",
        exclusive=True,
        arguments={"x-max-length": 20_000, "x-overflow": "drop-head"},
    )


def log_queue(follower: str) -> Queue:
    """One follower's own; it drops the oldest rather than fill the broker."""
    return Queue(
        name=f"logs.{follower}",
        exclusive=True,
        arguments={"x-max-length-bytes": 4 << 20, "x-overflow": "drop-head"},
    )


def result_key(giver_id: str, task_id: str) -> str:
    return f"{giver_id}.{task_id}"
