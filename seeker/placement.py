"""Who is the best giver for a task, who is the next best, and why. Pure.

Hard limits first, then a score. A giver takes what fits its capacity and, on top, a backlog that it
names itself, so that no slot of its own waits for the network.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from schemas.heartbeat import Capacity
from schemas.job import Resources
from schemas.states import GiverState
from seeker.model import Giver, Load

IMAGE_ABSENT = 0.25
"""What a pull weighs, in units of a giver's whole load."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Offer:
    """A giver that can take the task; the lowest score is the best."""

    giver: Giver
    score: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Refused:
    giver_id: str
    reason: str
    lasting: bool
    """Waiting for other tasks to finish would not help."""


def consider(
    giver: Giver, needed: Resources, image: str, taken: bool, now: float
) -> Offer | Refused:
    """Whether `giver` can take a task now, and how well.

    Args:
        taken: it is at that task already, or has voted.
        now: monotonic seconds.
    """

    def refuse(reason: str, lasting: bool = False) -> Refused:
        return Refused(giver_id=giver.id, reason=reason, lasting=lasting)

    shortage = lacking(giver.capacity, needed)
    if shortage:
        return refuse(shortage, lasting=True)
    if giver.session is None or giver.unreachable:
        return refuse("is not connected")
    if giver.state is not GiverState.READY:
        return refuse(
            f"is {giver.state}" + f" ({giver.beat.state_reason})" * bool(giver.beat.state_reason)
        )
    if taken:
        return refuse("has tried this task already", lasting=True)
    setback = giver.setbacks.get(image)
    if setback is not None and now < setback.until:
        return refuse(f"failed {setback.count} times in a row with this image, and pauses")
    load = load_after(giver, needed)
    if load > 1 + giver.beat.backlog / max(1, giver.capacity.containers):
        return refuse("is full")
    absent = IMAGE_ABSENT if image not in giver.beat.images else 0.0
    return Offer(giver=giver, score=load + absent)


def best(
    givers: Iterable[Giver], needed: Resources, image: str, taken: Iterable[str], now: float
) -> Offer | list[Refused]:
    """The best giver, or why each was refused.

    Args:
        taken: ids of givers that are at the task already, or have voted.
    """
    refusals: list[Refused] = []
    chosen: Offer | None = None
    tried = frozenset(taken)
    for giver in givers:
        answer = consider(giver, needed, image, giver.id in tried, now)
        if isinstance(answer, Refused):
            refusals.append(answer)
        elif chosen is None or answer.score < chosen.score:
            chosen = answer
    return chosen or refusals


def lacking(capacity: Capacity, needed: Resources) -> str:
    """What of the task's needs exceeds the giver as a whole; empty if nothing does."""
    if needed.cpus > capacity.cpus:
        return f"has {capacity.cpus:g} CPUs, {needed.cpus:g} are needed"
    if needed.memory_bytes > capacity.memory_bytes:
        return (
            f"has {capacity.memory_bytes / 2**20:.0f} MiB of memory, "
            f"{needed.memory_bytes / 2**20:.0f} are needed"
        )
    if needed.disk_bytes > capacity.disk_bytes:
        return (
            f"has {capacity.disk_bytes / 2**30:.1f} GiB of disk, "
            f"{needed.disk_bytes / 2**30:.1f} are needed"
        )
    if capacity.containers < 1:
        return "runs no containers"
    return ""


def load_after(giver: Giver, needed: Resources) -> float:
    """The scarcest resource's share in use with the task added; above 1 it would wait there."""
    load, capacity = giver.load, giver.capacity
    shares = [
        (load.cpus + needed.cpus) / capacity.cpus,
        (load.memory_bytes + needed.memory_bytes) / capacity.memory_bytes,
        (load.containers + 1) / capacity.containers,
    ]
    if needed.disk_bytes:
        shares.append((load.disk_bytes + needed.disk_bytes) / capacity.disk_bytes)
    return max(shares)


def take(load: Load, needed: Resources, sign: int = 1) -> None:
    """Add a task to a load, or with `sign` -1 take it away."""
    load.cpus += sign * needed.cpus
    load.memory_bytes += sign * needed.memory_bytes
    load.disk_bytes += sign * needed.disk_bytes
    load.containers += sign


def summarise(refusals: list[Refused]) -> str:
    """Why nobody takes a task, in one line for a person."""
    if not refusals:
        return "no giver is known: start one with `giver run`"
    shown = "; ".join(f"{refusal.giver_id} {refusal.reason}" for refusal in refusals[:5])
    more = f"; and {len(refusals) - 5} more" if len(refusals) > 5 else ""
    return shown + more
