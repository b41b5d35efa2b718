"""The owner's hours."""

from __future__ import annotations

from datetime import datetime, timedelta

import pytest

from giver.hours import parse

MONDAY = datetime(2024, 1, 1)  # noqa: DTZ001 - as the host's clock shows it


def at(day: int, time: str) -> datetime:
    hours, minutes = map(int, time.split(":"))
    return MONDAY + timedelta(days=day, hours=hours, minutes=minutes)


@pytest.mark.parametrize(
    ("text", "day", "time", "is_open"),
    [
        ("mon-fri 18:00-08:00, sat-sun", 0, "17:59", False),
        ("mon-fri 18:00-08:00, sat-sun", 0, "18:00", True),
        ("mon-fri 18:00-08:00, sat-sun", 1, "07:59", True),
        ("mon-fri 18:00-08:00, sat-sun", 1, "08:00", False),
        ("mon-fri 18:00-08:00, sat-sun", 5, "12:00", True),
        # A span over midnight is the day's on which it begins: Monday morning is nobody's.
        ("mon-fri 18:00-08:00, sat-sun", 0, "03:00", False),
        ("22:00-06:00", 6, "23:00", True),
        ("22:00-06:00", 0, "05:59", True),
        ("22:00-06:00", 3, "06:00", False),
        ("fri-mon", 0, "12:00", True),
        ("fri-mon", 3, "12:00", False),
        ("sun 20:00-10:00", 0, "09:59", True),
        ("SAT 08:00-24:00", 5, "23:59", True),
        ("SAT 08:00-24:00", 6, "00:00", False),
    ],
)
def test_hours(text: str, day: int, time: str, is_open: bool) -> None:
    assert parse(text).open_at(at(day, time)) is is_open


@pytest.mark.parametrize(
    "text",
    ["", ",", "mo-fr", "mon-", "mon--fri", "25:00-08:00", "08:00", "08:60-09:00", "8-17", "-fri"],
)
def test_what_is_no_hours_is_named(text: str) -> None:
    with pytest.raises(ValueError, match="give them as"):
        parse(text)
