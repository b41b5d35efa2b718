"""Tasks whose answer is known beforehand. Pure.

They are run as all others, and no giver can tell them apart. One right answer decides; a wrong one
counts against its giver, however many give the same.
"""

from __future__ import annotations

from datetime import UTC, datetime

from schemas import digests, identifiers
from schemas.job import Agreement, JobSpec
from schemas.result import Result
from schemas.states import Outcome
from seeker.agreement import Decided, Undecidable, Undecided, Verdict, Vote
from seeker.comparators import equality
from seeker.model import Task

_ANY_TIME = datetime(1970, 1, 1, tzinfo=UTC)
_NOBODY = "nobody"


def is_probe(task: Task) -> bool:
    return str(task.index) in task.job.spec.known


def right(task: Task, vote: Vote) -> bool:
    """Whether it is the known answer, by the job's comparison."""
    spec = task.job.spec
    equal = equality(spec.agreement.comparison, {})
    return any(equal(vote, expected) for expected in _expected(spec, task.id))


def judge(task: Task, live: int, rules: Agreement) -> Verdict:
    """
    Args:
        live: assignments that may still vote.
    """
    for vote in task.votes:
        if right(task, vote):
            return Decided(chosen=vote, reason=f"{vote.giver_id} gave the known answer")
    wrong = none_right(task)
    left = max(0, rules.max_attempts - task.attempts)
    if not live and not left:
        return Undecidable(reason=f"{wrong}, after {task.attempts} attempts, the most allowed")
    return Undecided(wanted=min(left, max(0, 1 - live)), reason=wrong if task.votes else "no votes")


def none_right(task: Task) -> str:
    """For a person."""
    return f"{len(task.votes)} votes, none the known answer"


def _expected(spec: JobSpec, task_id: str) -> list[Vote]:
    """The votes that a giver could cast for the known answer."""
    text = spec.known[str(identifiers.index_of(task_id))]
    votes = []
    for stdout in (text, text + "\n"):
        result = Result.model_construct(
            result_id=_NOBODY,
            assignment_id=identifiers.assignment_id(task_id, 1),
            task_id=task_id,
            job_id=identifiers.job_of(task_id),
            giver_id=_NOBODY,
            sent_at=_ANY_TIME,
            outcome=Outcome.SUCCEEDED,
            exit_code=0,
            stdout=stdout,
            comparison=spec.agreement.comparison,
        )
        votes.append(
            Vote(
                result_id=_NOBODY,
                giver_id=_NOBODY,
                digest=digests.digest(result) or "",
                outcome=Outcome.SUCCEEDED,
                exit_code=0,
                comparable=digests.comparable(result),
            )
        )
    return votes
