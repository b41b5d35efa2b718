"""What a decision costs, in the seeker's own scheduler, without broker or database."""

from __future__ import annotations

import gc
import time
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import psutil

from benchmarks.placement_fleet import INTERVAL_S, beats, next_beat, one_task, specs
from runtime.lifecycle import GC_THRESHOLDS
from schemas import identifiers
from schemas.heartbeat import Heartbeat
from schemas.job import JobSpec, Submission
from schemas.result import StoredResult
from schemas.states import Outcome
from seeker.fleet import Fleet
from seeker.model import Assignment, Now
from seeker.scheduler import Scheduler

PACE = 2000
"""Decisions a second that are taken to be made, so that heartbeats come in proportion."""
TURN = 20
"""Results that arrive between two rounds of placing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Cost:
    """Microseconds of CPU for each assignment made."""

    decision: float
    """Choosing the giver, all upkeep of the rankings included."""
    scheduler: float
    """All of the scheduler's work: the result that freed the place, and heartbeats, too."""
    assignments: int

    def document(self) -> dict[str, Any]:
        return asdict(self)


class Simulation:
    """A scheduler whose givers answer when told to."""

    def __init__(self, fleet: Iterable[Heartbeat], jobs: Iterable[JobSpec]) -> None:
        self._seconds = 1000.0
        self._fleet = Fleet(strikes=3)
        self._scheduler = Scheduler(
            self._fleet, (), self.now, dispute_grace_s=10.0, random=Random(0)
        )
        self._running: deque[Assignment] = deque()
        self._random = Random(0)
        self._beats = deque(fleet)
        self._beats_due = 0.0
        self.placing_s = self.working_s = 0.0
        self.placed = 0
        for beat in self._beats:
            self._scheduler.heard(beat, self.now)
        for spec in jobs:
            self.submit(spec)

    @property
    def now(self) -> Now:
        wall = datetime(2030, 1, 1, tzinfo=UTC) + timedelta(seconds=self._seconds)
        return Now(self._seconds, wall)

    @property
    def running(self) -> int:
        return len(self._running)

    def submit(self, spec: JobSpec) -> None:
        submission = Submission(
            job_id=identifiers.new_job_id(), submitted_at=self.now.wall, spec=spec
        )
        self._scheduler.submitted(submission, {}, self.now)

    def forget_changes(self) -> None:
        """As if they were written down."""
        self._scheduler.take_changes()

    def fill(self, limit: int) -> None:
        """Place until nobody has room, or so many run."""
        more = True
        while more and len(self._running) < limit:
            more = self._place(limit=min(1000, limit - len(self._running)))

    def turn(self, results: int = TURN) -> None:
        """Some runs end, time passes, heartbeats come in, and what is free is given out."""
        self._seconds += results / PACE
        ended = [self._result(self._take_one()) for _ in range(min(results, len(self._running)))]
        self._beats_due += len(self._beats) / INTERVAL_S * results / PACE
        heard = []
        while self._beats_due >= 1:
            self._beats_due -= 1
            heard.append(self._next_beat())
        began = time.process_time()
        self._scheduler.stored(ended, self.now)
        for beat in heard:
            self._scheduler.heard(beat, self.now)
        self.working_s += time.process_time() - began
        self._place(limit=len(ended))

    def measure(self, decisions: int) -> Cost:
        """The mean over so many, all that comes seldom included."""
        self.placing_s = self.working_s = 0.0
        self.placed = 0
        while self.placed < decisions:
            self.turn()
        each = 1e6 / self.placed
        return Cost(
            decision=self.placing_s * each,
            scheduler=self.working_s * each,
            assignments=self.placed,
        )

    def _place(self, limit: int) -> bool:
        began = time.process_time()
        more = self._scheduler.place(self.now, limit)
        spent = time.process_time() - began
        self.placing_s += spent
        self.working_s += spent
        for assignments in self._scheduler.take_changes().dispatches.values():
            self._running.extend(assignments)
            self.placed += len(assignments)
        return more

    def _take_one(self) -> Assignment:
        """Whichever: runs do not end in the order in which they began."""
        self._running.rotate(-self._random.randrange(min(100, len(self._running))))
        return self._running.popleft()

    def _next_beat(self) -> Heartbeat:
        before = self._beats.popleft()
        held = self._fleet.givers[before.giver_id].assignments
        beat = next_beat(before, held)
        self._beats.append(beat)
        return beat

    def _result(self, assignment: Assignment) -> StoredResult:
        task = assignment.task
        return StoredResult.model_construct(
            result_id=identifiers.result_id(assignment.id, assignment.giver_id),
            assignment_id=assignment.id,
            task_id=task.id,
            job_id=task.job.id,
            giver_id=assignment.giver_id,
            outcome=Outcome.SUCCEEDED,
            exit_code=0,
            reason="",
            digest="0" * 64,
            stored_at=self.now.wall,
        )


def costs_of_decisions(
    fleets: Sequence[int], *, full: bool, rounds: int, decisions: int
) -> dict[int, list[Cost]]:
    """What a decision costs in the long run, by size of the fleet and round.

    Args:
        full: every giver has all it takes; else about half of the places are free.
        decisions: in each round.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    simulations: dict[int, Simulation] = {}
    for givers in fleets:
        simulations[givers] = Simulation(beats(givers), specs(10_000_000))
        simulations[givers].fill(10_000_000 if full else givers * 2)
        simulations[givers].measure(decisions // 4)
    costs: dict[int, list[Cost]] = {givers: [] for givers in fleets}
    for _ in range(rounds):
        for givers in fleets:
            costs[givers].append(simulations[givers].measure(decisions))
    return costs


def bytes_of_a_job(count: int) -> float:
    """Of the memory of this process, for a waiting job of one task, each with its own command.

    Args:
        count: more than those whose parsed specs are kept.
    """
    simulation = Simulation((), ())
    before = 0
    for number in range(2 * count):
        if number == count:  # By then the allocator has its pools, and the specs kept are many.
            before = psutil.Process().memory_info().rss
        spec = one_task(number).model_dump_json()
        simulation.submit(JobSpec.model_validate_json(spec))
        simulation.forget_changes()
    return float(psutil.Process().memory_info().rss - before) / count
