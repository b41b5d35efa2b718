"""What an owner's word and limits mean for a giver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from giver.hours import parse
from giver.owner import OPEN, Limits, Sample, Word, judge
from schemas.states import GiverState

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def sample(seconds: float = 0, **host: Any) -> Sample:
    return Sample(wall=NOON + timedelta(seconds=seconds), **host)


def test_without_a_word_and_limits_all_is_allowed() -> None:
    host = sample(sessions=5, on_battery=True, free_disk=0)
    assert judge(Limits(), Word(), host) == OPEN


def test_pause_freezes_and_ends_with_its_time() -> None:
    limits = Limits()
    word = Word(asked="pause", until=(NOON + timedelta(hours=2)).timestamp())
    verdict = judge(limits, word, sample())
    assert verdict.state is GiverState.PAUSED
    assert verdict.freeze
    assert not verdict.start
    assert verdict.reason == "paused by its owner until 2024-01-01 14:00"
    assert judge(limits, word, sample(7199)).freeze
    assert judge(limits, word, sample(7200)) == OPEN


def test_drain_lets_what_waits_here_start() -> None:
    verdict = judge(Limits(), Word(asked="drain"), sample())
    assert (verdict.state, verdict.freeze, verdict.start) == (GiverState.DRAINING, False, True)


@pytest.mark.parametrize(
    ("limits", "host", "reason"),
    [
        ({"hours": parse("18:00-08:00")}, {}, "out of hours (18:00-08:00)"),
        ({"no_battery": True}, {"on_battery": True}, "the host runs on battery"),
        ({"no_sessions": True}, {"sessions": 1}, "somebody is logged in"),
        ({"others_cpu": 0.3}, {"others_cpu": 0.31}, "others use more than 30% of the CPUs"),
    ],
)
def test_a_limit_freezes_or_only_takes_nothing_new(
    limits: dict[str, Any], host: dict[str, Any], reason: str
) -> None:
    frozen = judge(Limits(**limits), Word(), sample(**host))
    assert (frozen.state, frozen.reason) == (GiverState.PAUSED, reason)
    assert frozen.freeze
    run_on = judge(Limits(**limits, at_limit="run_on"), Word(), sample(**host))
    assert (run_on.state, run_on.reason) == (GiverState.DRAINING, reason)
    assert not run_on.freeze
    assert not run_on.start


@pytest.mark.parametrize(
    "limits",
    [{"no_battery": True}, {"no_sessions": True}, {"min_free_disk": 9}, {"others_cpu": 0.1}],
)
def test_what_cannot_be_told_limits_nothing(limits: dict[str, Any]) -> None:
    assert judge(Limits(**limits), Word(), sample()) == OPEN


def test_a_full_disk_stops_the_intake_and_never_freezes() -> None:
    limits = Limits(min_free_disk=2 << 30)
    verdict = judge(limits, Word(), sample(free_disk=1 << 30))
    assert (verdict.state, verdict.freeze) == (GiverState.DRAINING, False)
    assert verdict.reason == "less than 2.0 GiB of disk are free"
    assert judge(limits, Word(), sample(free_disk=2 << 30)) == OPEN


def test_a_drained_giver_is_frozen_all_the_same_when_a_limit_begins() -> None:
    assert judge(Limits(no_battery=True), Word(asked="drain"), sample(on_battery=True)).freeze
