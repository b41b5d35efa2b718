"""What the leading seeker holds in memory: unfinished jobs, their started tasks, the givers.

A task comes into being when it is first placed; until then it is only an index that its job
has not reached, so that a job of a million tasks costs as much as a job of one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, NamedTuple
from zlib import crc32

from schemas import identifiers
from schemas.heartbeat import Capacity, Heartbeat, Progress
from schemas.job import JobSpec
from schemas.states import AssignmentState, GiverState, Outcome, TaskState
from seeker import expression, specs, states
from seeker.agreement import Vote
from seeker.comparators import Pair
from seeker.expression import Attributes
from seeker.reputation import Reputation

FADING = 0.98

_GIVERS_FAULT = (Outcome.INFRASTRUCTURE_ERROR, Outcome.KILLED)

NO_JOBS: frozenset[str] = frozenset()
"""One for all: Python makes an empty one anew each time, of two hundred bytes."""

RUNS_REMEMBERED = 101
"""Of each job, for their median."""

TRIES_REMEMBERED = 100
"""Of a task, before refusals are forgotten: they do not count against `max_attempts`."""

EXPRESSIONS_KEPT = 100
"""Per giver; to evaluate one takes far longer than all the rest of a decision."""


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
    group: str
    """Of the giver, when it was placed."""
    platform: str
    """Of the giver, as OS/ARCHITECTURE."""
    state: AssignmentState
    placed_at: datetime
    reason: str = ""
    outcome: Outcome | None = None
    """Of its result, once stored."""
    late: bool = False
    """The result came when the assignment had been given up."""
    parts: dict[str, float] = field(default_factory=dict)
    """Why this giver: the parts of its score, lower being better."""
    progress: Progress | None = None
    """As the task itself said last."""
    running_since: float | None = None
    """Monotonic; when the giver first said that it runs."""
    missing_since: float | None = None
    """When the giver's inventory first lacked it; `None` while it is there."""
    resends: int = 0
    unwanted_since: float | None = None
    """Monotonic; when the giver was first seen to hold what nobody wants any more."""

    @property
    def id(self) -> str:
        return identifiers.assignment_id(self.task.id, self.number)

    @property
    def live(self) -> bool:
        return not self.state.final

    @property
    def unwanted(self) -> bool:
        """Whatever it brings, it does not count any more."""
        task = self.task
        return task.state.final or task.withdrawn is not None or self.number <= task.round_began

    def become(self, state: AssignmentState, reason: str = "") -> None:
        """
        Raises:
            IllegalTransition: `state` may not follow the present one.
        """
        self.state = states.follow(states.ASSIGNMENT, self.state, state, self)
        self.reason = reason or self.reason

    def __repr__(self) -> str:
        return f"<{self.id} on {self.giver_id} {self.state}: {self.reason}>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Withdrawal:
    """Somebody, or a limit, ends what has not ended by itself."""

    state: Literal[TaskState.CANCELLED, TaskState.FAILED]
    """What becomes of it, once its containers are gone."""
    reason: str


@dataclass(slots=True, kw_only=True, eq=False)
class Task:
    job: Job
    index: int
    state: TaskState = TaskState.PENDING
    assignments: list[Assignment] = field(default_factory=list)
    votes: list[Vote] = field(default_factory=list)
    """Of the present round, in the order of storing."""
    earlier_votes: list[Vote] = field(default_factory=list)
    """Of rounds that ended badly and were followed by a retry."""
    rounds: int = 1
    """Runs that the user's retries allow count as rounds, each with votes of its own."""
    round_began: int = 0
    """Assignments made before the present round."""
    comparisons: dict[Pair, bool] = field(default_factory=dict)
    """What the user's own container said of results, where it is that which compares."""
    chosen: str | None = None
    """The id of the result that is believed."""
    reason: str = ""
    disputed: bool = False
    withdrawn: Withdrawal | None = None
    wanted: int = 0
    """Assignments still to be made."""
    queued: bool = False
    """Among those that want another assignment, or pausing before that."""
    alone: bool = False
    """Its giver is trusted: one vote decides."""
    review: str = ""
    """The task by which others run it again, as that giver was caught lying later."""
    backed_up: bool = False
    """A second try was asked for because the first takes so long, or its giver is away."""
    stuck_since: float | None = None
    """When its votes disagreed and nobody was left to ask."""

    @property
    def id(self) -> str:
        return identifiers.task_id(self.job.id, self.index)

    @property
    def made(self) -> int:
        """Assignments made so far: they are numbered from 1."""
        return self.assignments[-1].number if self.assignments else 0

    def forget_refusals(self) -> None:
        """Where givers refuse a task for weeks, the oldest refusals are not kept."""
        if len(self.assignments) > TRIES_REMEMBERED:
            refused = [a for a in self.assignments[:-1] if a.state is AssignmentState.REFUSED]
            if refused:
                self.assignments.remove(refused[0])

    @property
    def live(self) -> Iterator[Assignment]:
        return (assignment for assignment in self.assignments if assignment.live)

    @property
    def of_this_round(self) -> list[Assignment]:
        return [a for a in self.assignments if a.number > self.round_began]

    @property
    def attempts(self) -> int:
        """What counts against `max_attempts`, in this round: a refusal costs nothing."""
        return sum(a.state is not AssignmentState.REFUSED for a in self.of_this_round)

    @property
    def giver_failures(self) -> int:
        """Tries in this round that ended for the giver's reasons."""
        return sum(a.outcome in _GIVERS_FAULT for a in self.of_this_round)

    @property
    def groups(self) -> set[str]:
        """Whose givers are at it or have voted: none of them gets it again."""
        voted = {vote.giver_id for vote in self.votes}
        return {a.group for a in self.assignments if a.live or a.giver_id in voted}

    @property
    def killed_by(self) -> dict[str, str]:
        """By group, a giver on which its process was killed in this round, nobody knows by whom."""
        return {
            a.group: a.giver_id
            for a in self.of_this_round
            if a.outcome is Outcome.KILLED and not a.late  # Nobody knows what it did meanwhile.
        }

    @property
    def platform(self) -> str:
        """On which it runs or has voted; empty where it can still be any."""
        voted = {vote.giver_id for vote in self.votes}
        return next((a.platform for a in self.assignments if a.live or a.giver_id in voted), "")

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


