"""Whether a giver can take a task, how good it is for it, and why. Pure.

Hard limits first, each refusal with its reason, then a score that is a sum of named parts, the
lowest the best. Its unit is the task's own run time on an idle reference core.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import NamedTuple

from schemas.heartbeat import Capacity
from schemas.job import Grants, JobSpec, Placement, Resources
from schemas.policy import excess
from schemas.states import GiverState
from seeker import expression, specs
from seeker.model import Giver, Load

IMAGE_ABSENT = 0.5
"""What a pull weighs."""
UNRELIABLE = 2.0
"""What a giver weighs of which every run fails; one whose runs never fail weighs nothing."""
LABEL_SHOWN = 200
"""Characters of a giver's label in an explanation: the giver may say as much as it likes."""
STRATEGY = 0.1
"""What the difference between an empty and a full giver weighs, beside speed and queue."""

MORE = "ask for less, or add a giver that has more"
OTHER_PLATFORM = "ask for another platform, or add a giver of this one"


@dataclass(frozen=True, slots=True)
class Demand:
    """What the tasks of a job ask of a giver. Jobs that ask the same share one ranking."""

    image: str
    resources: Resources
    grants: Grants
    timeout_s: float
    placement: Placement
    owners: int
    """Different ones must have a giver that would do, or no such task is begun."""
    key: str
    """Equal for equal demands."""

    @classmethod
    def of(cls, spec: JobSpec) -> Demand:
        container = spec.container
        return cls(
            container.image,
            container.resources,
            container.grants,
            container.timeout_s,
            spec.placement,
            specs.owners_needed(spec),
            specs.demand_key(spec),
        )

    def on(self, platform: str) -> Demand:
        """The same, but only on this platform."""
        os, _, architecture = platform.partition("/")
        placement = self.placement.model_copy(update={"os": os, "architecture": architecture})
        # A key of its own, also where the demand names the platform already.
        return replace(self, placement=placement, key=f"{self.key}\non {platform}")


class Offer(NamedTuple):
    """A giver that can take the task now."""

    giver: Giver
    parts: dict[str, float]
    score: float
    """The sum of the parts; the lowest is the best."""


class Refused(NamedTuple):
    giver_id: str
    reason: str
    kind: str
    """The reason without its figures, to count alike ones."""
    remedy: str
    """What a person can do; of what passes by itself, what will have happened then."""
    lasting: bool = False
    """Waiting for other tasks to finish would not help."""


def consider(giver: Giver, demand: Demand, now: float) -> Offer | Refused:
    """
    Args:
        now: monotonic seconds.
    """
    refused = unfit(giver, demand)
    if refused is not None:
        return refused
    load = load_after(giver, demand.resources)
    return hindrance(giver, demand, load, now) or _offer(giver, demand, load)


def tried(giver: Giver, groups: Iterable[str]) -> Refused | None:
    """Refuse a giver that is at the task already or has voted, and one of the same owner."""
    if giver.group not in groups:
        return None
    reason = (
        f"it, or another giver of {giver.beat.owner}, has this task already"
        if giver.beat.owner
        else "has this task already"
    )
    kind = "have this task already, or their owner has"
    remedy = "add a giver that has not had this task, nor has its owner"
    return Refused(giver.id, reason, kind, remedy, lasting=True)


def unfit(giver: Giver, demand: Demand) -> Refused | None:
    """Why the giver will not do even when idle: by what it says of itself, until it says else."""
    short = lacking(giver.beat.capacity, demand.resources)
    if short is not None:
        return Refused(giver.id, *short, remedy=MORE, lasting=True)
    wrong = excess(giver.beat.policy, demand) or _mismatch(giver, demand.placement)
    return Refused(giver.id, *wrong, lasting=True) if wrong is not None else None


def hindrance(giver: Giver, demand: Demand, load: float, now: float) -> Refused | None:
    """What keeps a giver that would do from taking the task now. `load`: with the task."""
    if giver.cordon is not None:
        because = f": {giver.cordon.reason}" if giver.cordon.reason else ""
        kind = f"are {giver.cordon.kind} by the operator"
        reason = f"{giver.cordon.kind} by the operator{because}"
        remedy = f"`seeker givers resume {giver.id}`"
        return Refused(giver.id, reason, kind, remedy, lasting=True)
    if giver.session is None or giver.unreachable:
        return Refused(giver.id, "is not connected", "are not connected", "is connected again")
    state = giver.beat.state
    if state is not GiverState.READY:
        detail = f": {giver.beat.state_reason}" if giver.beat.state_reason else ""
        return Refused(giver.id, f"is {state}{detail}", f"are {state}", "is ready again")
    setback = giver.setbacks.get(demand.image)
    if setback is not None and now < setback.until:
        times = f"{setback.count} times" if setback.count > 1 else "once"
        return Refused(
            giver.id,
            f"failed {times} with this image, and pauses for {setback.until - now:.0f} s",
            "pause after failures with this image",
            "has paused",
        )
    if load > giver.most_load:
        return Refused(giver.id, "is full", "are full", "has room")
    return None


