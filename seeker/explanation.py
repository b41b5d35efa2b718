"""Where a task would go and why, giver by giver; what was tried, and what it waits for. Pure.

It asks `placement` the questions that the leader asks, of the givers as the leader last wrote them
down.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from schemas.job import Resources
from schemas.states import TaskState
from seeker import placement
from seeker.model import Giver, Load, Now, Task
from seeker.placement import Demand, Offer, Refused


@dataclass(frozen=True, slots=True, kw_only=True)
class Explanation:
    offers: list[Offer]
    """The best first."""
    refusals: list[Refused]
    """First those that may pass."""
    short: str = ""
    """Why the task is not begun though somebody would take it."""

    @property
    def kinds(self) -> dict[str, int]:
        """How many givers refuse for which kind of reason, the commonest first."""
        return dict(Counter(refused.kind for refused in self.refusals).most_common())

    @property
    def remedy(self) -> str:
        """What has to happen before a task that waits goes out."""
        if self.short:
            return self.short
        if self.offers:
            return f"none: it goes to {self.offers[0].giver.id} when it is its turn"
        return placement.remedy(self.refusals)

    def first(self, count: int) -> list[str]:
        """The givers that `count` replicas would go to, of which no two are of the same owner."""
        chosen: dict[str, str] = {}
        for offer in self.offers:
            chosen.setdefault(offer.giver.group, offer.giver.id)
        return list(chosen.values())[:count]

    def document(self) -> dict[str, Any]:
        """`{givers: [{giver_id, score, parts} or {giver_id, refused, kind, lasting}], refusals}`"""
        offered = [
            {"giver_id": offer.giver.id, "score": offer.score, "parts": offer.parts}
            for offer in self.offers
        ]
        refused = [
            {
                "giver_id": refused.giver_id,
                "refused": refused.reason,
                "kind": refused.kind,
                "lasting": refused.lasting,
            }
            for refused in self.refusals
        ]
        return {"givers": [*offered, *refused], "refusals": self.kinds}


def explain(
    givers: Collection[Giver], demand: Demand, groups: Collection[str], now: Now
) -> Explanation:
    """
    Args:
        groups: those that are at the task already, or have voted.
    """
    offers, refusals = [], []
    for giver in givers:
        answer = placement.tried(giver, groups) or placement.consider(giver, demand, now.monotonic)
        if isinstance(answer, Offer):
            offers.append(answer)
        else:
            refusals.append(answer)
    offers.sort(key=lambda offer: (offer.score, offer.giver.tie, offer.giver.id))
    refusals.sort(key=lambda refused: (refused.lasting, refused.giver_id))
    would_do = {offer.giver.group for offer in offers}
    by_id = {giver.id: giver for giver in givers}
    would_do |= {by_id[each.giver_id].group for each in refusals if not each.lasting}
    short = ""
    if would_do and not groups and len(would_do) < demand.owners:
        short = placement.too_few_owners(len(would_do), demand.owners)
    return Explanation(offers=offers, refusals=refusals, short=short)


def load(givers: Iterable[Giver], live: Iterable[tuple[str, Resources, int]]) -> None:
    """Give each giver the load of the live assignments, rather than that of its own document,
    which lags some seconds.

    Args:
        live: giver, what one assignment takes, how many of them.
    """
    loads: defaultdict[str, Load] = defaultdict(Load)
    for giver_id, each, count in live:
        for _ in range(count):
            placement.take(loads[giver_id], each)
    for giver in givers:
        giver.load = loads[giver.id]


def waits(task: Task) -> bool:
    """Whether the task wants a giver, as far as can be told from what is written down."""
    if task.state.final or task.withdrawn is not None:
        return False
    live = sum(assignment.live for assignment in task.of_this_round)
    return (
        task.state is TaskState.PENDING
        or not live
        or live + len(task.votes) < task.job.spec.agreement.replicas
    )
