"""Gives out what can be given out: further tries first, then new tasks in turns. Pure."""

from __future__ import annotations

from collections.abc import Callable

from schemas.states import AssignmentState, TaskState
from seeker.ledger import Ledger
from seeker.model import Assignment, Job, Now, Task
from seeker.placement import Offer, Refused, consider

WAITING_LOOKED_AT = 64
"""Tasks waiting for a further giver that one turn tries to place, per job."""

WAITS = "waits for a giver that has not tried it and can take it"

EXPLAINED_EVERY_S = 2.0
LOOKED_AT_PER_S = 2_000
"""Saying why nobody fits means to look at everybody: how old an explanation may get, and how many
givers may be looked at for all of them, which makes them older in a large fleet."""


class JobError(RuntimeError):
    """Our own handling of one job went wrong."""

    def __init__(self, job_id: str, cause: Exception) -> None:
        super().__init__(f"{job_id}: {cause}")
        self.job_id = job_id
        self.cause = cause


class Placer:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._fleet = ledger.fleet
        self._explain_again_at = float("-inf")

    def place(self, now: Now, limit: int) -> bool:
        """Make at most about `limit` assignments.

        Returns whether there may be more to make at once.

        Raises:
            JobError: placing one job's tasks went wrong; the others are as they should be.
        """
        ledger = self._ledger
        ledger.end_pauses(now)
        self._fleet.end_pauses(now)
        left = limit
        for job in list(ledger.waiting):
            left -= self._step(self._place_waiting, job, now)
        # What nobody takes now, nobody takes for another job that asks the same.
        refused: set[str] = set()
        while left > 0:
            next_one = ledger.turns.next(refused)
            if next_one is None:
                return False
            placed = self._step(self._place_fresh, next_one, now)
            left -= placed
            if next_one.started_all:
                ledger.turns.remove(next_one)
            elif not placed:
                refused.add(next_one.demand)
        return True

    def _step(self, step: Callable[[Job, Now], int], job: Job, now: Now) -> int:
        try:
            return step(job, now)
        except Exception as error:
            raise JobError(job.id, error) from error

    def _place_waiting(self, job: Job, now: Now) -> int:
        """Further tries at tasks already begun."""
        placed = 0
        for _ in range(min(len(job.waiting), WAITING_LOOKED_AT)):
            task = job.waiting.popleft()
            task.queued = False
            if not task.state.final:
                placed += self._place_task(task, now)
        if not job.waiting:
            self._ledger.waiting.discard(job)
        return placed

    def _place_fresh(self, job: Job, now: Now) -> int:
        """Begin the job's next task, if anybody can take it."""
        if job.started_all:
            return 0
        offer = self._ledger.ranking(job).best((), now.monotonic)
        if offer is None:
            self._explain_waiting(job, now)
            return 0
        job.waiting_reason = ""
        task = begin(self._ledger, job, job.next_index)
        self._assign(task, offer, now)
        return 1 + self._place_task(task, now)

    def _place_task(self, task: Task, now: Now) -> int:
        """Make the assignments that the task wants, as far as there are givers."""
        placed = 0
        while task.wanted > 0:
            offer = self._ledger.ranking(task.job).best(task.groups, now.monotonic)
            if offer is None:
                self._note_stuck(task, now)
                self._note_waiting(task)
                self._ledger.queue(task)
                break
            self._assign(task, offer, now)
            placed += 1
        return placed

    def _assign(self, task: Task, offer: Offer, now: Now) -> None:
        giver = offer.giver
        assignment = Assignment(
            task=task,
            number=len(task.assignments) + 1,
            giver_id=giver.id,
            group=giver.group,
            state=AssignmentState.PLACED,
            placed_at=now.wall,
            parts=offer.parts,
        )
        task.assignments.append(assignment)
        task.wanted -= 1
        task.stuck_since = None
        self._ledger.stuck.discard(task)
        self._fleet.assign(giver, assignment)
        if task.state is TaskState.PENDING:
            task.become(TaskState.ACTIVE)
            task.job.state = TaskState.ACTIVE
        self._ledger.changes.dispatch(assignment)
        self._ledger.changes.touch(task)

    def _note_waiting(self, task: Task) -> None:
        if task.assignments and not any(task.live) and not task.reason.endswith(WAITS):
            task.reason = f"{task.reason}; {WAITS}"
            self._ledger.changes.touch(task)

    def _note_stuck(self, task: Task, now: Now) -> None:
        """Remember since when a disagreement has nobody left to ask."""
        stuck = len(task.votes) >= task.job.spec.agreement.quorum and not self._may_come(task, now)
        if not stuck:
            task.stuck_since = None
            self._ledger.stuck.discard(task)
        elif task.stuck_since is None:
            task.stuck_since = now.monotonic
            self._ledger.stuck.add(task)

    def _may_come(self, task: Task, now: Now) -> bool:
        """Whether some member that has not tried the task could take it sooner or later."""
        demand, groups = self._ledger.ranking(task.job).demand, task.groups
        for giver in self._fleet.givers.values():
            if giver.group not in groups:
                answer = consider(giver, demand, now.monotonic)
                if not (isinstance(answer, Refused) and answer.lasting):
                    return True
        return False

    def _explain_waiting(self, job: Job, now: Now) -> None:
        ranking = self._ledger.ranking(job)
        outdated = now.monotonic - ranking.explained_at >= EXPLAINED_EVERY_S
        if outdated and now.monotonic >= self._explain_again_at:
            ranking.explain(now.monotonic)
            looked_at = len(self._fleet.givers)
            self._explain_again_at = now.monotonic + looked_at / LOOKED_AT_PER_S
        if job.waiting_reason != ranking.explanation:
            job.waiting_reason = ranking.explanation
            self._ledger.changes.jobs[job.id] = job


def begin(ledger: Ledger, job: Job, index: int) -> Task:
    """Bring a task into being."""
    task = Task(job=job, index=index, wanted=job.spec.agreement.replicas)
    job.started(index)
    job.tasks[index] = task
    ledger.changes.new_tasks.add(task.id)
    return task
