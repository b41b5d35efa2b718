"""The seeker's decisions: events in, changes out. Pure: no I/O, and the time is an argument.

Every method takes one event into account; `place` then gives out what can be given out, and
`take_changes` hands over all that has to be written down and sent since it was last called.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import ParamSpec

import structlog

from schemas import identifiers
from schemas.heartbeat import Heartbeat
from schemas.job import Command, Submission
from schemas.result import StoredResult
from schemas.states import AssignmentState, TaskState
from seeker import expression, rendering
from seeker.changes import Changes
from seeker.credit import Credit
from seeker.fleet import Fleet, News
from seeker.ledger import Ledger
from seeker.model import Assignment, Cordon, Giver, Job, Now, Task, Withdrawal
from seeker.placer import JobError, Placer, begin
from seeker.tasklife import TaskLife

log = structlog.get_logger(__name__)

P = ParamSpec("P")

REASON_LONGEST = 2_000
"""Characters."""

RESEND_FIRST_S = 5.0
RESEND_LONGEST_S = 300.0
"""An assignment that the giver does not name is sent again after the first, then ever later: most
often its result is on its way through the channel."""

OVERDUE_S = 300.0
"""How much longer than it may a giver can take to end a run, or to stop what is withdrawn: beyond,
the seeker goes on without it."""

SAVE_GIVER_EVERY_S = 5.0
SAVES_PER_S = 200
"""How stale what the database says of a giver's free resources may be, and, as the fleet grows, how
many such writes there are at the most."""

_PROGRESS = {
    AssignmentState.PLACED: 0,
    AssignmentState.ACCEPTED: 1,
    AssignmentState.PULLING: 2,
    AssignmentState.RUNNING: 3,
}

_CANCELLED = Withdrawal(state=TaskState.CANCELLED, reason="cancelled")


class Scheduler:
    def __init__(
        self,
        fleet: Fleet,
        jobs: Iterable[Job],
        now: Now,
        *,
        dispute_grace_s: float,
        ended: Mapping[str, TaskState] | None = None,
        random: Random | None = None,
    ) -> None:
        """
        Args:
            jobs: unfinished ones with their unfinished tasks, as they were written down.
            dispute_grace_s: seconds that a disagreement waits for somebody else to ask.
            ended: final states of jobs that these wait for.
            random: for jitter.
        """
        self._fleet = fleet
        self._ledger = Ledger(fleet, random or Random())  # noqa: S311 (no secret depends on it)
        self._life = TaskLife(self._ledger, dispute_grace_s=dispute_grace_s)
        self._placer = Placer(self._ledger)
        self._credit = Credit(self._ledger)
        self._ledger.remember(ended or {})
        resumed = list(jobs)
        for job in resumed:
            self._for_job(job.id, now, self._ledger.add, job, ended or {})
        for job in resumed:
            self._for_job(job.id, now, self._resume, job, ended or {}, now)

    def take_changes(self) -> Changes:
        return self._ledger.take_changes()

    def place(self, now: Now, limit: int = 1000) -> bool:
        """Give out at most about `limit` assignments; whether there may be more at once."""
        self._compare(now)
        try:
            return self._placer.place(now, limit)
        except JobError as error:
            self.abandon(error.job_id, error.cause, now)
            return True

    def _compare(self, now: Now) -> None:
        """Go on with tasks whose results are compared by the user's own container."""
        compared, self._ledger.compared = self._ledger.compared, []
        for task in compared:
            self._for_job(task.job.id, now, self._life.compared, task, now)
        asked_for, self._ledger.own_jobs = self._ledger.own_jobs, []
        for submission in asked_for:
            self.submitted(submission, {}, now)

    # -- Jobs -----------------------------------------------------------------------------------

    def abandon(self, job_id: str, error: BaseException, now: Now) -> None:
        """Our own handling of a job went wrong: it fails, and all others go on.

        What is in memory of it may be half done, so nothing there is relied upon.
        """
        job = self._ledger.jobs.get(job_id)
        if job is None:
            log.error("job_error", job_id=job_id, exc_info=error)
            return
        log.error("job_abandoned", job_id=job_id, exc_info=error)
        reason = f"internal error of the seeker ({type(error).__name__}: {error}): see its log"
        job.abandon(reason[:REASON_LONGEST], now)
        for giver in self._fleet.givers.values():
            for assignment in [a for a in giver.assignments.values() if a.task.job is job]:
                self._fleet.release(giver, assignment)
                self._ledger.changes.withdraw(assignment)
        self._ledger.changes.abandon(job)
        dependants = self._ledger.end(job)
        self._ledger.remove(job)
        for other in dependants:
            self._for_job(other.id, now, self._life.depends_in_vain, other, job.id, job.state, now)

    def _for_job(
        self, job_id: str, now: Now, step: Callable[P, object], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """One job's share of an event; its errors stay its own."""
        try:
            step(*args, **kwargs)
        except Exception as error:
            self.abandon(job_id, error, now)

    def _end(self, assignment: Assignment, state: AssignmentState, reason: str, now: Now) -> None:
        job_id = assignment.task.job.id
        self._for_job(job_id, now, self._life.end, assignment, state, reason, now)

    def submitted(self, submission: Submission, ended: Mapping[str, TaskState], now: Now) -> None:
        """A job was asked for. The same one again has no effect.

        Args:
            ended: final states of jobs that it waits for and that are not in hand.
        """
        job_id = submission.job_id
        if job_id not in self._ledger.jobs and self._ledger.ended(job_id) is None:
            self._for_job(job_id, now, self._accept, submission, ended, now)

    def _accept(self, submission: Submission, ended: Mapping[str, TaskState], now: Now) -> None:
        job = Job.new(submission.job_id, submission.spec, submission.submitted_at, now.wall)
        self._ledger.changes.new_jobs[job.id] = job
        self._ledger.add(job, ended)
        log.info("job_accepted", job_id=job.id, tasks=job.spec.count)
        spec = submission.spec
        problem = expression.problem(spec.placement) or rendering.problem(spec)
        if problem:
            withdrawal = Withdrawal(state=TaskState.FAILED, reason=problem)
            self._life.withdraw_job(job, withdrawal, now)
            return
        self._check_dependencies(job, ended, now)

    def commanded(self, command: Command, now: Now) -> None:
        """The operator's word."""
        log.info("command", action=command.action, target=command.target)
        match command.action:
            case "cancel":
                job_id = identifiers.job_of(command.target)
                self._for_job(job_id, now, self._cancel, command.target, now)
            case "drain":
                self._cordon(command.target, Cordon(kind="draining", reason=command.reason), now)
            case "quarantine":
                cordon = Cordon(kind="quarantined", reason=command.reason)
                self._cordon(command.target, cordon, now)
            case "resume":
                self._cordon(command.target, None, now)
            case "forget":
                self._forget(command.target, now)

    def stored(self, results: Iterable[StoredResult], now: Now) -> None:
        """Results are in the channel's database: from now on they count."""
        for result in results:
            self._for_job(result.job_id, now, self._life.stored, result, now)

    def late(self, task: Task, result: StoredResult, now: Now) -> None:
        """One of them came when its task was over and no longer in memory."""
        self._life.late(task, result, now)

    def reviewed(self, giver_id: str, marks: Mapping[str, str]) -> None:
        """What this giver decided alone is run again, by task id under which other."""
        self._credit.reviewed(giver_id, marks)

    def _cancel(self, target: str, now: Now) -> None:
        """The job or task is cancelled once its containers are gone."""
        job = self._ledger.jobs.get(identifiers.job_of(target))
        if job is None or job.state.final:
            log.info("cancel_without_effect", target=target)
        elif target == job.id:
            self._life.withdraw_job(job, _CANCELLED, now)
        else:
            index = identifiers.index_of(target)
            if job.unstarted(index):
                begin(self._ledger, job, index)
            if index in job.tasks:
                self._life.withdraw_task(job.tasks[index], _CANCELLED, now)
            self._life.settle(job, now)

    def _resume(self, job: Job, ended: Mapping[str, TaskState], now: Now) -> None:
        """Go on with a job where an earlier leader left it."""
        for task in list(job.tasks.values()):
            for assignment in list(task.live):
                giver = self._fleet.givers.get(assignment.giver_id)
                if giver is None:
                    assignment.become(AssignmentState.LOST, "the giver is no member any more")
                    self._ledger.changes.touch(task)
                else:
                    self._fleet.assign(giver, assignment)
            self._life.review(task, now)
        if job.withdrawn is not None:
            self._life.withdraw_unstarted(job, job.withdrawn)
        self._life.settle(job, now)
        self._check_dependencies(job, ended, now)

    def _check_dependencies(self, job: Job, ended: Mapping[str, TaskState], now: Now) -> None:
        for other in sorted(job.waits_for):
            if other in self._ledger.jobs:
                job.waiting_reason = f"waits for job {other}"
            else:
                state = self._ledger.ended(other) or ended.get(other) or "unknown"
                self._life.depends_in_vain(job, other, state, now)
                return

    # -- Givers ---------------------------------------------------------------------------------

    def heard(self, beat: Heartbeat, now: Now) -> None:
        """A heartbeat: membership, progress, refusals, and what does not tally with our books."""
        giver, news = self._fleet.hear(beat, now)
        if news is News.STALE:
            return
        staleness = max(SAVE_GIVER_EVERY_S, len(self._fleet.givers) / SAVES_PER_S)
        if news is News.SESSION or now.monotonic - giver.saved_at >= staleness:
            self._save(giver, now)
        for refusal in beat.refusals:
            assignment = giver.assignments.get(refusal.assignment_id)
            if assignment is not None:
                job = assignment.task.job
                self._fleet.back_off(giver, job.spec.container.image, job.id, now)
                self._end(assignment, AssignmentState.REFUSED, refusal.reason, now)
        self._reconcile(giver, beat, now, everything=news is News.SESSION)

    def returned(self, assignment_ids: Iterable[str], giver_id: str, now: Now) -> None:
        """The broker sent assignments back, as the giver is gone: they go to the next best."""
        giver = self._fleet.givers.get(giver_id)
        if giver is None:
            return
        self._fleet.returned(giver)
        self._save(giver, now)
        self._take_back(assignment_ids, giver, "returned: the giver is not connected", now)

    def gone(self, giver_id: str, session: str, now: Now) -> None:
        """The giver's connection is no more: what it was at is tried by the next best, too.

        It is not given up yet, as the giver may be back soon, with hours of work done.
        """
        giver = self._fleet.givers.get(giver_id)
        if giver is None or giver.session != session or giver.unreachable:
            return
        self._fleet.returned(giver)
        self._save(giver, now)
        for assignment in giver.assignments.values():
            task, reason = assignment.task, f"{giver_id} is not connected: a second try"
            self._for_job(task.job.id, now, self._life.second_try, task, reason)

    def undelivered(self, assignment_ids: Iterable[str], giver_id: str, now: Now) -> None:
        """The broker did not confirm in time: they go to the next best, too.

        Should the giver have got them all the same, its inventory tells, and it is told to stop.
        """
        giver = self._fleet.givers.get(giver_id)
        if giver is not None:
            self._take_back(assignment_ids, giver, "the broker did not confirm in time", now)

    def ticked(self, now: Now) -> None:
        """Time passed while the seeker could hear: the silent get strikes."""
        struck, purged = self._fleet.strike_silent(now)
        for giver in struck:
            self._save(giver, now)
        for giver in purged:
            self._purge(giver, now)
        for task in self._life.undecidable(now):
            self._for_job(task.job.id, now, self._life.arbitrate, task, now)
        for job in list(self._ledger.timed.values()):
            self._for_job(job.id, now, self._life.enforce_limits, job, now)
        for job in self._life.backups_due(now):
            self._for_job(job.id, now, self._life.back_up, job, now)

    def was_away(self, now: Now) -> None:
        """The seeker itself was cut off, paused or just started: nobody is to blame for silence."""
        self._fleet.pardon(now)

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
            job_id = assignment.task.job.id
            self._for_job(job_id, now, self._advance, assignment, item.state, now)
            if item.progress is not None and item.progress != assignment.progress:
                assignment.progress = item.progress
                self._ledger.changes.tasks[assignment.task.id] = assignment.task
            if not assignment.live or assignment.unwanted:
                unwanted.append(item.assignment_id)
        if unwanted and now.monotonic - giver.unwanted_told_at >= beat.interval_s:
            giver.unwanted_told_at = now.monotonic
            self._ledger.changes.cancels.setdefault(giver.id, []).extend(unwanted)
        for assignment in list(giver.assignments.values()):
            if assignment.id not in held:
                job_id = assignment.task.job.id
                self._for_job(job_id, now, self._chase, assignment, now, at_once=everything)

    def _advance(self, assignment: Assignment, state: AssignmentState, now: Now) -> None:
        if state is AssignmentState.RUNNING and assignment.running_since is None:
            assignment.running_since = now.monotonic
        if _PROGRESS.get(state, 0) > _PROGRESS[assignment.state]:
            assignment.become(state)
            self._ledger.changes.tasks[assignment.task.id] = assignment.task
        self._enforce_end(assignment, now)

    def _enforce_end(self, assignment: Assignment, now: Now) -> None:
        """A giver must not hold a task for ever by saying that it still runs."""
        if assignment.unwanted:
            assignment.unwanted_since = assignment.unwanted_since or now.monotonic
            if now.monotonic - assignment.unwanted_since > OVERDUE_S:
                reason = f"withdrawn; its giver did not stop it within {OVERDUE_S:g} s"
                self._life.end(assignment, AssignmentState.CANCELLED, reason, now)
        elif (ran_s := now.monotonic - (assignment.running_since or now.monotonic)) > OVERDUE_S:
            timeout_s = assignment.task.job.spec.container.timeout_s
            if ran_s > timeout_s + OVERDUE_S:
                reason = f"its giver did not end it {OVERDUE_S:g} s after its {timeout_s:g} s"
                self._life.end(assignment, AssignmentState.LOST, reason, now)

    def _chase(self, assignment: Assignment, now: Now, *, at_once: bool) -> None:
        """The giver does not name an assignment of its: send it again when that lasts."""
        if assignment.missing_since is None:
            assignment.missing_since = now.monotonic
        patience = min(RESEND_LONGEST_S, RESEND_FIRST_S * 2 ** min(assignment.resends, 6))
        if not at_once and now.monotonic - assignment.missing_since < patience:
            return
        assignment.resends += 1
        assignment.missing_since = now.monotonic
        if assignment.unwanted:
            self._ledger.changes.withdraw(assignment)  # Should it arrive there yet.
            reason = "withdrawn; the giver does not have it"
            self._life.end(assignment, AssignmentState.CANCELLED, reason, now)
        else:
            log.info("assignment_sent_again", assignment_id=assignment.id)
            self._ledger.changes.dispatch(assignment)

    def _take_back(
        self, assignment_ids: Iterable[str], giver: Giver, reason: str, now: Now
    ) -> None:
        for assignment_id in assignment_ids:
            assignment = giver.assignments.get(assignment_id)
            if assignment is not None and assignment.state is AssignmentState.PLACED:
                self._end(assignment, AssignmentState.REFUSED, reason, now)

    def _purge(self, giver: Giver, now: Now) -> None:
        self._fleet.remove(giver)
        log.warning("giver_purged", giver_id=giver.id, strikes=giver.strikes)
        self._ledger.changes.purged[giver.id] = giver
        self._ledger.changes.givers.pop(giver.id, None)
        self._lose_all(giver, f"the giver was purged after {giver.strikes} missed heartbeats", now)

    def _cordon(self, giver_id: str, cordon: Cordon | None, now: Now) -> None:
        giver = self._fleet.givers.get(giver_id)
        former = self._fleet.former.get(giver_id)
        if giver is not None:
            self._fleet.cordon(giver, cordon)
            self._save(giver, now)
            if cordon is not None and cordon.kind == "quarantined":
                for assignment in giver.assignments.values():
                    self._ledger.changes.withdraw(assignment)
                self._lose_all(giver, "the giver was quarantined", now)
        elif former is not None:
            former.cordon = cordon
            self._ledger.changes.former[giver_id] = former

    def _forget(self, giver_id: str, now: Now) -> None:
        giver = self._fleet.givers.get(giver_id)
        if giver is not None:
            self._fleet.remove(giver)
            self._lose_all(giver, "the giver was removed by the operator", now)
        self._fleet.former.pop(giver_id, None)
        self._ledger.changes.givers.pop(giver_id, None)
        self._ledger.changes.purged.pop(giver_id, None)
        self._ledger.changes.forgotten.add(giver_id)

    def _lose_all(self, giver: Giver, reason: str, now: Now) -> None:
        for assignment in list(giver.assignments.values()):
            self._end(assignment, AssignmentState.LOST, reason, now)
        giver.assignments.clear()

    def _save(self, giver: Giver, now: Now) -> None:
        giver.saved_at = now.monotonic
        self._ledger.changes.givers[giver.id] = giver
        self._ledger.changes.purged.pop(giver.id, None)
