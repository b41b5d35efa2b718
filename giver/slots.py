"""Which assignments may start: what the host has, less what runs. Pure.

Strictly first in, first out: a large assignment at the head waits until enough is free, and
nothing overtakes it, so that small ones can never starve it.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from schemas.heartbeat import Capacity
from schemas.job import Resources

_NANO = 1_000_000_000


@dataclass(frozen=True, slots=True)
class _Demand:
    """Integers throughout: sums of float CPUs would drift."""

    nano_cpus: int
    memory: int
    disk: int
    gpus: int


def _demand(resources: Resources) -> _Demand:
    return _Demand(
        round(resources.cpus * _NANO), resources.memory_bytes, resources.disk_bytes, resources.gpus
    )


class Slots:
    """Capacity and the queue before it. `hold` and `take` cost the same however many wait."""

    def __init__(self, capacity: Capacity, backlog: int) -> None:
        self.capacity = capacity
        self.backlog = backlog
        self._nano_cpus = round(capacity.cpus * _NANO)
        self._memory = capacity.memory_bytes
        self._disk = capacity.disk_bytes
        self._waiting: OrderedDict[str, _Demand] = OrderedDict()
        self._running: dict[str, _Demand] = {}
        self._gpus: dict[str, tuple[int, ...]] = {}
        """Which of them are in use, by assignment: two never share one."""

    def resize(self, capacity: Capacity, backlog: int) -> None:
        """There is more or less than was thought; what runs goes on."""
        self._nano_cpus += round(capacity.cpus * _NANO) - round(self.capacity.cpus * _NANO)
        self._memory += capacity.memory_bytes - self.capacity.memory_bytes
        self._disk += capacity.disk_bytes - self.capacity.disk_bytes
        self.capacity = capacity
        self.backlog = backlog

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._running)

    def gpus(self, assignment_id: str) -> tuple[int, ...]:
        """The numbers of the GPUs that a running assignment has."""
        return self._gpus.get(assignment_id, ())

    def refusal(self, resources: Resources, ahead: int = 0) -> str | None:
        """Why an assignment would not be taken, or `None`.

        `ahead`: how many were approved but not yet held.
        """
        for name, wanted, there in (
            ("CPUs", resources.cpus, self.capacity.cpus),
            ("bytes of memory", resources.memory_bytes, self.capacity.memory_bytes),
            ("bytes of disk", resources.disk_bytes, self.capacity.disk_bytes),
            ("GPUs", resources.gpus, self.capacity.gpus),
        ):
            if wanted > there:
                return f"needs {wanted:g} {name}, this giver has {there:g} altogether"
        room = max(self.capacity.containers - len(self._running), 0) + self.backlog
        if len(self._waiting) + ahead >= room:
            return (
                f"full: {len(self._running)} running and {len(self._waiting) + ahead} waiting "
                f"(at most {self.capacity.containers} and a backlog of {self.backlog})"
            )
        return None

    def hold(self, assignment_id: str, resources: Resources) -> None:
        """Put at the end of the queue."""
        self._waiting[assignment_id] = _demand(resources)

    def occupy(self, assignment_id: str, resources: Resources, gpus: tuple[int, ...] = ()) -> None:
        """Count as running whatever is free: its container, with these GPUs, is there already."""
        self._start(assignment_id, _demand(resources), gpus)

    def take(self) -> list[str]:
        """Those that may start now; they count as running from here on."""
        ready = []
        while self._waiting and len(self._running) < self.capacity.containers:
            assignment_id, demand = next(iter(self._waiting.items()))
            if (
                demand.nano_cpus > self._nano_cpus
                or demand.memory > self._memory
                or demand.disk > self._disk
                or demand.gpus > len(self._free_gpus)
            ):
                break
            del self._waiting[assignment_id]
            self._start(assignment_id, demand, tuple(self._free_gpus[: demand.gpus]))
            ready.append(assignment_id)
        return ready

    def withdraw(self, assignment_id: str) -> bool:
        """Take out of the queue; whether it was there."""
        return self._waiting.pop(assignment_id, None) is not None

    def release(self, assignment_id: str) -> None:
        """What ran has ended."""
        demand = self._running.pop(assignment_id)
        self._gpus.pop(assignment_id, None)
        self._nano_cpus += demand.nano_cpus
        self._memory += demand.memory
        self._disk += demand.disk

    @property
    def free(self) -> Capacity:
        """Less what runs; what waits is not counted."""
        return Capacity(
            cpus=max(self._nano_cpus, 0) / _NANO,
            memory_bytes=max(self._memory, 0),
            disk_bytes=max(self._disk, 0),
            gpus=len(self._free_gpus),
            containers=max(self.capacity.containers - len(self._running), 0),
        )

    @property
    def _free_gpus(self) -> list[int]:
        if not self.capacity.gpus:
            return []
        used = {number for numbers in self._gpus.values() for number in numbers}
        return [number for number in range(self.capacity.gpus) if number not in used]

    def _start(self, assignment_id: str, demand: _Demand, gpus: tuple[int, ...]) -> None:
        self._running[assignment_id] = demand
        if gpus:
            self._gpus[assignment_id] = gpus
        self._nano_cpus -= demand.nano_cpus
        self._memory -= demand.memory
        self._disk -= demand.disk
