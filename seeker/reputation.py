"""What a giver's answers say of it: reputation, trust, and when it is checked. Pure.

A vote with the majority of a decided task counts for its giver, one against it counts against it,
in all and for the class of images that it ran; both fade with time. What the giver or its Docker
failed, and what was cancelled, is no lie and counts elsewhere (`Standing.reliability`).

Trust is for adaptive jobs, where a trusted giver is believed alone. It is earned for one class of
images by agreeing many times in a row, and lost for all of them by one vote against a majority;
each time it takes twice as long to earn it again. A trusted giver is still checked at random, as
often as `benchmarks/trust` shows to be needed against one that behaves until it is trusted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field
from datetime import datetime

HALF_LIFE_S = 30 * 86400.0
"""After so long a vote weighs half."""
TRUSTED_AFTER = 30
"""Votes in a row with the majority."""
DOUBLINGS = 10
"""Lies that make the way back to trust twice as long, at the most."""
SPOT_CHECKS = 0.2
"""The share of a trusted giver's tasks that others run, too."""
CLASSES_KEPT = 50
"""Of a giver, those that it voted for last."""
UNCHECKED_KEPT = 100
"""Latest tasks decided by one giver alone, to be looked at again should it be caught lying."""


def image_class(image: str) -> str:
    """The repository: what different versions of the same image have in common."""
    name = image.partition("@")[0]
    head, slash, last = name.rpartition("/")
    return f"{head}{slash}{last.partition(':')[0]}"


@dataclass(slots=True, kw_only=True)
class Record:
    """Votes, each weighing less the older it is."""

    agreed: float = 0.0
    """With the majority of a decided task..."""
    disagreed: float = 0.0
    """...and against it."""
    in_a_row: int = 0
    """With the majority since the last one against it."""
    at: datetime | None = None
    """Of the latest vote, to which moment the weights refer."""

    def count(self, *, agrees: bool, now: datetime) -> None:
        fading = self._fading(now)
        self.agreed = self.agreed * fading + agrees
        self.disagreed = self.disagreed * fading + (not agrees)
        self.in_a_row = self.in_a_row + 1 if agrees else 0
        self.at = now

    def reputation(self, now: datetime) -> float:
        """Between 0 and 1; 0.5 for a stranger (Laplace's rule of succession)."""
        fading = self._fading(now)
        agreed, disagreed = self.agreed * fading, self.disagreed * fading
        return (agreed + 1) / (agreed + disagreed + 2)

    def _fading(self, now: datetime) -> float:
        if self.at is None:
            return 1.0
        # Clocks may have been set back meanwhile.
        age_s = max(0.0, (now - self.at).total_seconds())
        return float(0.5 ** (age_s / HALF_LIFE_S))


@dataclass(slots=True, kw_only=True)
class Reputation:
    """Of one giver. It outlives a purge."""

    overall: Record = field(default_factory=Record)
    by_class: dict[str, Record] = field(default_factory=dict)
    """By class of images, the one voted for last at the end."""
    lies: int = 0
    """Votes against the majority, ever."""
    lied_at: datetime | None = None
    lied_about: str = ""
    """The task of the latest."""
    unchecked: list[str] = field(default_factory=list)
    """Tasks that its word alone decided, oldest first."""
    to_review: list[str] = field(default_factory=list)
    """Those of them to be run again by others, as it was caught lying since."""

    def count(self, task_id: str, image: str, *, agrees: bool, now: datetime) -> None:
        """A vote of its turned out to be with the majority, or against it."""
        kind = image_class(image)
        record = self.by_class.pop(kind, None) or Record()
        self.by_class[kind] = record
        if len(self.by_class) > CLASSES_KEPT:
            del self.by_class[next(iter(self.by_class))]
        for each in (self.overall, record):
            each.count(agrees=agrees, now=now)
        if not agrees:
            self.lies += 1
            self.lied_at = now
            self.lied_about = task_id
            self.to_review += self.unchecked
            self.unchecked = []
            for each in self.by_class.values():
                each.in_a_row = 0

    def believed_alone(self, task_id: str) -> None:
        self.unchecked.append(task_id)
        del self.unchecked[:-UNCHECKED_KEPT]

    def reviewed(self, task_ids: Collection[str]) -> None:
        """Reviews of these are on their way."""
        self.to_review = [each for each in self.to_review if each not in task_ids]

    @property
    def trusted_after(self) -> int:
        """Votes in a row that it takes to be trusted."""
        return int(TRUSTED_AFTER * 2 ** min(self.lies, DOUBLINGS))

    def trusted(self, image: str) -> bool:
        record = self.by_class.get(image_class(image))
        return record is not None and record.in_a_row >= self.trusted_after

    def explain(self, now: datetime) -> str:
        """For a person: whom it may answer alone for, and why no others."""
        if not self.by_class:
            return "no vote yet: it is checked always"
        parts = []
        for kind, record in reversed(self.by_class.items()):
            if record.in_a_row >= self.trusted_after:
                parts.append(f"trusted with {kind}, {record.in_a_row} votes agreed in a row")
            else:
                parts.append(
                    f"checked always with {kind}: {record.in_a_row} of {self.trusted_after} votes "
                    "agreed in a row"
                )
        if self.lied_at is not None:
            days = (now - self.lied_at).days
            when = f"{days} days ago" if days > 1 else f"{self.lied_at:%Y-%m-%d %H:%M} UTC"
            parts.append(
                f"{self.lies} votes against a majority, the last {when} about {self.lied_about}"
            )
        return "; ".join(parts)
