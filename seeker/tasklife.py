"""A task's life once it was placed: votes, verdicts, retries, withdrawal, its job's end. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace
from statistics import median

import structlog

from schemas import identifiers
from schemas.job import JobSpec
from schemas.result import StoredResult
from schemas.states import AssignmentState, Outcome, TaskState
from seeker import agreement, comparators, comparing, images, probes
from seeker.agreement import Decided, Undecidable, Undecided, Verdict, Vote
from seeker.credit import Credit, equality_of, rules_of
from seeker.ledger import Ledger
from seeker.model import Assignment, Job, Now, Task, Withdrawal

log = structlog.get_logger(__name__)

RETRIABLE = frozenset(
    {Outcome.FAILED, Outcome.TIMED_OUT, Outcome.OUT_OF_MEMORY, Outcome.OUTPUT_LIMIT}
)
"""Bad ends that the user's retries are for; an image that does not exist never will by itself."""

KILLED_BY_ITSELF = 2
"""Owners on whose givers a task is killed before that counts as its own failure."""

TRY_AGAIN_LONGEST_S = 60.0
"""The longest pause of a task that one giver after the other fails."""

BACKUPS_FROM = 5
"""Runs that must have ended before a job's median says anything."""

BACKUPS_EVERY_S = 1.0
BACKUPS_LOOKED_AT_PER_S = 10_000
"""Finding runs that take too long means to look at all that run: how often, and at how many."""


