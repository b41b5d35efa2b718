"""Adaptive jobs: who has earned it is believed alone, all others are checked."""

from __future__ import annotations

import pytest

from schemas.states import TaskState
from seeker import placer
from seeker.model import Assignment
from seeker.reputation import TRUSTED_AFTER
from tests.unit.seeker.conftest import World

ADAPTIVE = {"replicas": 2, "quorum": 2, "adaptive": True}


@pytest.fixture
def never_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placer, "SPOT_CHECKS", 0.0)


@pytest.fixture
def always_checked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placer, "SPOT_CHECKS", 1.0)


def trust(world: World, *giver_ids: str) -> None:
    for giver_id in giver_ids:
        reputation = world.fleet.givers[giver_id].standing.reputation
        for number in range(TRUSTED_AFTER):
            reputation.count(f"task-{number}", "image", agrees=True, now=world.now.wall)


def begin(world: World) -> list[Assignment]:
    world.submit(**ADAPTIVE)
    return world.dispatched()


def test_strangers_are_asked_in_pairs_and_a_third_has_to_agree(world: World) -> None:
    world.join("g1", "g2", "g3")
    first, second = begin(world)
    world.report(first)
    world.report(second)
    (third,) = world.dispatched()
    world.report(third)
    assert first.task.state is TaskState.SUCCEEDED
    assert not first.task.disputed


def test_two_strangers_are_enough_where_nobody_else_is_there(world: World) -> None:
    world.join("g1", "g2", interval_s=3600.0)
    for assignment in begin(world):
        world.report(assignment)
    world.turn()
    (task,) = world.tasks.values()
    assert not task.state.final
    world.pass_time(60)
    assert (task.state, task.disputed) == (TaskState.SUCCEEDED, False)


@pytest.mark.usefixtures("never_checked")
def test_a_trusted_giver_is_believed_alone(world: World) -> None:
    world.join("g1", "g2")
    trust(world, "g1", "g2")
    (only,) = begin(world)
    world.report(only)
    assert only.task.state is TaskState.SUCCEEDED
    assert world.fleet.reputation(only.giver_id).unchecked == [only.task.id]


@pytest.mark.usefixtures("always_checked")
def test_a_trusted_giver_is_checked_at_random(world: World) -> None:
    world.join("g1", "g2")
    trust(world, "g1")
    first, second = begin(world)
    world.report(first)
    assert not first.task.state.final
    world.report(second)
    assert first.task.state is TaskState.SUCCEEDED
    assert world.fleet.reputation("g1").unchecked == []


@pytest.mark.usefixtures("never_checked")
def test_a_second_try_by_a_stranger_has_to_be_confirmed(world: World) -> None:
    world.join("g1")
    trust(world, "g1")
    (first,) = begin(world)
    world.join("g2", "g3")
    world.scheduler.returned([first.id], "g1", world.now)
    second, third = world.dispatched()
    assert "g1" not in (second.giver_id, third.giver_id)
    world.report(second)
    assert not first.task.state.final


@pytest.mark.usefixtures("always_checked")
def test_a_lie_that_is_found_ends_trust(world: World) -> None:
    world.join("g1", "g2", "g3")
    trust(world, "g1", "g2", "g3")
    first, second = begin(world)
    world.report(first, "lie")
    world.report(second)
    (third,) = world.dispatched()
    world.report(third)
    assert not world.fleet.reputation(first.giver_id).trusted("image")
    assert world.fleet.reputation(second.giver_id).trusted("image")


@pytest.mark.usefixtures("never_checked")
def test_who_disagrees_late_with_one_givers_word_is_not_blamed(world: World) -> None:
    world.join("g1", "g2")
    trust(world, "g1", "g2")
    (first,) = begin(world)
    world.scheduler.gone(
        first.giver_id, world.fleet.givers[first.giver_id].session or "", world.now
    )
    (second,) = world.dispatched()
    world.report(second)
    world.report(first, "other")
    assert first.task.state is TaskState.SUCCEEDED
    assert world.fleet.reputation(first.giver_id).trusted("image")
    assert world.fleet.reputation(second.giver_id).trusted("image")
