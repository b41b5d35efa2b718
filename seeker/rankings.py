"""The rankings of all demands that wait, within bounds of memory and of work. Pure.

A ranking that is in use holds something of every giver. Only those used of late do; any other is
made again when it is asked next, unless it had nobody to offer: then all it has to know is who
changed since.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection

from seeker.fleet import Fleet
from seeker.model import Job, Task
from seeker.placement import Demand, Offer
from seeker.ranking import Ranking

GIVERS_HELD = 1_000_000
"""In all rankings together, 200 to 350 bytes each."""


class Rankings:
    def __init__(self, fleet: Fleet) -> None:
        self._fleet = fleet
        self._rankings: dict[str, Ranking] = {}
        self._jobs: dict[str, int] = {}
        """How many of them ask so."""
        self._used: OrderedDict[str, Ranking] = OrderedDict()
        """Those that hold something of every giver, the one used last at the end."""
        self.looked_at = 0
        """Givers so far; what the work of placing is counted in."""
        self._on_platform: dict[tuple[str, str], str] = {}
        """Keys of demands narrowed to a platform, by that of the demand and the platform."""

    def __len__(self) -> int:
        return len(self._rankings)

    def __getitem__(self, key: str) -> Ranking:
        return self._rankings[key]

    def enter(self, job: Job) -> None:
        """It asks, from now on until `leave`."""
        key = job.demand
        if key not in self._rankings:
            self._rankings[key] = Ranking(Demand.of(job.spec), self._fleet)
        self._jobs[key] = self._jobs.get(key, 0) + 1

    def leave(self, job: Job) -> None:
        key = job.demand
        self._jobs[key] -= 1
        if not self._jobs[key]:
            del self._jobs[key]
            narrowed = [name for name in self._on_platform if name[0] == key]
            for each in (key, *(self._on_platform.pop(name) for name in narrowed)):
                del self._rankings[each]
                self._used.pop(each, None)

    def key_for(self, task: Task) -> str:
        """Of what the task's next try asks: where it has begun, maybe a platform, too."""
        job = task.job
        demand = self._rankings[job.demand].demand
        platform = task.platform if demand.placement.homogeneous else ""
        if not platform:
            return job.demand
        key = self._on_platform.get((job.demand, platform))
        if key is None:
            narrowed = demand.on(platform)
            key = self._on_platform[job.demand, platform] = narrowed.key
            self._rankings[key] = Ranking(narrowed, self._fleet)
        return key

    def best(self, key: str, taken: Collection[str], now: float) -> Offer | None:
        """As `Ranking.best`; nobody for a task that nobody has yet, where too few would do."""
        ranking = self._rankings[key]
        self._used[key] = ranking
        self._used.move_to_end(key)
        while len(self._used) > max(1, GIVERS_HELD // max(1, len(self._fleet.givers))):
            self._used.popitem(last=False)[1].shed()
        before = ranking.looked_at
        offer = ranking.best(taken, now)
        if offer is not None and not taken and not ranking.enough_owners():
            offer = None
        self.looked_at += 1 + ranking.looked_at - before
        return offer
