"""A quorum decides, a disagreement asks on, and reputation has the last word."""

from __future__ import annotations

from schemas import identifiers
from schemas.states import AssignmentState, Outcome, TaskState
from tests.unit.seeker.conftest import World


def test_a_quorum_decides_and_the_rest_is_withdrawn(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit(replicas=3, quorum=2)
    first, second, third = world.dispatched()
    world.report(first)
    assert not first.task.state.final
    world.report(second)
    assert first.task.state is TaskState.SUCCEEDED
    assert world.turn().cancels == {third.giver_id: [third.id]}

    world.report(third, digest=None, outcome=Outcome.CANCELLED)

    assert third.state is AssignmentState.CANCELLED
    assert first.task.state is TaskState.SUCCEEDED


def test_a_disagreement_asks_a_giver_that_has_not_tried(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit(replicas=2, quorum=2)
    first, second = world.dispatched()
    world.report(first, "right")
    world.report(second, "wrong")
    (third,) = world.dispatched()
    assert third.giver_id not in {first.giver_id, second.giver_id}

    world.report(third, "right")

    task = third.task
    assert task.state is TaskState.SUCCEEDED
    assert task.chosen == identifiers.result_id(first.id, first.giver_id)
    assert not task.disputed
    givers = world.fleet.givers
    assert givers[second.giver_id].standing.reputation.overall.disagreed == 1
    assert givers[first.giver_id].standing.reputation.overall.agreed == 1


def test_where_nobody_is_left_to_ask_reputation_decides_after_a_grace(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit(replicas=2, quorum=2)
    first, second = world.dispatched()
    world.report(first, "right")
    world.report(second, "wrong")
    (third,) = world.dispatched()
    world.report(third, "right")  # From now on second's giver is known as a liar.
    world.seconds += 31
    world.join(first.giver_id, second.giver_id)
    world.pass_time(0)
    assert third.giver_id not in world.fleet.givers

    world.submit(replicas=2, quorum=2)
    pair = {a.giver_id: a for a in world.dispatched()}
    world.report(pair[second.giver_id], "wrong")
    world.report(pair[first.giver_id], "right")
    task = pair[first.giver_id].task
    world.turn()
    assert not task.state.final
    world.pass_time(5)

    assert task.state is TaskState.SUCCEEDED
    assert task.disputed
    assert task.chosen == identifiers.result_id(pair[first.giver_id].id, first.giver_id)
    assert "disputed" in task.reason


def test_a_disagreement_does_not_end_while_a_new_giver_may_help(world: World) -> None:
    world.join("g1", "g2")
    world.submit(replicas=2, quorum=2)
    first, second = world.dispatched()
    world.report(first, "right")
    world.report(second, "wrong")
    world.turn()
    world.pass_time(4)
    world.join("g3")
    (third,) = world.dispatched()
    world.pass_time(4)
    assert third.giver_id == "g3"
    assert not third.task.state.final
