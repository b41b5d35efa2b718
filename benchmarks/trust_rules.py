"""The same tasks under two rules: the seeker's own scheduler, and BOINC's published one."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta
from random import Random

from benchmarks.trust_givers import COLLUSION, RIGHT, Kind, Scenario, Tally, mean
from schemas import identifiers
from schemas.heartbeat import Capacity, Heartbeat, Platform
from schemas.job import MIB, Agreement, ContainerSpec, JobSpec, Resources, Submission
from schemas.result import StoredResult
from schemas.states import GiverState, Outcome, TaskState
from seeker.agreement import Decided, Undecided, Vote, judge
from seeker.fleet import Fleet
from seeker.model import Assignment, Now
from seeker.scheduler import Scheduler

IMAGE = "tool:1"
RULES = Agreement(replicas=2, quorum=2, max_attempts=20, adaptive=True)
BOINC_TRUSTED_AFTER = 10
TURN = 50


class Answers:
    """Asks the cast, and keeps count of its lies."""

    def __init__(self, cast: dict[str, Kind]) -> None:
        self.cast = cast
        self._random = Random(1)
        self._answered: Counter[str] = Counter()
        self._lies: Counter[str] = Counter()
        self._found_after: dict[str, int] = {}

    def ask(self, giver_id: str, task_id: str) -> str | None:
        kind = self.cast[giver_id]
        answer = kind.answer(giver_id, task_id, self._answered[giver_id], self._random)
        self._answered[giver_id] += 1
        self._lies[giver_id] += answer not in (RIGHT, None)
        return answer

    def found(self, giver_id: str) -> None:
        """Its vote was against a majority."""
        if self.cast[giver_id].lies:
            self._found_after.setdefault(giver_id, self._lies[giver_id])

    def lies_until_found(self) -> float | None:
        return mean(self._found_after.values())


def by_seeker(scenario: Scenario, givers: int, warm_up: int, tasks: int) -> Tally:
    """Through the scheduler that `seeker run` has, with givers that answer at once.

    Args:
        warm_up: tasks before those that count, in which trust is earned.
    """
    answers = Answers(scenario.cast(givers))
    now = Now(1000.0, datetime(2026, 1, 1, tzinfo=UTC))
    fleet = Fleet(strikes=3)
    scheduler = Scheduler(fleet, (), now, dispute_grace_s=10.0, random=Random(2))
    for giver_id in answers.cast:
        scheduler.heard(_beat(giver_id), now)
    tally = Tally()
    for count, counts in ((warm_up, False), (tasks, True)):
        spec = JobSpec(
            container=ContainerSpec(image=IMAGE, resources=_SMALL), agreement=RULES, count=count
        )
        job_id = identifiers.new_job_id()
        scheduler.submitted(Submission(job_id=job_id, submitted_at=now.wall, spec=spec), {}, now)
        left = count
        while left:
            # A moment passes, so that pauses after failures end.
            now = Now(now.monotonic + 1.0, now.wall + timedelta(seconds=1))
            # In small turns, so that those who check others are asked as soon as they are wanted.
            for _ in range(-(-givers // TURN)):
                scheduler.place(now, limit=TURN)
            changes = scheduler.take_changes()
            dispatched = [a for items in changes.dispatches.values() for a in items]
            if not dispatched:
                scheduler.ticked(now)
            scheduler.stored([_result(answers, each, now) for each in dispatched], now)
            changes = scheduler.take_changes()
            for task in changes.tasks.values():
                if not task.state.final:
                    continue
                left -= 1
                chosen = next((v for v in task.votes if v.result_id == task.chosen), None)
                for vote in task.votes:
                    if fleet.reputation(vote.giver_id).lied_about == task.id:
                        answers.found(vote.giver_id)
                if counts:
                    tally.tasks += 1
                    tally.runs += task.made
                    tally.undecided += task.state is not TaskState.SUCCEEDED
                    tally.wrong += chosen is not None and chosen.digest != RIGHT
    tally.lies_until_found = answers.lies_until_found()
    return tally


def by_boinc(scenario: Scenario, givers: int, warm_up: int, tasks: int) -> Tally:
    """A host is trusted after ten consecutive valid results, then checked with a probability of one
    by their number; an error sets it back to none (BOINC's wiki, AdaptiveReplication)."""
    answers = Answers(scenario.cast(givers))
    random = Random(2)
    valid: Counter[str] = Counter()
    names = list(answers.cast)
    rules = Agreement(replicas=2, quorum=2, max_attempts=20)
    tally = Tally()
    for number in range(warm_up + tasks):
        order = random.sample(names, rules.max_attempts)
        first = order[0]
        alone = valid[first] > BOINC_TRUSTED_AFTER and random.random() >= 1 / valid[first]
        votes: list[Vote] = []
        runs = 0
        chosen: Vote | None = None
        for giver_id in order:
            runs += 1
            digest = answers.ask(giver_id, str(number))
            if digest is None:
                continue
            votes.append(
                Vote(
                    result_id=giver_id,
                    giver_id=giver_id,
                    digest=digest,
                    outcome=Outcome.SUCCEEDED,
                )
            )
            if alone and giver_id == first:
                chosen = votes[0]
                break
            verdict = judge(votes, 0, runs, rules)
            if not isinstance(verdict, Undecided):
                chosen = verdict.chosen if isinstance(verdict, Decided) else None
                break
        if chosen is not None and len(votes) > 1:
            for vote in votes:
                agrees = vote.digest == chosen.digest
                valid[vote.giver_id] = valid[vote.giver_id] + 1 if agrees else 0
                if not agrees:
                    answers.found(vote.giver_id)
        if number >= warm_up:
            tally.tasks += 1
            tally.runs += runs
            tally.undecided += chosen is None
            tally.wrong += chosen is not None and chosen.digest != RIGHT
    tally.lies_until_found = answers.lies_until_found()
    return tally


_SMALL = Resources(cpus=1, memory_bytes=64 * MIB, disk_bytes=0)
_HOST = Capacity(cpus=1, memory_bytes=1 << 30, disk_bytes=1 << 30, containers=1)


def _beat(giver_id: str) -> Heartbeat:
    return Heartbeat(
        giver_id=giver_id,
        boot_id="boot",
        session="session",
        sequence=0,
        interval_s=3600,
        state=GiverState.READY,
        version="1",
        platform=Platform(os="linux", architecture="amd64"),
        capacity=_HOST,
        free=_HOST,
        backlog=0,
    )


def _result(answers: Answers, assignment: Assignment, now: Now) -> StoredResult:
    # Colluders tell each other which task they lie about, and how.
    digest = answers.ask(assignment.giver_id, assignment.task.id)
    if digest == COLLUSION:
        digest = f"{COLLUSION} about {assignment.task.id}"
    return StoredResult(
        result_id=identifiers.result_id(assignment.id, assignment.giver_id),
        assignment_id=assignment.id,
        task_id=assignment.task.id,
        job_id=assignment.task.job.id,
        giver_id=assignment.giver_id,
        outcome=Outcome.SUCCEEDED if digest is not None else Outcome.INFRASTRUCTURE_ERROR,
        exit_code=0 if digest is not None else None,
        reason="",
        digest=digest,
        stored_at=now.wall,
    )
