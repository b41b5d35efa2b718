"""What votes say of their givers, and how much of the givers' word a task needs. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from schemas import identifiers
from schemas.job import Agreement
from seeker import comparators
from seeker.agreement import Quorum, Vote
from seeker.comparators import Equality
from seeker.ledger import Ledger
from seeker.model import Now, Task


class Credit:
    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._fleet = ledger.fleet

    def decided(self, task: Task, chosen: Vote, now: Now) -> None:
        """Several votes decided a task, undisputed."""
        equal = equality_of(task)
        for vote in task.votes:
            self.count(task, vote, now, agrees=equal(vote, chosen))

    def believed_alone(self, task: Task, giver_id: str) -> None:
        """One vote decided it, as its giver is trusted."""
        self._fleet.reputation(giver_id).believed_alone(task.id)
        self._save(giver_id)

    def beside(self, task: Task, vote: Vote, now: Now) -> None:
        """A vote came on a task that is decided. Beside one giver's word it would be a word against
        a word."""
        if task.alone:
            return
        chosen = next((v for v in task.votes if v.result_id == task.chosen), None)
        if chosen is not None and not task.disputed:
            self.count(task, vote, now, agrees=equality_of(task)(vote, chosen))

    def reviewed(self, giver_id: str, marks: Mapping[str, str]) -> None:
        """Reviews were submitted of what this giver decided alone."""
        self._fleet.reputation(giver_id).reviewed(marks.keys())
        self._save(giver_id)
        for task_id, review in marks.items():
            job = self._ledger.jobs.get(identifiers.job_of(task_id))
            task = job.tasks.get(identifiers.index_of(task_id)) if job is not None else None
            if task is None:
                self._ledger.changes.reviews[task_id] = review
            else:
                task.review = review
                self._ledger.changes.touch(task)

    def quorum_with(self, task: Task) -> Quorum:
        """Strangers could be friends: where nobody who agrees is trusted, one more has to."""
        quorum, image = rules_of(task).quorum, task.job.spec.container.image

        def needed(supporters: Sequence[Vote]) -> int:
            known = any(self._fleet.reputation(v.giver_id).trusted(image) for v in supporters)
            return quorum if known else quorum + 1

        return needed

    def count(self, task: Task, vote: Vote, now: Now, *, agrees: bool) -> None:
        reputation = self._fleet.reputation(vote.giver_id)
        reputation.count(task.id, task.job.spec.container.image, agrees=agrees, now=now.wall)
        if reputation.to_review:
            self._ledger.changes.reviewers.add(vote.giver_id)
        self._save(vote.giver_id)

    def _save(self, giver_id: str) -> None:
        giver = self._fleet.givers.get(giver_id)
        former = self._fleet.former.get(giver_id)
        if giver is not None:
            self._ledger.changes.givers[giver.id] = giver
        elif former is not None:
            self._ledger.changes.former[giver_id] = former


def equality_of(task: Task) -> Equality:
    return comparators.equality(task.job.spec.agreement.comparison, task.comparisons)


def rules_of(task: Task) -> Agreement:
    rules = task.job.spec.agreement
    return _alone(rules) if task.alone else rules


@lru_cache(maxsize=1024)
def _alone(rules: Agreement) -> Agreement:
    """What is left of an adaptive job's rules where a trusted giver has the task."""
    return rules.model_copy(update={"replicas": 1, "quorum": 1, "adaptive": False})
