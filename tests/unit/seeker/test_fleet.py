"""Who is a member, and from when on silence counts."""

from __future__ import annotations

import pytest

from schemas.heartbeat import Heartbeat
from seeker.fleet import BACKOFF_LONGEST_S, RECONNECT_S, SLACK_S, Fleet
from seeker.model import Now
from tests.unit.seeker.conftest import START, beat


def now(seconds: float) -> Now:
    return Now(seconds, START)


def fleet_of(interval_s: float, sequence: int = 0) -> tuple[Fleet, Heartbeat]:
    fleet = Fleet(strikes=3)
    first = beat("g", interval_s=interval_s, sequence=sequence)
    fleet.hear(first, now(0))
    return fleet, first


def purged(fleet: Fleet, seconds: float) -> bool:
    return bool(fleet.strike_silent(now(seconds))[1])


@pytest.mark.parametrize("interval_s", [0.5, 10.0, 60.0])
def test_three_missed_beats_purge_and_not_a_moment_earlier(interval_s: float) -> None:
    fleet, _ = fleet_of(interval_s)
    assert not purged(fleet, 3 * interval_s + SLACK_S - 0.01)
    assert purged(fleet, 3 * interval_s + SLACK_S + 0.01)


@pytest.mark.parametrize("interval_s", [0.5, 1.0, 10.0, 60.0])
def test_after_the_seeker_was_away_all_have_the_time_to_connect_again(interval_s: float) -> None:
    fleet, _ = fleet_of(interval_s)
    fleet.pardon(now(1000))
    enough = 1000 + max(RECONNECT_S, interval_s) + 2 * interval_s
    assert not purged(fleet, enough)
    assert purged(fleet, enough + SLACK_S + 0.01)


def test_who_was_heard_again_has_no_such_time_any_more() -> None:
    fleet, first = fleet_of(1.0)
    fleet.pardon(now(1000))
    fleet.hear(first.model_copy(update={"sequence": 1}), now(1001))
    assert purged(fleet, 1001 + 3.0 + SLACK_S + 0.01)


def test_a_giver_may_fail_for_months() -> None:
    fleet, _ = fleet_of(10.0)
    giver = fleet.givers["g"]
    seconds = 0.0
    for _ in range(2000):
        seconds += BACKOFF_LONGEST_S
        fleet.back_off(giver, "image", f"job {seconds}", now(seconds))
    assert giver.setbacks["image"].count == 2000
    assert giver.setbacks["image"].until == seconds + BACKOFF_LONGEST_S
