"""What the owner allows now: their word first, then the limits they set. Pure.

A word holds until it is taken back or its time is over, across restarts. A limit holds as long as
its condition: out of hours, somebody logged in, on battery, CPUs in use, too little disk.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from giver.hours import Hours
from schemas.states import GiverState

Asked = Literal["open", "pause", "drain"]
AtLimit = Literal["freeze", "run_on"]
GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Word:
    """What the owner said last."""

    asked: Asked = "open"
    until: float | None = None
    """Seconds since the epoch; `None`: until something else is said."""

    def at(self, now: float) -> Word:
        """It, or that there is none any more."""
        return Word() if self.until is not None and now >= self.until else self


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """`None` and false: no such limit."""

    hours: Hours | None = None
    no_sessions: bool = False
    no_battery: bool = False
    others_cpu: float | None = None
    """The share of the host's CPUs that others may take while we give..."""
    idle_for_s: float = 10.0
    """...and for how long it must have been no more."""
    min_free_disk: int | None = None
    at_limit: AtLimit = "freeze"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """The host now; `None`: it cannot be told here, and limits nothing."""

    wall: datetime
    """By the host's own time zone."""
    sessions: int | None = None
    on_battery: bool | None = None
    others_cpu: float | None = None
    free_disk: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    state: GiverState = GiverState.READY
    reason: str = ""
    freeze: bool = False
    """What runs stands still."""
    start: bool = True
    """What waits here may start."""


OPEN = Verdict()


def judge(limits: Limits, word: Word, sample: Sample) -> Verdict:
    word = word.at(sample.wall.timestamp())
    if word.asked == "pause":
        reason = f"paused by its owner{_until(word, sample.wall)}"
        return Verdict(state=GiverState.PAUSED, reason=reason, freeze=True, start=False)
    limit = _limit(limits, sample)
    if limit is not None and limits.at_limit == "freeze":
        return Verdict(state=GiverState.PAUSED, reason=limit, freeze=True, start=False)
    if limit is not None:
        return Verdict(state=GiverState.DRAINING, reason=limit, start=False)
    if word.asked == "drain":
        reason = f"drained by its owner{_until(word, sample.wall)}"
        return Verdict(state=GiverState.DRAINING, reason=reason)
    least = limits.min_free_disk
    if least is not None and sample.free_disk is not None and sample.free_disk < least:
        reason = f"less than {least / GIB:.1f} GiB of disk are free"
        return Verdict(state=GiverState.DRAINING, reason=reason, start=False)
    return OPEN


def _limit(limits: Limits, sample: Sample) -> str | None:
    if limits.hours is not None and not limits.hours.open_at(sample.wall):
        return f"out of hours ({limits.hours})"
    if limits.no_battery and sample.on_battery:
        return "the host runs on battery"
    if limits.no_sessions and sample.sessions:
        return "somebody is logged in"
    most = limits.others_cpu
    if most is not None and sample.others_cpu is not None and sample.others_cpu > most:
        # Without the present figure: each other one would be news.
        return f"others use more than {most:.0%} of the CPUs"
    return None


def _until(word: Word, wall: datetime) -> str:
    if word.until is None:
        return ""
    return f" until {datetime.fromtimestamp(word.until, wall.tzinfo):%Y-%m-%d %H:%M}"
