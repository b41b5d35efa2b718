from __future__ import annotations

from typing import Any

from channel.documents import Document
from channel.registrations import WRITE_INTERVAL_S, Registry


def heard(giver: str = "a", **told: Any) -> Document:
    return {"_id": giver, "state": "ready", **told}


def test_a_giver_not_heard_before_is_due() -> None:
    assert Registry().due([heard("a"), heard("b")], 0.0) == [heard("a"), heard("b")]


def test_only_the_latest_word_of_a_giver_counts() -> None:
    assert Registry().due([heard(state="ready"), heard(state="paused")], 0.0) == [
        heard(state="paused")
    ]


def test_what_is_written_already_is_due_again_only_after_the_interval() -> None:
    registry = Registry()
    registry.wrote([heard()], 100.0)
    assert registry.due([heard()], 100.0 + WRITE_INTERVAL_S - 1) == []
    assert registry.due([heard()], 100.0 + WRITE_INTERVAL_S) == [heard()]


def test_a_change_is_due_at_once() -> None:
    registry = Registry()
    registry.wrote([heard()], 100.0)
    assert registry.due([heard(state="draining")], 100.1) == [heard(state="draining")]


def test_what_could_not_be_written_stays_due() -> None:
    registry = Registry()
    registry.due([heard()], 0.0)
    assert registry.due([heard()], 1.0) == [heard()]
