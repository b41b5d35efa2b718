"""All that the scheduler's parts share: the jobs in hand, the fleet, and what this turn changed."""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Mapping
from heapq import heappop, heappush
from random import Random

from schemas.job import Submission
from schemas.states import TaskState
from seeker import rendering
from seeker.changes import Changes
from seeker.fleet import Fleet
from seeker.model import Job, Now, Task
from seeker.rankings import Rankings
from seeker.turns import Turns

ENDED_REMEMBERED = 10_000
"""Ended jobs whose state is kept for submissions that name them and are on their way."""


class Ledger:
    def __init__(self, fleet: Fleet, random: Random) -> None:
        self.fleet = fleet
        self.random = random
        self.jobs: dict[str, Job] = {}
        self.turns = Turns()
        self.changes = Changes()
        self.rankings = Rankings(fleet)
        self.waiting: dict[Job, deque[Task]] = {}
        """Tasks that want a further assignment; the job that was tried longest ago first."""
        self.timed: dict[str, Job] = {}
        """Jobs that time itself does something to."""
        self.stuck: set[Task] = set()
        """Tasks whose votes disagree, with nobody left to ask."""
        self.comparisons: dict[str, Task] = {}
        """Tasks that wait for a comparison, by the job that makes it."""
        self.compared: list[Task] = []
        """Those of which one has just ended."""
        self.unanswered: dict[str, str] = {}
        """Why a comparison ended without having compared, by its job."""
        self.own_jobs: list[Submission] = []
        """Jobs that the seeker itself asks for, to be taken in hand next."""
        self._ended: OrderedDict[str, TaskState] = OrderedDict()
        self._dependants: dict[str, list[Job]] = {}
        self._pausing: list[tuple[float, int, Task]] = []
        self._pauses = 0

    def add(self, job: Job, ended: Mapping[str, TaskState]) -> None:
        """Take a job in hand.

        Args:
            ended: the final states of jobs it waits for that are not in hand.
        """
        self.jobs[job.id] = job
        if job.deadline_s or job.queue_timeout_s or job.backup_after:
            self.timed[job.id] = job
        self.rankings.enter(job)
        if job.tasks:
            job.largest = rendering.largest(job.spec)
        for other in job.waits_for:
            if (self.ended(other) or ended.get(other)) is TaskState.SUCCEEDED:
                job.waits_for -= {other}
            else:
                self._dependants.setdefault(other, []).append(job)
        if not job.waits_for:
            self.turns.add(job)

    def ended(self, job_id: str) -> TaskState | None:
        """The final state of a job that was in hand not long ago."""
        return self._ended.get(job_id)

    def remember(self, ended: Mapping[str, TaskState]) -> None:
        """Final states of jobs that ended before this seeker led."""
        self._ended.update((job_id, state) for job_id, state in ended.items() if state.final)

    def end(self, job: Job) -> list[Job]:
        """A job has its final state; returns the jobs that wait for it."""
        self._ended[job.id] = job.state
        if job.id in self.comparisons:
            self.compared.append(self.comparisons.pop(job.id))
            if job.withdrawn is not None:
                self.unanswered[job.id] = job.withdrawn.reason
        if len(self._ended) > ENDED_REMEMBERED:
            self._ended.popitem(last=False)
        return self._dependants.pop(job.id, [])

    def remove(self, job: Job) -> None:
        """Nothing is left to do for a job."""
        if self.jobs.pop(job.id, None) is None:
            return
        self.timed.pop(job.id, None)
        self.waiting.pop(job, None)
        self.turns.remove(job)
        self.rankings.leave(job)

    def queue(self, task: Task, pause_until: float | None = None) -> None:
        """The task wants a giver, now or after a pause."""
        if task.queued:
            return
        task.queued = True
        if pause_until is None:
            self.waiting.setdefault(task.job, deque()).append(task)
        else:
            self._pauses += 1
            heappush(self._pausing, (pause_until, self._pauses, task))

    def end_pauses(self, now: Now) -> None:
        while self._pausing and self._pausing[0][0] <= now.monotonic:
            task = heappop(self._pausing)[2]
            task.queued = False
            if not task.state.final:
                self.queue(task)

    def take_changes(self) -> Changes:
        changes, self.changes = self.changes, Changes()
        return changes
