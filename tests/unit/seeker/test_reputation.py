"""Reputation is earned by agreeing, fades, and is lost by one lie; trust follows from it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from seeker.reputation import (
    CLASSES_KEPT,
    HALF_LIFE_S,
    TRUSTED_AFTER,
    UNCHECKED_KEPT,
    Reputation,
    image_class,
)

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def agreeing(times: int, image: str = "tool:1", reputation: Reputation | None = None) -> Reputation:
    reputation = reputation or Reputation()
    for number in range(times):
        reputation.count(f"task-{number}", image, agrees=True, now=NOON)
    return reputation


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ("tool", "tool"),
        ("tool:1.2", "tool"),
        ("host:5000/team/tool", "host:5000/team/tool"),
        ("host:5000/team/tool:1@sha256:ab", "host:5000/team/tool"),
    ],
)
def test_versions_of_an_image_are_one_class(image: str, expected: str) -> None:
    assert image_class(image) == expected


def test_a_stranger_is_neither_good_nor_bad_and_not_trusted() -> None:
    assert Reputation().overall.reputation(NOON) == 0.5
    assert not Reputation().trusted("tool:1")


def test_trust_is_earned_for_one_class_of_images() -> None:
    assert not agreeing(TRUSTED_AFTER - 1).trusted("tool:1")
    trusted = agreeing(TRUSTED_AFTER)
    assert trusted.trusted("tool:2")
    assert not trusted.trusted("other:1")


def test_one_lie_ends_trust_in_everything_and_doubles_the_way_back() -> None:
    reputation = agreeing(TRUSTED_AFTER, "other:1", agreeing(TRUSTED_AFTER))
    reputation.count("task-x", "tool:1", agrees=False, now=NOON)
    assert not reputation.trusted("tool:1")
    assert not reputation.trusted("other:1")
    assert "task-x" in reputation.explain(NOON)
    assert not agreeing(TRUSTED_AFTER, reputation=reputation).trusted("tool:1")
    assert agreeing(TRUSTED_AFTER, reputation=reputation).trusted("tool:1")


def test_what_was_said_long_ago_weighs_less() -> None:
    reputation = agreeing(6)
    later = NOON + timedelta(seconds=HALF_LIFE_S)
    assert reputation.overall.reputation(NOON) == 7 / 8
    assert reputation.overall.reputation(later) == 4 / 5
    reputation.count("task", "tool:1", agrees=False, now=later)
    assert reputation.overall.agreed == 3
    assert reputation.overall.reputation(later) == 4 / 6


def test_a_clock_that_was_set_back_makes_nothing_weigh_more() -> None:
    assert agreeing(6).overall.reputation(NOON - timedelta(days=300)) == 7 / 8


def test_memory_is_bounded() -> None:
    reputation = Reputation()
    for number in range(CLASSES_KEPT + 5):
        reputation.count("task", f"tool-{number}", agrees=True, now=NOON)
    for number in range(UNCHECKED_KEPT + 5):
        reputation.believed_alone(f"task-{number}")
    assert len(reputation.by_class) == CLASSES_KEPT
    assert "tool-0" not in reputation.by_class
    assert reputation.unchecked[0] == "task-5"


def test_a_lie_calls_for_a_review_of_what_was_believed_unchecked() -> None:
    reputation = Reputation()
    reputation.believed_alone("task-1")
    reputation.believed_alone("task-2")
    reputation.count("task-3", "tool:1", agrees=False, now=NOON)
    assert (reputation.unchecked, reputation.to_review) == ([], ["task-1", "task-2"])
    reputation.reviewed(["task-1"])
    assert reputation.to_review == ["task-2"]
