"""Gives out what can be given out: further tries, and new tasks in turns. Pure."""

from __future__ import annotations

from collections.abc import Callable

from schemas.states import AssignmentState, TaskState
from seeker import rendering
from seeker.credit import equality_of
from seeker.ledger import Ledger
from seeker.model import Assignment, Giver, Job, Now, Task
from seeker.placement import Offer, Refused, consider
from seeker.probes import is_probe
from seeker.reputation import SPOT_CHECKS
from seeker.tasklife import first_wanted

WAITING_LOOKED_AT = 64
"""Tasks waiting for a further giver that one turn tries to place, per job."""

LOOKED_AT_A_TURN = 25_000
"""Givers, for all demands together: a tenth of a second. Heartbeats and results wait meanwhile."""

SHARE_MOST = 10
JOBS_PER_SHARE = 100
"""Tasks that a job begins when it is its turn: one for so many jobs that wait. Among hundreds of
them nobody sees who was a task ahead, and every job that begins any is written down."""

WAITS = "; waits for a giver that can take it"

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
        self._new_first = False
        """Further tries go first, but not twice in a row: a job whose tasks all fail must not keep
        the others from beginning."""

    def place(self, now: Now, limit: int) -> bool:
        """Make at most about `limit` assignments, and look at no more than about
        `LOOKED_AT_A_TURN` givers for them.

        Returns whether there may be more to make at once.

        Raises:
            JobError: placing one job's tasks went wrong; the others are as they should be.
        """
        self._ledger.end_pauses(now)
        self._fleet.end_pauses(now)
        enough = self._ledger.rankings.looked_at + LOOKED_AT_A_TURN
        half = enough - LOOKED_AT_A_TURN // 2
        if self._new_first:
            self._new_first = False
            more = self._place_new(now, limit, half)
            self._place_further(now, enough)
        else:
            placed = self._place_further(now, half)
            self._new_first = placed > 0
            more = self._place_new(now, limit - placed, enough)
        return more

    def _place_new(self, now: Now, left: int, enough: int) -> bool:
        """Begin tasks in turns, until so many givers were looked at."""
        turns, rankings = self._ledger.turns, self._ledger.rankings
        while left > 0:
            job = turns.next()
            if job is None:
                turns.start_over()
                return False
            for _ in range(max(1, min(SHARE_MOST, len(turns) // JOBS_PER_SHARE))):
                placed = self._step(self._place_fresh, job, now)
                left -= placed
                if job.started_all or not placed:
                    break
            if job.started_all:
                turns.remove(job)
            elif not placed:
                # What nobody takes now, nobody takes for another job that asks the same.
                turns.pass_over(job.demand)
            if rankings.looked_at >= enough:
                if turns.all_asked:
                    break
                return True  # The next turn goes on with those not asked yet.
        turns.start_over()
        return True

    def _place_further(self, now: Now, enough: int) -> int:
        """Further tries at tasks already begun, until so many givers were looked at."""
        placed = 0
        for job in list(self._ledger.waiting):
            if self._ledger.rankings.looked_at >= enough:
                break
            placed += self._step(self._place_waiting, job, now)
        return placed

    def _place_waiting(self, job: Job, now: Now) -> int:
        waiting, placed = self._ledger.waiting, 0
        tasks = waiting.pop(job)
        for _ in range(min(len(tasks), WAITING_LOOKED_AT)):
            task = tasks.popleft()
            task.queued = False
            if not task.state.final:
                placed += self._place_task(task, now)
        # Those that still wait are behind the job's others, and the job behind the other jobs.
        if tasks:
            tasks.extend(waiting.pop(job, ()))
            waiting[job] = tasks
        return placed

    def _step(self, step: Callable[[Job, Now], int], job: Job, now: Now) -> int:
        try:
            return step(job, now)
        except Exception as error:
            raise JobError(job.id, error) from error

    def _place_fresh(self, job: Job, now: Now) -> int:
        """Begin the job's next task, if anybody can take it."""
        if job.started_all:
            return 0
        offer = self._ledger.rankings.best(job.demand, (), now.monotonic)
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
            rankings = self._ledger.rankings
            key, groups, killed_by = rankings.key_for(task), task.groups, task.killed_by
            offer = None
            if killed_by:  # Whoever else runs it finds out whether that was the giver's doing.
                offer = rankings.best(key, {*groups, *killed_by}, now.monotonic)
            offer = offer or rankings.best(key, groups, now.monotonic)
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
            number=task.made + 1,
            giver_id=giver.id,
            group=giver.group,
            platform=f"{giver.beat.platform.os}/{giver.beat.platform.architecture}",
            state=AssignmentState.PLACED,
            placed_at=now.wall,
            parts=offer.parts,
        )
        task.assignments.append(assignment)
        task.forget_refusals()
        task.wanted -= 1
        task.reason = task.reason.removesuffix(WAITS)
        self._check(task, giver)
        task.stuck_since = None
        self._ledger.stuck.discard(task)
        self._fleet.assign(giver, assignment)
        if task.state is TaskState.PENDING:
            task.become(TaskState.ACTIVE)
            task.job.state = TaskState.ACTIVE
        self._ledger.changes.dispatch(assignment)
        self._ledger.changes.touch(task)

    def _check(self, task: Task, giver: Giver) -> None:
        """Where trust is adaptive: whether the giver's word will do, or others have to agree."""
        rules = task.job.spec.agreement
        if not rules.adaptive or is_probe(task):
            return
        trusted = giver.standing.reputation.trusted(task.job.spec.container.image)
        at_it = sum(assignment.live for assignment in task.of_this_round)
        if at_it == 1 and not task.votes:
            task.alone = trusted and self._ledger.random.random() >= SPOT_CHECKS
        elif not trusted:
            task.alone = False
        needed = 0 if task.alone else rules.replicas - at_it - len(task.votes)
        task.wanted = max(needed, 0 if at_it == 1 else task.wanted)

    def _note_waiting(self, task: Task) -> None:
        if task.assignments and not any(task.live) and not task.reason.endswith(WAITS):
            task.reason += WAITS
            self._ledger.changes.touch(task)

    def _note_stuck(self, task: Task, now: Now) -> None:
        """Remember since when a disagreement has nobody left to ask."""
        if not (self._disagree(task) and not self._may_come(task, now)):
            task.stuck_since = None
            self._ledger.stuck.discard(task)
        elif task.stuck_since is None:
            task.stuck_since = now.monotonic
            self._ledger.stuck.add(task)

    def _disagree(self, task: Task) -> bool:
        """Those of its votes that came. While they agree, it waits for more."""
        if is_probe(task):
            return bool(task.votes)
        enough = len(task.votes) >= task.job.spec.agreement.quorum
        equal = equality_of(task)
        return enough or any(not equal(task.votes[0], vote) for vote in task.votes[1:])

    def _may_come(self, task: Task, now: Now) -> bool:
        """Whether some member that has not tried the task could take it sooner or later."""
        rankings, groups = self._ledger.rankings, task.groups
        demand = rankings[rankings.key_for(task)].demand
        for giver in self._fleet.givers.values():
            if giver.group not in groups:
                answer = consider(giver, demand, now.monotonic)
                if not (isinstance(answer, Refused) and answer.lasting):
                    return True
        return False

    def _explain_waiting(self, job: Job, now: Now) -> None:
        rankings, givers = self._ledger.rankings, len(self._fleet.givers)
        ranking = rankings[job.demand]
        # Not before all others had their turn.
        every = max(EXPLAINED_EVERY_S, len(rankings) * givers / LOOKED_AT_PER_S)
        outdated = now.monotonic - ranking.explained_at >= every
        if outdated and now.monotonic >= self._explain_again_at:
            ranking.explain(now.monotonic)
            self._explain_again_at = now.monotonic + givers / LOOKED_AT_PER_S
        if job.waiting_reason != ranking.explanation:
            job.waiting_reason = ranking.explanation
            self._ledger.changes.jobs[job.id] = job


def begin(ledger: Ledger, job: Job, index: int) -> Task:
    """Bring a task into being."""
    job.largest = job.largest or rendering.largest(job.spec)
    task = Task(job=job, index=index, wanted=first_wanted(job.spec, index))
    job.started(index)
    job.tasks[index] = task
    ledger.changes.new_tasks.add(task.id)
    return task
