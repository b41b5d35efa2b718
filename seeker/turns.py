"""Whose turn it is: jobs with tasks still to begin, in a fair order. Pure.

A higher priority goes first, and jobs of one priority take turns, a task each. One turn in
`SHARED_EVERY` goes to all jobs alike, whatever their priority, so that none starves: a job begins a
task at least once in `SHARED_EVERY` times as many turns as there are jobs that can begin any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from seeker.model import Job

SHARED_EVERY = 10


class Turns:
    def __init__(self) -> None:
        self._by_priority: dict[int, deque[Job]] = {}
        self._priorities: list[int] = []
        self._everybody: deque[Job] = deque()
        self._taken = 0

    def add(self, job: Job) -> None:
        priority = job.spec.priority
        if priority not in self._by_priority:
            self._by_priority[priority] = deque()
            self._priorities = sorted(self._by_priority, reverse=True)
        self._by_priority[priority].append(job)
        self._everybody.append(job)

    def remove(self, job: Job) -> None:
        """A job that is not there is no error."""
        priority = job.spec.priority
        jobs = self._by_priority.get(priority, ())
        if job not in jobs:
            return
        self._by_priority[priority].remove(job)
        self._everybody.remove(job)
        if not self._by_priority[priority]:
            del self._by_priority[priority]
            self._priorities.remove(priority)

    def next(self, can_begin: Callable[[Job], bool]) -> Job | None:
        """The job whose turn it is among those that can begin a task now."""
        if self._taken % SHARED_EVERY == SHARED_EVERY - 1:
            rings = [self._everybody]
        else:
            rings = [self._by_priority[priority] for priority in self._priorities]
        for ring in rings:
            for _ in range(len(ring)):
                job = ring[0]
                ring.rotate(-1)
                if can_begin(job):
                    self._taken += 1
                    return job
        return None