@dataclass(slots=True)
class Counts:
    """How many of a job's tasks are in each state; a dict of it takes three times the memory."""

    pending: int
    active: int = 0
    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0

    def __getitem__(self, state: TaskState) -> int:
        return int(getattr(self, state))

    def __setitem__(self, state: TaskState, number: int) -> None:
        setattr(self, state, number)

    def items(self) -> Iterator[tuple[TaskState, int]]:
        return ((state, self[state]) for state in TaskState)


@dataclass(slots=True, kw_only=True, eq=False)
class Job:
    """There may be a million of one task each: what waits has to be small, a kilobyte with its
    spec and its place in every queue."""

    id: str
    packed_spec: bytes | JobSpec
    demand: str
    """The key of what its tasks ask of a giver."""
    largest: int = 0
    """Characters that no task's container exceeds; known from its first task on."""
    submitted_at: datetime
    """By the clock of whoever submitted it."""
    accepted_at: datetime
    """By the seeker's, which is the one that its deadline and its queue timeout count by."""
    state: TaskState = TaskState.PENDING
    counts: Counts
    priority: int
    end_index: int
    """The first index after the last task's."""
    next_index: int
    """The first index for which no task exists yet."""
    started_early: set[int] | None = None
    """Indexes after `next_index` for which one exists already."""
    tasks: dict[int, Task] = field(default_factory=dict)
    """Those with something left to do."""
    waits_since: int | None = None
    """The turn since when it waits for one; `None` where none is left to wait for."""
    withdrawn: Withdrawal | None = None
    """What became of the tasks that were never started."""
    waits_for: frozenset[str]
    """Jobs that have to succeed first."""
    waiting_reason: str = ""
    deadline_s: float | None
    queue_timeout_s: float | None
    backup_after: float | None
    """As in the spec: looked at with every tick."""
    run_times: tuple[float, ...] = ()
    """Seconds that its latest runs took, where backups are asked for."""
    finished_at: datetime | None = None
    pinned_image: str = ""
    """What its image turned out to be by digest, once enough givers agreed who had run it: a tag
    may move, and then they would answer different questions."""

    @classmethod
    def new(cls, job_id: str, spec: JobSpec, submitted_at: datetime, accepted_at: datetime) -> Job:
        return cls(
            id=job_id,
            packed_spec=specs.pack(spec),
            demand=specs.demand_key(spec),
            submitted_at=submitted_at,
            accepted_at=accepted_at,
            counts=Counts(pending=spec.count),
            priority=spec.priority,
            next_index=spec.first_index,
            end_index=spec.first_index + spec.count,
            waits_for=frozenset(spec.after) or NO_JOBS,
            deadline_s=spec.deadline_s,
            queue_timeout_s=spec.queue_timeout_s,
            backup_after=spec.backup_after,
        )

    @property
    def spec(self) -> JobSpec:
        return specs.unpack(self.packed_spec)

    @property
    def started_all(self) -> bool:
        return self.next_index >= self.end_index

    def unstarted(self, index: int) -> bool:
        return self.next_index <= index < self.end_index and index not in (self.started_early or ())

    def started(self, index: int) -> None:
        """A task came into being."""
        if index != self.next_index:
            self.started_early = self.started_early or set()
            self.started_early.add(index)
            return
        self.next_index += 1
        while self.started_early and self.next_index in self.started_early:
            self.started_early.remove(self.next_index)
            self.next_index += 1

    def start_all(self) -> int:
        """Leave nothing to start; returns how many tasks will never come into being."""
        rest = self.end_index - self.next_index - len(self.started_early or ())
        self.next_index = self.end_index
        self.started_early = None
        return rest

    def abandon(self, reason: str, now: Now) -> None:
        """The job fails with all that has not ended, whatever state that is in."""
        self.withdrawn = Withdrawal(state=TaskState.FAILED, reason=reason)
        self.counts[TaskState.FAILED] += self.unfinished
        self.counts[TaskState.PENDING] = self.counts[TaskState.ACTIVE] = 0
        self.start_all()
        self.state = TaskState.FAILED
        self.waiting_reason = ""
        self.finished_at = now.wall
        for task in self.tasks.values():
            if not task.state.final:
                task.state = TaskState.FAILED
            for assignment in task.live:
                assignment.state = AssignmentState.LOST

    def ran(self, seconds: float) -> None:
        """A run took so long."""
        self.run_times = (*self.run_times[-RUNS_REMEMBERED + 1 :], seconds)

    @property
    def unfinished(self) -> int:
        return self.counts.pending + self.counts.active


