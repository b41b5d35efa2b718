"""The best giver for a demand, kept up to date as givers change. Pure.

A decision must not look at the whole fleet. Every demand that is asked for has a ranking, a heap of
offers; the fleet keeps a journal of the givers that changed, and a ranking catches up with it when
it is asked next. An entry of a giver that changed since is stale and dropped where it surfaces.

No two tries of a task go to the same owner, so offers are grouped: a heap for each owner (a giver
without one is a group by itself), and a heap of the groups by the best offer of each.
"""

from __future__ import annotations

from collections.abc import Collection
from heapq import heapify, heappop, heappush
from typing import NamedTuple

from seeker.expression import Attributes
from seeker.fleet import Fleet
from seeker.model import Giver
from seeker.placement import (
    Demand,
    Offer,
    Refused,
    consider,
    hindrance,
    load_after,
    score,
    summarise,
    too_few_owners,
    unfit,
)


class _Entry(NamedTuple):
    score: float
    tie: int
    giver_id: str
    version: int
    """Of the giver, when it was considered."""


class Ranking:
    def __init__(self, demand: Demand, fleet: Fleet) -> None:
        self.demand = demand
        self._fleet = fleet
        self._groups: dict[str, list[_Entry]] = {}
        self._heads: list[tuple[_Entry, str]] = []
        self._seen = -1
        """Up to where the fleet's journal is taken into account; -1: not at all."""
        self._pushed = 0
        self._fit: dict[str, Attributes] = {}
        self._unfit: dict[str, Attributes] = {}
        """Whether a giver would do when idle, as it described itself in these attributes."""
        self._witnesses: dict[str, str] = {}
        """By owner, a giver that would do; as many as are needed, or all there are."""
        self._sought = -1
        """Up to where the fleet's journal has no other owner to add to these; -1: not known."""
        self.looked_at = 0
        """Givers so far."""
        self.explanation = ""
        """Why nobody takes such a task; as of `explained_at`, monotonic."""
        self.explained_at = float("-inf")

    def best(self, taken: Collection[str], now: float) -> Offer | None:
        """The best giver that can take the task now, and is of none of the groups in `taken`.

        Args:
            now: monotonic seconds.
        """
        self._catch_up(now)
        aside = []
        found = None
        while self._heads:
            head, group = self._heads[0]
            current = self._current(group)
            if current is None or current is not head:
                heappop(self._heads)
                if current is not None and current < head:
                    continue  # A better head of that group is in the heap already.
                if current is not None:
                    heappush(self._heads, (current, group))
                continue
            if group in taken:
                aside.append(heappop(self._heads))
                continue
            giver = self._fleet.givers[head.giver_id]
            offer = consider(giver, self.demand, now)
            if isinstance(offer, Offer):
                found = offer
                break
            # Refused by the clock alone: the fleet's journal names it when its pause is over.
            heappop(self._groups[group])
        for put_aside in aside:
            heappush(self._heads, put_aside)
        if not self._heads:
            self._groups = {}  # Nothing that is not stale is left in them.
            self._pushed = 0
        return found

    def enough_owners(self) -> bool:
        """Whether as many have a giver that would do, busy or not, as the demand needs.

        Whoever was found is asked again, and all others only when they changed: a task may be held
        back for weeks.
        """
        needed = self.demand.owners
        if needed == 1:
            return True
        for owner, giver_id in list(self._witnesses.items()):
            if self._owner_of(giver_id) != owner:
                del self._witnesses[owner]
                self._sought = -1  # Another giver of the owner's may do.
        if len(self._witnesses) < needed:
            changed = self._fleet.changed_since(self._sought)
            self._sought = self._fleet.position
            for giver_id in self._fleet.givers if changed is None else changed:
                found = self._owner_of(giver_id)
                if found is not None:
                    self._witnesses[found] = giver_id
                if len(self._witnesses) == needed:
                    self._sought = -1  # The rest was not looked at.
                    break
        return len(self._witnesses) >= needed

    def _owner_of(self, giver_id: str) -> str | None:
        """The group of a giver that would do."""
        self.looked_at += 1
        giver = self._fleet.givers.get(giver_id)
        does = giver is not None and giver.cordon is None and self._fits(giver)
        return giver.group if giver is not None and does else None

    def shed(self) -> None:
        """Give back the memory. Where there is no offer, those that change are all there may be;
        else everybody is looked at when it is asked next."""
        if self._heads:
            self._seen = -1
        self._groups, self._heads, self._pushed = {}, [], 0
        self._fit, self._unfit = {}, {}

    def explain(self, now: float) -> None:
        """Bring `explanation` up to date, which means to look at everybody."""
        answers = (consider(giver, self.demand, now) for giver in self._fleet.givers.values())
        self.explanation = summarise([each for each in answers if isinstance(each, Refused)])
        if self._witnesses and not self.enough_owners():
            self.explanation = too_few_owners(len(self._witnesses), self.demand.owners)
        self.explained_at = now

    def _current(self, group: str) -> _Entry | None:
        """The group's best offer that is not stale."""
        entries = self._groups[group]
        while entries:
            giver = self._fleet.givers.get(entries[0].giver_id)
            if giver is not None and giver.version == entries[0].version:
                return entries[0]
            heappop(entries)
        return None

    def _catch_up(self, now: float) -> None:
        changed = self._fleet.changed_since(self._seen)
        if changed is None or self._pushed > 4 * len(self._fleet.givers) + 1000:
            self._rebuild(now)
        else:
            for giver_id in changed:
                self._push(giver_id, now)
        self._seen = self._fleet.position

    def _push(self, giver_id: str, now: float) -> None:
        giver = self._fleet.givers.get(giver_id)
        entry = self._entry(giver, now) if giver is not None else None
        if giver is None or entry is None:
            return
        entries = self._groups.setdefault(giver.group, [])
        heappush(entries, entry)
        self._pushed += 1
        if entries[0] is entry:
            heappush(self._heads, (entry, giver.group))

    def _entry(self, giver: Giver, now: float) -> _Entry | None:
        """Agrees with `consider`, and costs a fraction of it."""
        self.looked_at += 1
        load = load_after(giver, self.demand.resources)
        if hindrance(giver, self.demand, load, now) is not None or not self._fits(giver):
            return None
        return _Entry(score(giver, self.demand, load), giver.tie, giver.id, giver.version)

    def _fits(self, giver: Giver) -> bool:
        if self._fit.get(giver.id) is giver.attributes:
            return True
        if self._unfit.get(giver.id) is giver.attributes:
            return False
        fits = unfit(giver, self.demand) is None
        (self._fit if fits else self._unfit)[giver.id] = giver.attributes
        return fits

    def _rebuild(self, now: float) -> None:
        self._pushed = 0
        self._groups = {}
        for known in (self._fit, self._unfit):
            for gone in known.keys() - self._fleet.givers.keys():
                del known[gone]
        for giver in self._fleet.givers.values():
            entry = self._entry(giver, now)
            if entry is not None:
                self._groups.setdefault(giver.group, []).append(entry)
        for entries in self._groups.values():
            heapify(entries)
        self._heads = [(entries[0], group) for group, entries in self._groups.items()]
        heapify(self._heads)