def _mismatch(giver: Giver, wanted: Placement) -> tuple[str, str, str] | None:
    """Reason, kind and remedy."""
    beat = giver.beat
    if wanted.os and wanted.os != beat.platform.os:
        return (
            f"runs {beat.platform.os}, {wanted.os} is needed",
            "have another operating system",
            OTHER_PLATFORM,
        )
    if wanted.architecture and wanted.architecture != beat.platform.architecture:
        return (
            f"is {beat.platform.architecture}, {wanted.architecture} is needed",
            "have another architecture",
            OTHER_PLATFORM,
        )
    for name, value in wanted.labels.items():
        if beat.labels.get(name) != value:
            has = f"={beat.labels[name][:LABEL_SHOWN]}" if name in beat.labels else " is absent"
            return (
                f"label {name}{has}, {name}={value} is needed",
                f"lack label {name}={value}",
                f"do without the label {name}={value}, or add a giver that has it",
            )
    if wanted.require and giver.evaluate(wanted.require) is not True:
        return (
            f"does not fulfil {wanted.require}",
            f"do not fulfil {wanted.require}",
            f"require something else than {wanted.require}, or add a giver that fulfils it",
        )
    return None


def score(giver: Giver, demand: Demand, load: float) -> float:
    """Of an offer; the lowest is the best. `load`: with the task."""
    return sum(_parts(giver, demand, load).values())


def _offer(giver: Giver, demand: Demand, load: float) -> Offer:
    parts = _parts(giver, demand, load)
    return Offer(giver, parts, sum(parts.values()))


def _parts(giver: Giver, demand: Demand, load: float) -> dict[str, float]:
    wanted = demand.placement
    speed = giver.beat.speed.single if giver.beat.speed else 1.0
    parts = {
        # One run, after those that wait before it, on this giver's cores.
        "completion": (1 + max(0.0, load - 1)) / speed,
        "image": 0.0 if demand.image in giver.images else IMAGE_ABSENT,
        "reliability": UNRELIABLE * (1 - giver.reliability),
        wanted.strategy: STRATEGY * (load if wanted.strategy == "spread" else -load),
    }
    if wanted.prefer:
        parts["preference"] = -expression.number(giver.evaluate(wanted.prefer))
    return parts


def lacking(capacity: Capacity, needed: Resources) -> tuple[str, str] | None:
    """What of the task's needs exceeds the giver as a whole, and the kind of that."""
    if needed.cpus > capacity.cpus:
        return f"has {capacity.cpus:g} CPUs, {needed.cpus:g} are needed", "have too few CPUs"
    if needed.memory_bytes > capacity.memory_bytes:
        return (
            f"has {_mib(capacity.memory_bytes)} of memory, {_mib(needed.memory_bytes)} are needed",
            "have too little memory",
        )
    if needed.disk_bytes > capacity.disk_bytes:
        return (
            f"has {_mib(capacity.disk_bytes)} of disk, {_mib(needed.disk_bytes)} are needed",
            "have too little disk",
        )
    if needed.gpus > capacity.gpus:
        return f"has {capacity.gpus} GPUs, {needed.gpus} are needed", "have too few GPUs"
    if capacity.containers < 1:
        return "runs no containers", "run no containers"
    return None


def load_after(giver: Giver, needed: Resources) -> float:
    """The scarcest resource's share in use with the task added; above 1 it would wait there."""
    load, capacity = giver.load, giver.beat.capacity
    shares = [
        (load.cpus + needed.cpus) / capacity.cpus,
        (load.memory_bytes + needed.memory_bytes) / capacity.memory_bytes,
        (load.containers + 1) / capacity.containers,
    ]
    if needed.disk_bytes:
        shares.append((load.disk_bytes + needed.disk_bytes) / capacity.disk_bytes)
    if needed.gpus:
        shares.append((load.gpus + needed.gpus) / capacity.gpus)
    return max(shares)


def take(load: Load, needed: Resources, sign: int = 1) -> None:
    """Add a task to a load, or with `sign` -1 take it away."""
    load.cpus += sign * needed.cpus
    load.memory_bytes += sign * needed.memory_bytes
    load.disk_bytes += sign * needed.disk_bytes
    load.gpus += sign * needed.gpus
    load.containers += sign
    if not load.containers:
        load.cpus = 0.0  # Fractions added and taken away leave dust.


def too_few_owners(owners: int, needed: int) -> str:
    """Why a task that needs more is not begun; `owners`: those that have a giver that would do."""
    return (
        f"givers of {needed} different owners have to agree, and those of {owners} would do: "
        "add one of another owner, ask for less, or lower the quorum"
    )


def summarise(refusals: list[Refused]) -> str:
    """Why nobody takes a task, in one line for a person."""
    if not refusals:
        return "no giver is known: start one with `giver run`"
    if len(refusals) <= 3:
        return "; ".join(f"{refused.giver_id} {refused.reason}" for refused in refusals)
    kinds = Counter(refused.kind for refused in refusals)
    counted = "; ".join(f"{count} {kind}" for kind, count in kinds.most_common(5))
    return f"of {len(refusals)} givers {counted}"


def remedy(refusals: list[Refused]) -> str:
    """What would have to change for a task that waits, as far as that can be told."""
    if not refusals:
        return "start a giver with `giver run`"
    passing = [refused for refused in refusals if not refused.lasting]
    # What helps with most of them first.
    counted = Counter(refused.remedy for refused in passing or refusals).most_common(3)
    remedies = [each for each, _ in counted]
    if passing:
        return f"it goes out as soon as one of them {' or '.join(remedies)}"
    return f"no giver at hand will do: {'; or '.join(remedies)}"


def _mib(size: int) -> str:
    return f"{size / 2**20:.0f} MiB"