@dataclass(slots=True, kw_only=True)
class Load:
    """What the assignments placed on a giver take, run or waiting."""

    cpus: float = 0.0
    memory_bytes: int = 0
    disk_bytes: int = 0
    gpus: int = 0
    containers: int = 0


@dataclass(slots=True, kw_only=True)
class Standing:
    """What a giver's history says of it. It outlives a purge."""

    reputation: Reputation = field(default_factory=Reputation)
    """By its votes."""
    ran: float = 0.0
    """Runs that came to an end of the task's own, the recent ones weighing most..."""
    failed: float = 0.0
    """...and those that the giver or its Docker failed."""

    @property
    def reliability(self) -> float:
        """The share of runs that it did not fail, between 0 and 1; near 1 for a stranger."""
        return (self.ran + 10) / (self.ran + self.failed + 10)

    def ended(self, *, failed: bool) -> None:
        """A run ended. What is long ago fades: fifty runs later it weighs a third."""
        self.ran = self.ran * FADING + (not failed)
        self.failed = self.failed * FADING + failed


@dataclass(frozen=True, slots=True, kw_only=True)
class Cordon:
    """The operator keeps new tasks from a giver."""

    kind: Literal["draining", "quarantined"]
    reason: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setback:
    """Refusals, and failures for the giver's own reasons, in a row."""

    count: int
    until: float
    """Monotonic time before which it gets nothing more of the kind."""
    until_wall: datetime
    """The same for people, and for a seeker that takes over."""
    job_id: str = ""
    """The job with which it happened last."""


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
    cordon: Cordon | None = None
    version: int = 0
    """Where the fleet's journal names its latest change; never the same for two states."""
    attributes: Attributes = field(init=False)
    """A new object whenever the giver describes itself anew."""
    images: frozenset[str] = field(init=False)
    group: str = field(init=False)
    """Whose giver it is: no task is tried twice within a group."""
    tie: int = field(init=False)
    """Orders equals: at random, but always the same."""
    most_load: float = field(init=False)
    """How far it may be filled; above 1 by the backlog that it offers."""
    evaluated: dict[str, object] = field(init=False)
    """What expressions yield for it."""
    unwanted_told_at: float = float("-inf")
    """When it was last told to stop what nobody wants."""
    saved_at: float = float("-inf")
    earlier_boot: str = ""
    """The `boot_id` before the present one."""

    def __post_init__(self) -> None:
        self.tie = crc32(self.id.encode())
        self.describe()

    def describe(self) -> None:
        """Derive from the heartbeat what placement asks for often."""
        beat = self.beat
        self.attributes = expression.attributes(beat)
        self.images = frozenset(beat.images)
        self.group = f"owner {beat.owner}" if beat.owner else f"giver {beat.giver_id}"
        self.most_load = 1 + beat.backlog / max(1, beat.capacity.containers)
        self.evaluated = {}

    def evaluate(self, text: str) -> object:
        """What an expression yields for the giver; `None` where it yields nothing."""
        if text not in self.evaluated:
            if len(self.evaluated) >= EXPRESSIONS_KEPT:
                self.evaluated.clear()
            self.evaluated[text] = expression.compiled(text).evaluate(self.attributes)
        return self.evaluated[text]

    @property
    def reliability(self) -> float:
        return self.standing.reliability

    @property
    def capacity(self) -> Capacity:
        return self.beat.capacity

    @property
    def state(self) -> GiverState:
        return self.beat.state