class TaskLife:
    def __init__(self, ledger: Ledger, *, dispute_grace_s: float) -> None:
        self._ledger = ledger
        self._fleet = ledger.fleet
        self._credit = Credit(ledger)
        self._dispute_grace_s = dispute_grace_s
        self._backups_at = float("-inf")

    # -- Results --------------------------------------------------------------------------------

    def stored(self, result: StoredResult, now: Now) -> None:
        """A result is in the channel's database: from now on it counts."""
        changes = self._ledger.changes
        job = self._ledger.jobs.get(result.job_id)
        task = job.tasks.get(identifiers.index_of(result.task_id)) if job is not None else None
        if job is None or task is None:
            changes.late_results.append(result)
            return
        number = int(result.assignment_id.rpartition("-")[2])
        assignment = next((a for a in task.assignments if a.number == number), None)
        if assignment is None or assignment.giver_id != result.giver_id:
            log.warning("foreign_result", result_id=result.result_id)
            return
        if assignment.outcome is not None:
            return
        assignment.outcome = result.outcome
        if not assignment.live:
            assignment.late = True
            changes.touch(task)
            self.late(task, result, now)
            log.info("late_result", result_id=result.result_id, state=assignment.state)
            return
        if result.outcome is Outcome.CANCELLED and assignment.unwanted:
            self.end(assignment, AssignmentState.CANCELLED, result.reason, now)
            return
        if result.digest is not None:
            self._vote(task, assignment, _vote_of(result, result.digest), now)
        self._learn(job, assignment, result, now)
        self.end(assignment, AssignmentState.REPORTED, result.reason, now)

    def late(self, task: Task, result: StoredResult, now: Now) -> None:
        """It changes nothing any more, but says something of its giver."""
        number = int(result.assignment_id.rpartition("-")[2])
        if result.digest is None or number <= task.round_began:
            return
        vote = _vote_of(result, result.digest)
        if probes.is_probe(task):
            self._credit.count(task, vote, now, agrees=probes.right(task, vote))
        elif task.chosen is not None:
            self._credit.beside(task, vote, now)

    def _learn(self, job: Job, assignment: Assignment, result: StoredResult, now: Now) -> None:
        """What the end of a run says of its giver, and of how long the job's runs take."""
        giver = self._fleet.givers.get(result.giver_id)
        failed = result.outcome is Outcome.INFRASTRUCTURE_ERROR
        if giver is not None:
            giver.standing.ended(failed=failed)
            image = job.spec.container.image
            if failed:
                self._fleet.back_off(giver, image, job.id, now)
            else:
                giver.setbacks.pop(image, None)
        if job.backup_after is not None and result.outcome is Outcome.SUCCEEDED:
            job.ran(_run_time(assignment, now))

    def _vote(self, task: Task, assignment: Assignment, vote: Vote, now: Now) -> None:
        if assignment.number <= task.round_began:
            task.earlier_votes.append(vote)
            return
        task.votes.append(vote)
        if probes.is_probe(task):
            self._credit.count(task, vote, now, agrees=probes.right(task, vote))
        elif task.chosen is not None:
            self._credit.beside(task, vote, now)

    # -- What follows ---------------------------------------------------------------------------

    def end(self, assignment: Assignment, state: AssignmentState, reason: str, now: Now) -> None:
        """An assignment came to its end: free its giver, and see what the task needs now."""
        task = assignment.task
        assignment.become(state, reason)
        giver = self._fleet.givers.get(assignment.giver_id)
        if giver is not None and assignment.id in giver.assignments:
            self._fleet.release(giver, assignment)
        self._ledger.changes.touch(task)
        self.review(task, now)
        self.settle(task.job, now)

    def review(self, task: Task, now: Now) -> None:
        """Decide the task, ask for further tries, or let it wait."""
        gone = not any(task.live)
        if task.state.final:
            if gone:
                task.job.tasks.pop(task.index, None)
            return
        if task.withdrawn is not None:
            task.wanted = 0
            if gone:
                task.reason = task.withdrawn.reason
                self._finish(task, task.withdrawn.state)
            return
        if self._being_compared(task, now):
            return
        killed_by = task.killed_by
        if not task.votes and len(killed_by) >= max(KILLED_BY_ITSELF, rules_of(task).quorum):
            self._killed_by_itself(task, killed_by.values(), now)
            return
        match self._judge(task):
            case Decided() as verdict:
                self._decide(task, verdict, now)
            case Undecidable(reason=reason):
                last = next((a.reason for a in reversed(task.assignments) if a.reason), "")
                task.reason = f"{reason}; the last: {last}" if last else reason
                self._finish(task, TaskState.FAILED)
            case Undecided(wanted=wanted, reason=reason):
                task.wanted = wanted
                task.reason = reason
                if wanted:
                    self._ledger.queue(task, self._pause(task, now))
                if task.state is TaskState.ACTIVE and gone and not task.votes:
                    task.become(TaskState.PENDING)
            case None:
                self._arbitrate(task, "no attempt is left", now)

    def _killed_by_itself(self, task: Task, givers: Iterable[str], now: Now) -> None:
        """Givers of different owners would not all do that to it."""
        if task.rounds <= task.job.spec.retry.limit:
            self._begin_round(task, Outcome.KILLED, now)
            return
        task.reason = (
            f"killed by a signal on {', '.join(givers)}, of different owners: that is of its own "
            "doing; `channel results` shows what each try brought"
        )
        self._finish(task, TaskState.FAILED)
        for assignment in task.live:
            self._ledger.changes.withdraw(assignment)

    def _judge(self, task: Task) -> Verdict | None:
        live = sum(assignment.live for assignment in task.of_this_round)
        rules = rules_of(task)
        if probes.is_probe(task):
            return probes.judge(task, live, rules)
        equal = equality_of(task)
        quorum = self._credit.quorum_with(task) if rules.adaptive else None
        return agreement.judge(task.votes, live, task.attempts, rules, equal, quorum)

    def _being_compared(self, task: Task, now: Now) -> bool:
        """Whether the user's own container has still to say which votes agree."""
        if task.job.spec.agreement.comparison.by != "image" or probes.is_probe(task):
            return False
        waits_for = []
        for one, other in list(comparing.unknown(task.votes, task.comparisons)):
            job_id = comparing.job_id(task, one, other)
            unanswered = self._ledger.unanswered.pop(job_id, None)
            if unanswered is not None:
                self._not_compared(task, unanswered)
                return True
            ended = self._ledger.ended(job_id)
            if ended is not None:
                task.comparisons[comparators.pair_of(one, other)] = comparing.agree(ended)
                continue
            waits_for.append(job_id)
            if job_id not in self._ledger.comparisons:
                self._ledger.comparisons[job_id] = task
                if job_id not in self._ledger.jobs:
                    submission = comparing.job_of(task, one, other, now.wall)
                    self._ledger.own_jobs.append(submission)
        if waits_for:
            task.reason = comparing.waiting_for(task, waits_for)
            task.wanted = 0
            self._ledger.changes.touch(task)
        return bool(waits_for)

    def _not_compared(self, task: Task, reason: str) -> None:
        """Whether its results agree is not known, so none is believed."""
        image = task.job.spec.agreement.comparison.image
        task.reason = f"the comparator {image} said nothing of {len(task.votes)} results: {reason}"
        self._finish(task, TaskState.FAILED)
        for assignment in task.live:
            self._ledger.changes.withdraw(assignment)

    def compared(self, task: Task, now: Now) -> None:
        """A comparison has ended that the task waited for."""
        self.review(task, now)
        self._ledger.changes.touch(task)
        self.settle(task.job, now)

    def _arbitrate(self, task: Task, why: str, now: Now) -> None:
        """The last word on votes that do not agree, as nobody can be asked any more."""
        if probes.is_probe(task):
            task.reason = f"{probes.none_right(task)}, and {why}"
            self._finish(task, TaskState.FAILED)
            return
        rules = task.job.spec.agreement
        equal = equality_of(task)
        verdict = agreement.judge(task.votes, 0, rules.max_attempts, rules, equal)
        if isinstance(verdict, Decided):
            reason = f"{verdict.reason}; none of them is trusted, and {why}"
            self._decide(task, replace(verdict, reason=reason), now)
            return
        cause = f"{len(task.votes)} results disagree and {why}"
        if rules.on_disagreement == "fail":
            task.reason = f"{cause}: `seeker votes {task.id}` shows them"
            self._finish(task, TaskState.FAILED)
            return

        def reputation(giver_id: str) -> float:
            return self._fleet.reputation(giver_id).overall.reputation(now.wall)

        self._decide(task, agreement.arbitrate(task.votes, reputation, cause, equal), now)

    def _pause(self, task: Task, now: Now) -> float | None:
        """The next best is asked at once, but a task that givers keep failing at pauses."""
        failures = task.giver_failures
        if failures < 2:
            return None
        longest = min(TRY_AGAIN_LONGEST_S, 2.0 ** (failures - 2))
        return now.monotonic + longest * self._ledger.random.uniform(0.5, 1.0)

    def _decide(self, task: Task, verdict: Decided, now: Now) -> None:
        rules = task.job.spec.agreement
        if probes.is_probe(task):
            pass  # Each vote was held against the known answer when it came.
        elif task.alone and len(task.votes) == 1:
            self._credit.believed_alone(task, verdict.chosen.giver_id)
        elif not verdict.disputed and rules.quorum > 1:
            self._credit.decided(task, verdict.chosen, now)
            equal = equality_of(task)
            self._pin_image(task, [v for v in task.votes if equal(v, verdict.chosen)])
        succeeded = verdict.chosen.outcome is Outcome.SUCCEEDED
        retry = task.job.spec.retry
        if verdict.chosen.outcome in RETRIABLE and task.rounds <= retry.limit:
            self._begin_round(task, verdict.chosen.outcome, now)
        else:
            task.chosen = verdict.chosen.result_id
            task.reason = verdict.reason
            task.disputed = verdict.disputed
            self._finish(task, TaskState.SUCCEEDED if succeeded else TaskState.FAILED)
        # Whoever is still at it works for nothing.
        for assignment in task.live:
            self._ledger.changes.withdraw(assignment)

    def _pin_image(self, task: Task, agreeing: Sequence[Vote]) -> None:
        """From now on the job's tasks ask for the very image that those who agree have run."""
        job = task.job
        if job.pinned_image:
            return
        job.pinned_image = images.pinned(
            job.spec.container.image, (vote.image_digest for vote in agreeing)
        )
        if job.pinned_image:
            self._ledger.changes.jobs[job.id] = job

    def _begin_round(self, task: Task, ended: Outcome, now: Now) -> None:
        """The user allowed for another run."""
        retry = task.job.spec.retry
        pause = min(retry.longest_pause_s, retry.pause_s * 2.0 ** (task.rounds - 1))
        task.reason = f"retry {task.rounds} of {retry.limit} after {ended}"
        task.earlier_votes += task.votes
        task.votes = []
        task.rounds += 1
        task.round_began = task.made
        task.wanted = first_wanted(task.job.spec, task.index)
        self._ledger.changes.touch(task)
        self._ledger.queue(task, now.monotonic + pause * self._ledger.random.uniform(0.5, 1.5))

    def _finish(self, task: Task, state: TaskState) -> None:
        if task.job.id in self._ledger.comparisons and not comparing.answered(task):
            self._ledger.unanswered[task.job.id] = task.reason
        task.become(state)
        task.wanted = 0
        self._ledger.stuck.discard(task)
        self._ledger.changes.touch(task)
        if not any(task.live):
            task.job.tasks.pop(task.index, None)

    def settle(self, job: Job, now: Now) -> None:
        """Close the job when its last task has ended, and forget it when its last container has.

        The jobs that wait for it learn of it, and so do those that wait for these.
        """
        ended = [job] if self._close(job, now) else []
        for each in ended:  # Which grows: a chain of jobs may be longer than a stack is deep.
            for dependant in self._ledger.end(each):
                if each.state is TaskState.SUCCEEDED:
                    self._go_on(dependant, each)
                elif not dependant.state.final:
                    self._withdraw(dependant, _in_vain(each.id, each.state), now)
                    if self._close(dependant, now):
                        ended.append(dependant)

    def _close(self, job: Job, now: Now) -> bool:
        """Whether the job has ended just now."""
        ends = not job.unfinished and not job.state.final
        if ends:
            if job.counts[TaskState.FAILED]:
                job.state = TaskState.FAILED
            elif job.counts[TaskState.CANCELLED]:
                job.state = TaskState.CANCELLED
            else:
                job.state = TaskState.SUCCEEDED
            job.finished_at = now.wall
            job.waiting_reason = ""
            self._ledger.changes.jobs[job.id] = job
            log.info("job_finished", job_id=job.id, state=job.state)
        if job.state.final and not job.tasks:
            self._ledger.remove(job)
        return ends

    def _go_on(self, dependant: Job, succeeded: Job) -> None:
        if dependant.state.final:
            return
        dependant.waits_for -= {succeeded.id}
        other = max(dependant.waits_for, default="")
        dependant.waiting_reason = f"waits for job {other}" if other else ""
        self._ledger.changes.jobs[dependant.id] = dependant
        if not other:
            self._ledger.turns.add(dependant)

    def depends_in_vain(self, job: Job, other: str, state: str, now: Now) -> None:
        """A job that it had to wait for did not succeed."""
        self.withdraw_job(job, _in_vain(other, state), now)

    # -- Withdrawal -----------------------------------------------------------------------------

    def withdraw_job(self, job: Job, withdrawal: Withdrawal, now: Now) -> None:
        """Its tasks end so, those that run once their containers are gone."""
        self._withdraw(job, withdrawal, now)
        self.settle(job, now)

    def _withdraw(self, job: Job, withdrawal: Withdrawal, now: Now) -> None:
        self.withdraw_unstarted(job, withdrawal)
        for task in list(job.tasks.values()):
            self.withdraw_task(task, withdrawal, now)

    def withdraw_unstarted(self, job: Job, withdrawal: Withdrawal) -> None:
        if job.started_all:
            return
        job.withdrawn = withdrawal
        rest = job.start_all()
        job.counts[TaskState.PENDING] -= rest
        job.counts[withdrawal.state] += rest
        self._ledger.changes.jobs[job.id] = job

    def withdraw_task(self, task: Task, withdrawal: Withdrawal, now: Now) -> None:
        """The caller settles its job. What is withdrawn already stays as it is: heartbeats see to
        it that its givers hear."""
        if task.state.final or task.withdrawn is not None:
            return
        task.withdrawn = withdrawal
        for assignment in task.live:
            self._ledger.changes.withdraw(assignment)
        self._ledger.changes.touch(task)
        self.review(task, now)

    # -- Time -----------------------------------------------------------------------------------

    def undecidable(self, now: Now) -> list[Task]:
        """Those that have waited long enough for somebody else to ask."""
        return [task for task in self._ledger.stuck if self._grace_over(task, now)]

    def arbitrate(self, task: Task, now: Now) -> None:
        """Choose by reputation, as nobody is there to ask."""
        self._arbitrate(task, "no other giver is there to ask", now)
        self.settle(task.job, now)

    def _grace_over(self, task: Task, now: Now) -> bool:
        return (
            task.stuck_since is not None
            and now.monotonic - task.stuck_since >= self._dispute_grace_s
            and not any(task.live)
        )

    def enforce_limits(self, job: Job, now: Now) -> None:
        """See to what the job says of time: its deadline and its queue timeout."""
        if job.state.final:
            return
        if _passed(job, job.deadline_s, now):
            reason = f"the deadline of {job.deadline_s:g} s passed"
            self.withdraw_job(job, Withdrawal(state=TaskState.FAILED, reason=reason), now)
        elif _passed(job, job.queue_timeout_s, now):
            reason = f"not placed within the queue timeout of {job.queue_timeout_s:g} s"
            if job.waiting_reason:
                reason += f": {job.waiting_reason}"
            withdrawal = Withdrawal(state=TaskState.FAILED, reason=reason)
            self.withdraw_unstarted(job, withdrawal)
            for task in [t for t in job.tasks.values() if not _placed(t)]:
                self.withdraw_task(task, withdrawal, now)
            self.settle(job, now)

    def backups_due(self, now: Now) -> list[Job]:
        """The jobs whose runs are to be looked at now: the more there are, the more rarely."""
        if now.monotonic < self._backups_at:
            return []
        due = [job for job in self._ledger.timed.values() if job.backup_after is not None]
        looked_at = sum(len(job.tasks) for job in due)
        pause = max(BACKUPS_EVERY_S, looked_at / BACKUPS_LOOKED_AT_PER_S)
        self._backups_at = now.monotonic + pause
        return due

    def back_up(self, job: Job, now: Now) -> None:
        """Ask for a second try at whatever takes far longer than the job's other runs."""
        factor = job.backup_after
        if factor is None or len(job.run_times) < BACKUPS_FROM:
            return
        limit = factor * median(job.run_times)
        for task in job.tasks.values():
            live = list(task.live)
            if live and all(
                a.running_since is not None and now.monotonic - a.running_since > limit
                for a in live
            ):
                reason = f"runs longer than {factor:g} times the median: a second try"
                self.second_try(task, reason)

    def second_try(self, task: Task, reason: str) -> None:
        """Ask for one beside those that are out, once; the first result that decides wins."""
        if task.backed_up or task.state.final or task.withdrawn is not None or task.wanted:
            return
        task.backed_up = True
        task.wanted = 1
        task.reason = reason
        self._ledger.queue(task)
        self._ledger.changes.touch(task)


