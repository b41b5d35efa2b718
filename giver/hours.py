"""Hours of the week, as `mon-fri 18:00-08:00, sat-sun`. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime

_DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY_MINUTES = 24 * 60
_WEEK_MINUTES = 7 * _DAY_MINUTES
_PART = re.compile(
    r"(?P<first>[a-z]{3})?(?:-(?P<last>[a-z]{3}))?\s*"
    r"(?:(?P<from_h>\d{1,2}):(?P<from_m>\d{2})-(?P<to_h>\d{1,2}):(?P<to_m>\d{2}))?"
)


@dataclass(frozen=True, slots=True)
class Hours:
    """Times of the week; a span over midnight belongs to the day on which it begins."""

    text: str
    spans: tuple[tuple[int, int], ...]
    """Minutes since Monday 00:00, the end excluded and perhaps in the next week."""

    def __str__(self) -> str:
        return self.text

    def open_at(self, time: datetime) -> bool:
        minute = time.weekday() * _DAY_MINUTES + time.hour * 60 + time.minute
        moments = (minute, minute + _WEEK_MINUTES)
        return any(begin <= at < end for begin, end in self.spans for at in moments)


def parse(text: str) -> Hours:
    """
    Raises:
        ValueError: names the part that does not fit.
    """
    spans: list[tuple[int, int]] = []
    for part in filter(None, (piece.strip().lower() for piece in text.split(","))):
        found = _PART.fullmatch(part)
        if found is None:
            raise ValueError(_misfit(part))
        begin, end = _times(found, part)
        spans += [
            (day * _DAY_MINUTES + begin, day * _DAY_MINUTES + end) for day in _days(found, part)
        ]
    if not spans:
        raise ValueError(_misfit(text))
    return Hours(text, tuple(spans))


def _days(found: re.Match[str], part: str) -> list[int]:
    first, last = found["first"], found["last"]
    if first is None:
        if last is not None:
            raise ValueError(_misfit(part))
        return list(range(7))
    if first not in _DAYS or (last or first) not in _DAYS:
        raise ValueError(_misfit(part))
    begin = _DAYS.index(first)
    count = (_DAYS.index(last or first) - begin) % 7 + 1
    return [(begin + step) % 7 for step in range(count)]


def _times(found: re.Match[str], part: str) -> tuple[int, int]:
    if found["from_h"] is None:
        return 0, _DAY_MINUTES
    begin = int(found["from_h"]) * 60 + int(found["from_m"])
    end = int(found["to_h"]) * 60 + int(found["to_m"])
    if begin >= _DAY_MINUTES or end > _DAY_MINUTES or max(found["from_m"], found["to_m"]) > "59":
        raise ValueError(_misfit(part))
    return begin, end if end > begin else end + _DAY_MINUTES


def _misfit(part: str) -> str:
    return f"{part!r} are no hours: give them as `mon-fri 18:00-08:00, sat-sun` or `22:00-06:00`"
