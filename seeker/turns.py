"""Whose turn it is: jobs with tasks still to begin, in a fair order. Pure.

A higher priority goes first, and jobs of one priority take turns. One turn in
`SHARED_EVERY` goes to the job that has waited longest for one, whatever its priority, so that none
starves: a job begins a task at least once in `SHARED_EVERY` times as many turns as there are jobs
that can begin any.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

from seeker.model import Job

SHARED_EVERY = 10

NOBODY = float("inf")
"""Later than any turn."""


class Turns:
    def __init__(self) -> None:
        self._by_priority: dict[int, _Line] = {}
        self._priorities: list[int] = []
        self._now = 0
        """Turns and arrivals so far: no two jobs wait since the same."""
        self._taken = 0
        self._asked: set[str] = set()
        """Demands that had a turn since the last `start_over`."""
        self._passed_over: set[str] = set()
        self._waiting = 0

    def __len__(self) -> int:
        """Jobs that wait."""
        return self._waiting

    def add(self, job: Job) -> None:
        """A job comes once; one that was removed does not come back."""
        if job.priority not in self._by_priority:
            self._by_priority[job.priority] = _Line(self._passed_over)
            self._priorities = sorted(self._by_priority, reverse=True)
        self._now += 1
        self._waiting += 1
        self._by_priority[job.priority].add(job, self._now)

    def remove(self, job: Job) -> None:
        """A job that is not there is no error."""
        if job.waits_since is None:
            return
        self._waiting -= 1
        line = self._by_priority[job.priority]
        line.remove(job)
        if not line:
            del self._by_priority[job.priority]
            self._priorities.remove(job.priority)

    def next(self) -> Job | None:
        """The job whose turn it is, if its demand is not passed over."""
        lines = [self._by_priority[priority] for priority in self._priorities]
        if self._taken % SHARED_EVERY == SHARED_EVERY - 1:
            line = min(lines, key=_Line.longest, default=None)
        else:
            line = next((line for line in lines if line.longest() < NOBODY), None)
        if line is None or line.longest() == NOBODY:
            return None
        self._taken += 1
        self._now += 1
        job = line.take(self._now)
        self._asked.add(job.demand)
        return job

    def pass_over(self, demand: str) -> None:
        """Until `start_over`: what nobody takes now, nobody takes for another job that asks so."""
        self._passed_over.add(demand)

    @property
    def all_asked(self) -> bool:
        """Whether every demand had a turn since the last `start_over`."""
        return all(self._asked.issuperset(line.demands) for line in self._by_priority.values())

    def start_over(self) -> None:
        self._asked.clear()
        awake = list(self._passed_over)
        self._passed_over.clear()
        for line in self._by_priority.values():
            line.wake(awake)


class _Line:
    """Jobs of one priority. Sorted by demand, as thousands of them may wait for one and the same;
    a heap knows which demand's first has waited longest."""

    def __init__(self, passed_over: set[str]) -> None:
        """`passed_over`: as it changes."""
        self._queues: dict[str, _Queue] = {}
        self._heap: list[tuple[int, str]] = []
        """Since when the first of a demand waits. Entries are stale where the demand has another
        (`listed`), or is passed over; where the first left, its successor waits for less long."""
        self._passed_over = passed_over

    def __bool__(self) -> bool:
        return bool(self._queues)

    @property
    def demands(self) -> Iterable[str]:
        return self._queues

    def add(self, job: Job, now: int) -> None:
        job.waits_since = now
        queue = self._queues.get(job.demand)
        if queue is None:
            queue = self._queues[job.demand] = _Queue(job.demand)
        queue.add(job)
        if queue.listed is None and job.demand not in self._passed_over:
            self._list(queue)

    def remove(self, job: Job) -> None:
        queue = self._queues[job.demand]
        queue.remove(job)
        if not queue:
            del self._queues[job.demand]

    def longest(self) -> float:
        """Since when the first of those not passed over waits; `NOBODY`: there is none."""
        while self._heap:
            since, demand = self._heap[0]
            queue = self._queues.get(demand)
            if queue is not None and queue.listed == since:
                if queue.since == since and demand not in self._passed_over:
                    return since
                queue.listed = None
                if demand not in self._passed_over:
                    self._list(queue)
            heappop(self._heap)
        return NOBODY

    def take(self, now: int) -> Job:
        """The job that waits longest, which goes to the end."""
        _, demand = heappop(self._heap)
        queue = self._queues[demand]
        job = queue.rotate(now)
        self._list(queue)
        return job

    def wake(self, demands: Iterable[str]) -> None:
        """They are not passed over any more."""
        for demand in demands:
            queue = self._queues.get(demand)
            if queue is not None and queue.listed is None:
                self._list(queue)

    def _list(self, queue: _Queue) -> None:
        queue.listed = queue.since
        heappush(self._heap, (queue.since, queue.demand))


class _Queue:
    """Jobs that ask the same of a giver, the one that has waited longest first."""

    def __init__(self, demand: str) -> None:
        self.demand = demand
        self.listed: int | None = None
        """As waiting since then; `None`: not at all."""
        self._jobs: deque[Job] = deque()
        self._gone = 0
        """Of them, those removed, which are not first."""

    def __bool__(self) -> bool:
        return bool(self._jobs)

    @property
    def since(self) -> int:
        since = self._jobs[0].waits_since
        assert since is not None
        return since

    def add(self, job: Job) -> None:
        self._jobs.append(job)

    def rotate(self, now: int) -> Job:
        job = self._jobs.popleft()
        job.waits_since = now
        self._jobs.append(job)
        self._tidy()
        return job

    def remove(self, job: Job) -> None:
        job.waits_since = None
        if self._jobs[-1] is job:  # Most often it has just had its last turn.
            self._jobs.pop()
        else:
            self._gone += 1
        self._tidy()

    def _tidy(self) -> None:
        while self._jobs and self._jobs[0].waits_since is None:
            self._jobs.popleft()
            self._gone -= 1
        if self._gone > len(self._jobs) // 2:
            self._jobs = deque(job for job in self._jobs if job.waits_since is not None)
            self._gone = 0
