"""What a giver says of itself, every interval and at once when something changed."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.base import Message, Part
from schemas.identifiers import AssignmentId, GiverId
from schemas.job import MIB, MOST_BYTES
from schemas.policy import Policy
from schemas.states import AssignmentState, GiverState

SHORTEST_INTERVAL_S = 0.1
"""Far shorter ones could not be kept, and the intervals missed would be beyond counting."""


class Platform(Part):
    """As Docker names them, e.g. os `linux`, architecture `amd64`."""

    os: str = Field(max_length=100)
    architecture: str = Field(max_length=100)


class Capacity(Part):
    """What containers can have on a host, altogether."""

    cpus: float = Field(ge=0, le=1_000_000)
    memory_bytes: int = Field(ge=0, le=MOST_BYTES)
    disk_bytes: int = Field(ge=0, le=MOST_BYTES)
    gpus: int = Field(default=0, ge=0, le=10_000)
    containers: int = Field(ge=0, le=1_000_000)
    """Containers at a time."""


class Speed(Part):
    """Measured at the giver's start; 1.0 is a core of the year 2020 in either."""

    single: float = Field(gt=0)
    """One core by itself."""
    all_cores: float = Field(gt=0)
    """All cores together."""


class Progress(Part):
    """What a task says of itself."""

    fraction: float = Field(ge=0, le=1)
    note: str = Field(default="", max_length=200)
    """For a person: what it is at."""


class Held(Part):
    """An assignment that the giver has, and how far it is.

    `reported` means: the result is made and on its way, or already with the broker.
    """

    assignment_id: AssignmentId
    state: AssignmentState
    progress: Progress | None = None
    """`None`: it has not said."""


class Refusal(Part):
    """An assignment that the giver would not take.

    Repeated in a few heartbeats, as each of them may be lost.
    """

    assignment_id: AssignmentId
    reason: str = Field(max_length=500)


class Pull(Part):
    """An image on its way to the giver."""

    image: str = Field(max_length=500)
    done_bytes: int = Field(ge=0, le=MOST_BYTES)
    total_bytes: int = Field(ge=0, le=MOST_BYTES)
    """Of the layers heard of so far, as the registry packs them."""


class Heartbeat(Message):
    """On `heartbeats`. Only its arrival counts for liveness: no clock of the giver's is trusted."""

    MAX_BYTES: ClassVar[int] = 4 * MIB

    giver_id: GiverId
    boot_id: str = Field(min_length=1, max_length=64)
    """New at every start of the giver's process."""
    session: str = Field(min_length=1, max_length=64)
    """New at every connection to the broker; part of the giver's queue names."""
    sequence: int = Field(ge=0, lt=1 << 62)
    """Counts the heartbeats of this boot."""
    interval_s: float = Field(ge=SHORTEST_INTERVAL_S, le=3600)
    """Seconds until the next one at the latest."""
    state: GiverState
    state_reason: str = Field(default="", max_length=500)
    """For a person: why it is not ready."""
    version: str = Field(max_length=100)
    owner: str = Field(default="", max_length=200)
    labels: dict[str, str] = Field(default_factory=dict)
    platform: Platform
    speed: Speed | None = None
    capacity: Capacity
    free: Capacity
    backlog: int = Field(ge=0, le=100_000)
    """Assignments that it is willing to hold waiting beyond those it runs."""
    policy: Policy | None = None
    """What its owner lets a task have; `None`: the default, as most say nothing of it."""
    images: tuple[str, ...] = ()
    """Image references present on the host."""
    pulls: tuple[Pull, ...] = ()
    inventory: tuple[Held, ...] = ()
    """All it has that is not confirmed as reported."""
    refusals: tuple[Refusal, ...] = ()
