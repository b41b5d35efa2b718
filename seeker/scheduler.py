"""The seeker's decisions: events in, changes out. Pure: no I/O, and the time is an argument.

Every method takes one event into account; `place` then gives out what can be given out, and
`take_changes` hands over all that has to be written down and sent since it was last called.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import structlog

from schemas import identifiers
from schemas.heartbeat import Heartbeat
from schemas.job import Submission
from schemas.result import StoredResult
from schemas.states import AssignmentState, Outcome, TaskState
from seeker import agreement, placement
from seeker.agreement import Decided, Undecidable, Undecided, Vote
from seeker.changes import Changes
from seeker.fleet import Fleet, News, back_off
from seeker.model import Assignment, Giver, Job, Now, Task
from seeker.placement import Offer, Refused

log = structlog.get_logger(__name__)

RESEND_FIRST_S = 5.0
RESEND_LONGEST_S = 300.0
"""An assignment that the giver does not name is sent again after the first, then ever later: most
often its result is on its way through the channel."""

SAVE_GIVER_EVERY_S = 5.0
"""How stale what the database says of a giver's free resources may be."""

WAITING_LOOKED_AT = 64
"""Tasks waiting for a further giver that one turn tries to place, per job."""

_PROGRESS = {
    AssignmentState.PLACED: 0,
    AssignmentState.ACCEPTED: 1,
    AssignmentState.PULLING: 2,
    AssignmentState.RUNNING: 3,
}