def first_wanted(spec: JobSpec, index: int) -> int:
    """Assignments to begin with; where trust is adaptive, it depends on who gets the first."""
    one = spec.agreement.adaptive or str(index) in spec.known
    return 1 if one else spec.agreement.replicas


def _vote_of(result: StoredResult, digest: str) -> Vote:
    return Vote(
        result_id=result.result_id,
        giver_id=result.giver_id,
        digest=digest,
        outcome=result.outcome,
        exit_code=result.exit_code,
        comparable=result.comparable,
        files_digest=result.files_digest,
        image_digest=result.image_digest,
    )


def _in_vain(other: str, state: str) -> Withdrawal:
    reason = f"job {other}, which it waits for, is {state}"
    return Withdrawal(state=TaskState.CANCELLED, reason=reason)


def _placed(task: Task) -> bool:
    """Whether a giver ever took the task, or may yet, be it for an earlier round."""
    return any(a.state is not AssignmentState.REFUSED for a in task.assignments)


def _run_time(assignment: Assignment, now: Now) -> float:
    """Seconds; with the time it waited where no heartbeat told that it runs, as most often it ended
    before the next one. Nothing would make any other run of the job look far too long."""
    if assignment.running_since is None:
        return (now.wall - assignment.placed_at).total_seconds()
    return now.monotonic - assignment.running_since


def _passed(job: Job, seconds: float | None, now: Now) -> bool:
    return seconds is not None and (now.wall - job.accepted_at).total_seconds() >= seconds
