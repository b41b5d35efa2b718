"""What an owner's word and limits mean for a giver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from giver.hours import parse
from giver.owner import OPEN, Judge, Limits, Sample, Word
from schemas.states import GiverState

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def sample(seconds: float = 0, **host: Any) -> Sample:
    return Sample(wall=NOON + timedelta(seconds=seconds), monotonic=seconds, **host)


def test_without_a_word_and_limits_all_is_allowed() -> None:
    host = sample(others_cpus=64.0, sessions=5, on_battery=True, free_disk=0)
    assert Judge(Limits()).judge(Word(), host) == OPEN


def test_pause_freezes_and_ends_with_its_time() -> None:
    judge = Judge(Limits())
    word = Word(asked="pause", until=(NOON + timedelta(hours=2)).timestamp())
    verdict = judge.judge(word, sample())
    assert verdict.state is GiverState.PAUSED
    assert verdict.freeze
    assert not verdict.start
    assert verdict.reason == "paused by its owner until 2024-01-01 14:00"
    assert judge.judge(word, sample(7199)).freeze
    assert judge.judge(word, sample(7200)) == OPEN


def test_drain_lets_what_waits_here_start() -> None:
    verdict = Judge(Limits()).judge(Word(asked="drain"), sample())
    assert (verdict.state, verdict.freeze, verdict.start) == (GiverState.DRAINING, False, True)


@pytest.mark.parametrize(
    ("limits", "host", "reason"),
    [
        ({"hours": parse("18:00-08:00")}, {}, "out of hours (18:00-08:00)"),
        ({"no_battery": True}, {"on_battery": True}, "the host runs on battery"),
        ({"no_sessions": True}, {"sessions": 1}, "somebody is logged in"),
        (
            {"others_cpus": 0.5},
            {"others_cpus": 0.6},
            "others are at work on the host (more than 0.5 CPUs)",
        ),
    ],
)
def test_a_limit_freezes_or_only_takes_nothing_new(
    limits: dict[str, Any], host: dict[str, Any], reason: str
) -> None:
    frozen = Judge(Limits(**limits)).judge(Word(), sample(**host))
    assert (frozen.state, frozen.reason) == (GiverState.PAUSED, reason)
    assert frozen.freeze
    run_on = Judge(Limits(**limits, at_limit="run_on")).judge(Word(), sample(**host))
    assert (run_on.state, run_on.reason) == (GiverState.DRAINING, reason)
    assert not run_on.freeze
    assert not run_on.start


@pytest.mark.parametrize(
    "limits",
    [{"no_battery": True}, {"no_sessions": True}, {"others_cpus": 1.0}, {"min_free_disk": 9}],
)
def test_what_cannot_be_told_limits_nothing(limits: dict[str, Any]) -> None:
    assert Judge(Limits(**limits)).judge(Word(), sample()) == OPEN


def test_a_full_disk_stops_the_intake_and_never_freezes() -> None:
    judge = Judge(Limits(min_free_disk=2 << 30))
    verdict = judge.judge(Word(), sample(free_disk=1 << 30))
    assert (verdict.state, verdict.freeze) == (GiverState.DRAINING, False)
    assert verdict.reason == "less than 2.0 GiB of disk are free"
    assert judge.judge(Word(), sample(free_disk=2 << 30)) == OPEN


def test_a_busy_moment_counts_until_it_was_quiet_long_enough() -> None:
    judge = Judge(Limits(others_cpus=1.0, quiet_s=60))
    assert judge.judge(Word(), sample(0, others_cpus=1.0)) == OPEN
    assert judge.judge(Word(), sample(10, others_cpus=1.1)).freeze
    assert judge.judge(Word(), sample(69, others_cpus=0.1)).freeze
    assert judge.judge(Word(), sample(70, others_cpus=0.1)) == OPEN


def test_others_at_work_during_a_pause_are_remembered_after_it() -> None:
    judge = Judge(Limits(others_cpus=1.0, quiet_s=60))
    judge.judge(Word(asked="pause"), sample(0, others_cpus=2.0))
    assert judge.judge(Word(), sample(30, others_cpus=0.0)).reason.startswith("others")


def test_a_drained_giver_is_frozen_all_the_same_when_a_limit_begins() -> None:
    judge = Judge(Limits(no_battery=True))
    assert judge.judge(Word(asked="drain"), sample(on_battery=True)).freeze