class Scheduler:
    def __init__(
        self, fleet: Fleet, jobs: Iterable[Job], now: Now, *, dispute_grace_s: float
    ) -> None:
        """
        Args:
            jobs: unfinished ones with their unfinished tasks, as they were written down.
            dispute_grace_s: seconds that a disagreement waits for somebody else to ask.
        """
        self._fleet = fleet
        self._dispute_grace_s = dispute_grace_s
        self._jobs: dict[str, Job] = {}
        self._rings: dict[int, deque[Job]] = {}
        self._stuck: set[Task] = set()
        self._changes = Changes()
        for job in jobs:
            self._resume(job, now)

    def take_changes(self) -> Changes:
        changes, self._changes = self._changes, Changes()
        return changes

    # -- Events ---------------------------------------------------------------------------------

    def submitted(self, submission: Submission) -> None:
        """A job was asked for. The same one again has no effect."""
        if submission.job_id in self._jobs:
            return
        job = Job.new(submission.job_id, submission.spec, submission.submitted_at)
        self._add(job)
        self._changes.new_jobs[job.id] = job
        log.info("job_accepted", job_id=job.id, tasks=job.spec.count)

    def heard(self, beat: Heartbeat, now: Now) -> None:
        """A heartbeat: membership, progress, refusals, and what does not tally with our books."""
        giver, news = self._fleet.hear(beat, now)
        if news is News.STALE:
            return
        if news is News.SESSION or now.monotonic - giver.saved_at >= SAVE_GIVER_EVERY_S:
            self._save(giver, now)
        for refusal in beat.refusals:
            assignment = giver.assignments.get(refusal.assignment_id)
            if assignment is not None:
                back_off(giver, assignment.task.job.spec.container.image, now)
                self._end(assignment, AssignmentState.REFUSED, refusal.reason, now)
        self._reconcile(giver, beat, now, everything=news is News.SESSION)

    def stored(self, results: Iterable[StoredResult], now: Now) -> None:
        """Results are in the channel's database: from now on they count."""
        for result in results:
            self._stored(result, now)

    def returned(self, assignment_ids: Iterable[str], giver_id: str, now: Now) -> None:
        """The broker sent assignments back, as the giver is gone: they go to the next best."""
        giver = self._fleet.givers.get(giver_id)
        if giver is None:
            return
        self._fleet.returned(giver)
        self._save(giver, now)
        for assignment_id in assignment_ids:
            assignment = giver.assignments.get(assignment_id)
            if assignment is not None and assignment.state is AssignmentState.PLACED:
                reason = "returned by the broker: the giver is not connected"
                self._end(assignment, AssignmentState.REFUSED, reason, now)

    def cancelled(self, target: str, now: Now) -> None:
        """A job or a task was withdrawn. It is cancelled once its containers are gone."""
        job = self._jobs.get(identifiers.job_of(target))
        if job is None or job.state.final:
            log.info("cancel_without_effect", target=target)
            return
        if target == job.id:
            job.cancel_requested = True
            self._cancel_unstarted(job)
            for task in list(job.tasks.values()):
                self._cancel(task)
        else:
            index = identifiers.index_of(target)
            if job.unstarted(index):
                self._start(job, index)
            if index in job.tasks:
                self._cancel(job.tasks[index])
        self._settle(job, now)

    def ticked(self, now: Now) -> None:
        """Time passed while the seeker could hear: the silent get strikes."""
        struck, purged = self._fleet.strike_silent(now)
        for giver in struck:
            self._save(giver, now)
        for giver in purged:
            self._purge(giver, now)
        for task in [t for t in self._stuck if self._grace_over(t, now)]:
            self._decide(
                task,
                agreement.arbitrate(
                    task.votes,
                    self._fleet.reputation,
                    f"{len(task.votes)} results disagree and no other giver is there to ask",
                ),
            )
            self._settle(task.job, now)

    def was_away(self, now: Now) -> None:
        """The seeker itself was cut off, paused or just started: nobody is to blame for silence."""
        self._fleet.pardon(now)

    # -- Placement ------------------------------------------------------------------------------

    def place(self, now: Now, limit: int = 1000) -> bool:
        """Give out at most about `limit` assignments; jobs of one priority take turns.

        Returns whether there may be more to give out at once.
        """
        left = limit
        for priority in sorted(self._rings, reverse=True):
            ring = self._rings[priority]
            for job in ring:
                left -= self._place_waiting(job, now)
            blocked = 0
            while ring and blocked < len(ring) and left > 0:
                job = ring[0]
                ring.rotate(-1)
                placed = self._place_fresh(job, now)
                left -= placed
                blocked = 0 if placed else blocked + 1
        return left <= 0

    def _place_waiting(self, job: Job, now: Now) -> int:
        """Further tries at tasks already begun."""
        placed = 0
        for _ in range(min(len(job.waiting), WAITING_LOOKED_AT)):
            task = job.waiting.popleft()
            task.queued = False
            if not task.state.final:
                placed += self._place_task(task, now)
        return placed

    def _place_fresh(self, job: Job, now: Now) -> int:
        """Begin the job's next task, if anybody can take it."""
        if job.started_all:
            return 0
        offer = self._best(job, (), now)
        if not isinstance(offer, Offer):
            self._explain_waiting(job, placement.summarise(offer))
            return 0
        self._explain_waiting(job, "")
        task = self._start(job, job.next_index)
        self._assign(task, offer.giver, now)
        return 1 + self._place_task(task, now)

    def _place_task(self, task: Task, now: Now) -> int:
        """Make the assignments that the task wants, as far as there are givers."""
        placed = 0
        while task.wanted:
            taken = [giver_id for giver_id in self._askers(task) if task.taken_by(giver_id)]
            offer = self._best(task.job, taken, now)
            if not isinstance(offer, Offer):
                self._note_stuck(task, offer, now)
                self._queue(task)
                break
            self._assign(task, offer.giver, now)
            placed += 1
        return placed

    @staticmethod
    def _askers(task: Task) -> set[str]:
        return {assignment.giver_id for assignment in task.assignments}

    def _best(self, job: Job, taken: Iterable[str], now: Now) -> Offer | list[Refused]:
        container = job.spec.container
        return placement.best(
            self._fleet.givers.values(), container.resources, container.image, taken, now.monotonic
        )

    def _assign(self, task: Task, giver: Giver, now: Now) -> None:
        assignment = Assignment(
            task=task,
            number=len(task.assignments) + 1,
            giver_id=giver.id,
            state=AssignmentState.PLACED,
            placed_at=now.wall,
        )
        task.assignments.append(assignment)
        task.wanted -= 1
        task.stuck_since = None
        self._stuck.discard(task)
        self._attach(assignment, giver)
        if task.state is TaskState.PENDING:
            task.become(TaskState.ACTIVE)
            task.job.state = TaskState.ACTIVE
        self._changes.dispatches.setdefault(giver.id, []).append(assignment)
        self._changes.touch(task)

    @staticmethod
    def _attach(assignment: Assignment, giver: Giver) -> None:
        giver.assignments[assignment.id] = assignment
        placement.take(giver.load, assignment.task.job.spec.container.resources)

    def _note_stuck(self, task: Task, refusals: list[Refused], now: Now) -> None:
        """Remember since when a disagreement has nobody left to ask."""
        nobody = all(refused.lasting for refused in refusals)
        if not nobody or len(task.votes) < task.job.spec.agreement.quorum:
            task.stuck_since = None
            self._stuck.discard(task)
        elif task.stuck_since is None:
            task.stuck_since = now.monotonic
            self._stuck.add(task)

    def _grace_over(self, task: Task, now: Now) -> bool:
        return (
            task.stuck_since is not None
            and now.monotonic - task.stuck_since >= self._dispute_grace_s
            and not any(task.live)
        )

    def _explain_waiting(self, job: Job, reason: str) -> None:
        if job.waiting_reason != reason:
            job.waiting_reason = reason
            self._changes.jobs[job.id] = job

    # -- A task's life --------------------------------------------------------------------------

    def _add(self, job: Job) -> None:
        self._jobs[job.id] = job
        self._rings.setdefault(job.spec.priority, deque()).append(job)

    def _resume(self, job: Job, now: Now) -> None:
        """Go on with a job where an earlier leader left it."""
        self._add(job)
        for task in list(job.tasks.values()):
            for assignment in task.live:
                giver = self._fleet.givers.get(assignment.giver_id)
                if giver is None:
                    assignment.become(AssignmentState.LOST, "the giver is no member any more")
                    self._changes.touch(task)
                else:
                    self._attach(assignment, giver)
            self._review(task)
        if job.cancel_requested:
            self._cancel_unstarted(job)
        self._settle(job, now)

    def _start(self, job: Job, index: int) -> Task:
        task = Task(job=job, index=index, wanted=job.spec.agreement.replicas)
        job.started(index)
        job.tasks[index] = task
        self._changes.new_tasks.add(task.id)
        return task

    def _queue(self, task: Task) -> None:
        if not task.queued:
            task.queued = True
            task.job.waiting.append(task)

    def _stored(self, result: StoredResult, now: Now) -> None:
        job = self._jobs.get(result.job_id)
        task = job.tasks.get(identifiers.index_of(result.task_id)) if job is not None else None
        if job is None or task is None:
            self._changes.late_results.append(result)
            return
        number = int(result.assignment_id.rpartition("-")[2])
        if number > len(task.assignments) or (
            task.assignments[number - 1].giver_id != result.giver_id
        ):
            log.warning("foreign_result", result_id=result.result_id)
            return
        assignment = task.assignments[number - 1]
        if assignment.outcome is not None:
            return
        assignment.outcome = result.outcome
        giver = self._fleet.givers.get(result.giver_id)
        if not assignment.live:
            assignment.late = True
            self._changes.touch(task)
            log.info("late_result", result_id=result.result_id, state=assignment.state)
            return
        withdrawn = task.cancel_requested or task.state.final
        if result.outcome is Outcome.CANCELLED and withdrawn:
            self._end(assignment, AssignmentState.CANCELLED, result.reason, now)
            return
        if result.digest is not None:
            self._vote(task, result, result.digest)
        if giver is not None:
            image = job.spec.container.image
            if result.outcome is Outcome.INFRASTRUCTURE_ERROR:
                back_off(giver, image, now)
            else:
                giver.setbacks.pop(image, None)
        self._end(assignment, AssignmentState.REPORTED, result.reason, now)

    def _vote(self, task: Task, result: StoredResult, digest: str) -> None:
        vote = Vote(
            result_id=result.result_id,
            giver_id=result.giver_id,
            digest=digest,
            outcome=result.outcome,
        )
        task.votes.append(vote)
        if task.chosen is not None and not task.disputed:
            chosen = next(v for v in task.votes if v.result_id == task.chosen)
            self._credit(vote, agrees=vote.digest == chosen.digest)

    def _end(self, assignment: Assignment, state: AssignmentState, reason: str, now: Now) -> None:
        """An assignment came to its end: free its giver, and see what the task needs now."""
        task = assignment.task
        assignment.become(state, reason)
        giver = self._fleet.givers.get(assignment.giver_id)
        if giver is not None and giver.assignments.pop(assignment.id, None) is not None:
            placement.take(giver.load, task.job.spec.container.resources, sign=-1)
        self._changes.touch(task)
        self._review(task)
        self._settle(task.job, now)

    def _review(self, task: Task) -> None:
        """Decide the task, ask for further tries, or let it wait."""
        live = sum(1 for _ in task.live)
        if task.state.final:
            if not live:
                task.job.tasks.pop(task.index, None)
            return
        if task.cancel_requested:
            task.wanted = 0
            if not live:
                task.reason = "cancelled"
                self._finish(task, TaskState.CANCELLED)
            return
        rules = task.job.spec.agreement
        match agreement.judge(task.votes, live, task.attempts, rules):
            case Decided() as verdict:
                self._decide(task, verdict)
            case Undecidable(reason=reason):
                last = next((a.reason for a in reversed(task.assignments) if a.reason), "")
                task.reason = f"{reason}; the last: {last}" if last else reason
                self._finish(task, TaskState.FAILED)
            case Undecided(wanted=wanted, reason=reason):
                task.wanted = wanted
                task.reason = reason
                if wanted:
                    self._queue(task)
                if task.state is TaskState.ACTIVE and not live and not task.votes:
                    task.become(TaskState.PENDING)
            case None:
                cause = f"{len(task.votes)} results disagree and no attempt is left"
                self._decide(task, agreement.arbitrate(task.votes, self._fleet.reputation, cause))

    def _decide(self, task: Task, verdict: Decided) -> None:
        task.chosen = verdict.chosen.result_id
        task.reason = verdict.reason
        task.disputed = verdict.disputed
        if not verdict.disputed and task.job.spec.agreement.quorum > 1:
            for vote in task.votes:
                self._credit(vote, agrees=vote.digest == verdict.chosen.digest)
        succeeded = verdict.chosen.outcome is Outcome.SUCCEEDED
        self._finish(task, TaskState.SUCCEEDED if succeeded else TaskState.FAILED)
        # Whoever is still at it works for nothing.
        for assignment in task.live:
            self._withdraw(assignment)

    def _credit(self, vote: Vote, agrees: bool) -> None:
        giver = self._fleet.givers.get(vote.giver_id)
        standing = giver.standing if giver else self._fleet.former.get(vote.giver_id)
        if standing is not None:
            standing.agreed += agrees
            standing.disagreed += not agrees
        if giver is not None:
            self._changes.givers[giver.id] = giver

    def _finish(self, task: Task, state: TaskState) -> None:
        task.become(state)
        task.wanted = 0
        self._stuck.discard(task)
        self._changes.touch(task)
        if not any(task.live):
            task.job.tasks.pop(task.index, None)

    def _settle(self, job: Job, now: Now) -> None:
        """Close the job when its last task has ended, and forget it when its last container has."""
        if not job.unfinished and not job.state.final:
            if job.counts[TaskState.FAILED]:
                job.state = TaskState.FAILED
            elif job.counts[TaskState.CANCELLED]:
                job.state = TaskState.CANCELLED
            else:
                job.state = TaskState.SUCCEEDED
            job.finished_at = now.wall
            self._changes.jobs[job.id] = job
            log.info("job_finished", job_id=job.id, state=job.state)
        if job.state.final and not job.tasks:
            self._jobs.pop(job.id, None)
            ring = self._rings[job.spec.priority]
            if job in ring:
                ring.remove(job)

    def _cancel_unstarted(self, job: Job) -> None:
        rest = job.start_all()
        job.counts[TaskState.PENDING] -= rest
        job.counts[TaskState.CANCELLED] += rest
        self._changes.jobs[job.id] = job

    def _cancel(self, task: Task) -> None:
        if task.state.final:
            return
        task.cancel_requested = True
        for assignment in task.live:
            self._withdraw(assignment)
        self._changes.touch(task)
        self._review(task)

    def _withdraw(self, assignment: Assignment) -> None:
        """Tell the giver to stop; heartbeats make sure that it hears."""
        self._changes.cancels.setdefault(assignment.giver_id, []).append(assignment.id)

    # -- Membership -----------------------------------------------------------------------------

    def _reconcile(self, giver: Giver, beat: Heartbeat, now: Now, *, everything: bool) -> None:
        """Set the giver's inventory against what we expect there.

        Args:
            everything: send again at once whatever it lacks, as its earlier queue is gone.
        """
        unwanted = []
        held = set()
        for item in beat.inventory:
            held.add(item.assignment_id)
            assignment = giver.assignments.get(item.assignment_id)
            if assignment is None:
                if item.state is not AssignmentState.REPORTED:
                    unwanted.append(item.assignment_id)
                continue
            assignment.missing_since = None
            self._advance(assignment, item.state)
            if assignment.task.cancel_requested or assignment.task.state.final:
                unwanted.append(item.assignment_id)
        if unwanted and now.monotonic - giver.unwanted_told_at >= beat.interval_s:
            giver.unwanted_told_at = now.monotonic
            self._changes.cancels.setdefault(giver.id, []).extend(unwanted)
        for assignment in list(giver.assignments.values()):
            if assignment.id not in held:
                self._chase(assignment, now, at_once=everything)

    def _advance(self, assignment: Assignment, state: AssignmentState) -> None:
        if _PROGRESS.get(state, 0) > _PROGRESS[assignment.state]:
            assignment.become(state)
            self._changes.tasks[assignment.task.id] = assignment.task

    def _chase(self, assignment: Assignment, now: Now, *, at_once: bool) -> None:
        """The giver does not name an assignment of its: send it again when that lasts."""
        if assignment.missing_since is None:
            assignment.missing_since = now.monotonic
        patience = min(RESEND_LONGEST_S, RESEND_FIRST_S * 2**assignment.resends)
        if not at_once and now.monotonic - assignment.missing_since < patience:
            return
        assignment.resends += 1
        assignment.missing_since = now.monotonic
        task = assignment.task
        if task.cancel_requested or task.state.final:
            self._withdraw(assignment)  # Should it arrive there yet.
            reason = "withdrawn; the giver does not have it"
            self._end(assignment, AssignmentState.CANCELLED, reason, now)
        else:
            log.info("assignment_sent_again", assignment_id=assignment.id)
            self._changes.dispatches.setdefault(assignment.giver_id, []).append(assignment)

    def _purge(self, giver: Giver, now: Now) -> None:
        self._fleet.remove(giver)
        self._changes.purged[giver.id] = giver
        self._changes.givers.pop(giver.id, None)
        reason = f"the giver was purged after {giver.strikes} missed heartbeats"
        for assignment in list(giver.assignments.values()):
            self._end(assignment, AssignmentState.LOST, reason, now)
        giver.assignments.clear()

    def _save(self, giver: Giver, now: Now) -> None:
        giver.saved_at = now.monotonic
        self._changes.givers[giver.id] = giver
