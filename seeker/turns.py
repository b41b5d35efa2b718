"""Whose turn it is: jobs with tasks still to begin, in a fair order. Pure.

A higher priority goes first, and jobs of one priority take turns, a task each. One turn in
`SHARED_EVERY` goes to all jobs alike, whatever their priority, so that none starves: a job begins a
task at least once in `SHARED_EVERY` times as many turns as there are jobs that can begin any.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from seeker.model import Job

SHARED_EVERY = 10


class Turns:
    def __init__(self) -> None:
        self._by_priority: dict[int, _Ring] = {}
        self._priorities: list[int] = []
        self._everybody = _Ring()
        self._taken = 0

    def add(self, job: Job) -> None:
        priority = job.spec.priority
        if priority not in self._by_priority:
            self._by_priority[priority] = _Ring()
            self._priorities = sorted(self._by_priority, reverse=True)
        self._by_priority[priority].add(job)
        self._everybody.add(job)

    def remove(self, job: Job) -> None:
        """A job that is not there is no error."""
        priority = job.spec.priority
        if priority not in self._by_priority:
            return
        self._by_priority[priority].remove(job)
        self._everybody.remove(job)
        if not self._by_priority[priority]:
            del self._by_priority[priority]
            self._priorities.remove(priority)

    def next(self, refused: Collection[str] = ()) -> Job | None:
        """The job whose turn it is, none of those whose demand is in `refused`."""
        if self._taken % SHARED_EVERY == SHARED_EVERY - 1:
            rings = [self._everybody]
        else:
            rings = [self._by_priority[priority] for priority in self._priorities]
        for ring in rings:
            job = ring.next(refused)
            if job is not None:
                self._taken += 1
                return job
        return None


class _Ring:
    """Jobs in turn. Sorted by demand, as thousands of them may wait for one and the same."""

    def __init__(self) -> None:
        self._by_demand: dict[str, OrderedDict[Job, int]] = {}
        """Of each demand, the job that has waited longest first, and since which turn it has."""
        self._turn = 0

    def __bool__(self) -> bool:
        return bool(self._by_demand)

    def add(self, job: Job) -> None:
        self._turn += 1
        self._by_demand.setdefault(job.demand, OrderedDict())[job] = self._turn

    def remove(self, job: Job) -> None:
        jobs = self._by_demand.get(job.demand)
        if jobs is not None:
            jobs.pop(job, None)
            if not jobs:
                del self._by_demand[job.demand]

    def next(self, refused: Collection[str]) -> Job | None:
        longest = None
        since = self._turn + 1
        for demand, jobs in self._by_demand.items():
            job, turn = next(iter(jobs.items()))
            if turn < since and demand not in refused:
                longest, since = job, turn
        if longest is not None:
            self._turn += 1
            jobs = self._by_demand[longest.demand]
            jobs[longest] = self._turn
            jobs.move_to_end(longest)
        return longest
