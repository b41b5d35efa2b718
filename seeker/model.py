"""What the leading seeker holds in memory: unfinished jobs, their started tasks, the givers.

A task comes into being when it is first placed; until then it is only an index that its job
has not reached, so that a job of a million tasks costs as much as a job of one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from schemas import identifiers
from schemas.heartbeat import Capacity, Heartbeat
from schemas.job import JobSpec
from schemas.states import AssignmentState, GiverState, Outcome, TaskState
from seeker import states
from seeker.agreement import Vote


class Now(NamedTuple):
    """The time, given to every decision."""

    monotonic: float
    """Seconds; the only clock that decides anything."""
    wall: datetime
    """For people to read."""


@dataclass(slots=True, kw_only=True, eq=False)
class Assignment:
    task: Task
    number: int
    giver_id: str
    state: AssignmentState
    placed_at: datetime
    reason: str = ""
    outcome: Outcome | None = None
    """Of its result, once stored."""
    late: bool = False
    """The result came when the assignment had been given up."""
    cancel_sent_at: float | None = None
    missing_since: float | None = None
    """When the giver's inventory first lacked it; `None` while it is there."""
    resends: int = 0

    @property
    def id(self) -> str:
        return identifiers.assignment_id(self.task.id, self.number)

    @property
    def live(self) -> bool:
        return not self.state.final

    def become(self, state: AssignmentState, reason: str = "") -> None:
        """
        Raises:
            IllegalTransition: `state` may not follow the present one.
        """
        self.state = states.follow(states.ASSIGNMENT, self.state, state, self)
        self.reason = reason or self.reason

    def __repr__(self) -> str:
        return f"<{self.id} on {self.giver_id} {self.state}: {self.reason}>"


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    job: Job
    index: int
    state: TaskState = TaskState.PENDING
    assignments: list[Assignment] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    chosen: str | None = None
    """The id of the result that is believed."""
    reason: str = ""
    disputed: bool = False
    cancel_requested: bool = False
    wanted: int = 0
    """Assignments still to be made."""
    queued: bool = False
    """Among its job's `waiting`."""
    stuck_since: float | None = None
    """When its votes disagreed and nobody was left to ask."""

    @property
    def id(self) -> str:
        return identifiers.task_id(self.job.id, self.index)

    @property
    def live(self) -> Iterator[Assignment]:
        return (assignment for assignment in self.assignments if assignment.live)

    @property
    def attempts(self) -> int:
        """What counts against `max_attempts`: a refusal costs nothing."""
        return sum(a.state is not AssignmentState.REFUSED for a in self.assignments)

    def taken_by(self, giver_id: str) -> bool:
        """Whether that giver is at it or has voted: nobody tries a task twice at a time."""
        return any(a.giver_id == giver_id and a.live for a in self.assignments) or any(
            vote.giver_id == giver_id for vote in self.votes
        )

    def become(self, state: TaskState) -> None:
        """
        Raises:
            IllegalTransition: `state` may not follow the present one.
        """
        self.job.counts[self.state] -= 1
        self.state = states.follow(states.TASK, self.state, state, self)
        self.job.counts[state] += 1

    def __repr__(self) -> str:
        return f"<{self.id} {self.state}: {self.reason}; {self.assignments!r}>"


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    id: str
    spec: JobSpec
    submitted_at: datetime
    state: TaskState = TaskState.PENDING
    counts: dict[TaskState, int]
    next_index: int
    """The first index for which no task exists yet."""
    started_early: set[int] = field(default_factory=set)
    """Indexes after `next_index` for which one exists already."""
    tasks: dict[int, Task] = field(default_factory=dict)
    """Those with something left to do."""
    waiting: deque[Task] = field(default_factory=deque)
    """Those that want another assignment."""
    cancel_requested: bool = False
    waiting_reason: str = ""
    finished_at: datetime | None = None

    @classmethod
    def new(cls, job_id: str, spec: JobSpec, submitted_at: datetime) -> Job:
        counts = dict.fromkeys(TaskState, 0)
        counts[TaskState.PENDING] = spec.count
        return cls(
            id=job_id,
            spec=spec,
            submitted_at=submitted_at,
            counts=counts,
            next_index=spec.first_index,
        )

    @property
    def end_index(self) -> int:
        return self.spec.first_index + self.spec.count

    @property
    def started_all(self) -> bool:
        return self.next_index >= self.end_index

    def unstarted(self, index: int) -> bool:
        return self.next_index <= index < self.end_index and index not in self.started_early

    def started(self, index: int) -> None:
        """A task came into being."""
        self.started_early.add(index)
        while self.next_index in self.started_early:
            self.started_early.remove(self.next_index)
            self.next_index += 1

    def start_all(self) -> int:
        """Leave nothing to start; returns how many tasks will never come into being."""
        rest = self.end_index - self.next_index - len(self.started_early)
        self.next_index = self.end_index
        self.started_early.clear()
        return rest

    @property
    def unfinished(self) -> int:
        return self.counts[TaskState.PENDING] + self.counts[TaskState.ACTIVE]


@dataclass(slots=True, kw_only=True)
class Load:
    """What the assignments placed on a giver take, run or waiting."""

    cpus: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    containers: int = 0


@dataclass(slots=True, kw_only=True)
class Standing:
    """How often a giver was with the majority of a decided task, and how often against it."""

    agreed: int = 0
    disagreed: int = 0

    @property
    def reputation(self) -> float:
        """Between 0 and 1; 0.5 for a stranger (Laplace's rule of succession)."""
        return (self.agreed + 1) / (self.agreed + self.disagreed + 2)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """Refusals, and failures for the giver's own reasons, in a row."""

    count: int
    until: float
    """Monotonic time before which it gets nothing more of the kind."""


@dataclass(slots=True, kw_only=True, eq=False)
class Giver:
    id: str
    beat: Heartbeat
    """The latest."""
    last_heard: float
    """Monotonic; moved on when the seeker itself was away."""
    joined_at: datetime
    heard_at: datetime
    session: str | None = None
    """The session that tasks can be sent to. `None`: not heard since this seeker leads."""
    unreachable: bool = False
    """The broker returned a message; until the next heartbeat nothing more is sent."""
    strikes: int = 0
    load: Load = field(default_factory=Load)
    assignments: dict[str, Assignment] = field(default_factory=dict)
    """Live ones, by id."""
    standing: Standing = field(default_factory=Standing)
    setbacks: dict[str, Setback] = field(default_factory=dict)
    """By image: one that cannot be pulled says nothing of the others."""
    unwanted_told_at: float = float("-inf")
    """When it was last told to stop what nobody wants."""
    saved_at: float = float("-inf")

    @property
    def capacity(self) -> Capacity:
        return self.beat.capacity

    @property
    def state(self) -> GiverState:
        return self.beat.state
