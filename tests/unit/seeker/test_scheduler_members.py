"""What silence, absence and a new session of a giver mean for what it was at."""

from __future__ import annotations

from schemas.job import ContainerSpec, JobSpec, Resources
from schemas.states import AssignmentState, GiverState, TaskState
from seeker.scheduler import OVERDUE_S
from tests.unit.seeker.conftest import World, beat


def test_a_returned_message_goes_to_the_next_best_at_once(world: World) -> None:
    world.join("g1", "g2")
    world.submit()
    (first,) = world.dispatched()
    world.scheduler.returned([first.id], first.giver_id, world.now)
    (second,) = world.dispatched()
    assert second.giver_id != first.giver_id
    assert world.fleet.givers[first.giver_id].strikes == 1
    world.join(first.giver_id)
    assert world.fleet.givers[first.giver_id].strikes == 0


def test_three_missed_heartbeats_purge_and_the_task_is_placed_anew(world: World) -> None:
    world.join("g1", "g2")
    world.submit()
    (first,) = world.dispatched()
    other = "g2" if first.giver_id == "g1" else "g1"
    world.pass_time(11)
    assert world.fleet.givers[first.giver_id].strikes == 1
    world.join(other)
    world.pass_time(18.5)
    assert first.giver_id in world.fleet.givers, "29.5 s are not yet three intervals"
    world.join(other)
    world.pass_time(1.5)
    changes = world.turn()
    assert list(changes.purged) == [first.giver_id]
    assert first.state is AssignmentState.LOST
    (second,) = changes.dispatches[other]
    assert second.task is first.task


def test_a_late_heartbeat_clears_the_strikes(world: World) -> None:
    world.join("g1")
    for _ in range(10):
        world.pass_time(25)
        world.join("g1")
    assert world.fleet.givers["g1"].strikes == 0


def test_a_seeker_that_was_away_blames_nobody(world: World) -> None:
    world.join("g1", "g2")
    world.seconds += 1000
    world.scheduler.was_away(world.now)
    world.pass_time(9)
    assert set(world.fleet.givers) == {"g1", "g2"}
    assert world.fleet.givers["g1"].strikes == 0


def test_a_late_result_of_a_lost_assignment_is_flagged_and_changes_nothing(world: World) -> None:
    world.join("g1")
    world.submit()
    (lost,) = world.dispatched()
    world.pass_time(31)
    world.report(lost)
    assert lost.late
    assert not lost.task.state.final
    world.join("g1")
    (again,) = world.dispatched()
    assert again.number == 2


def test_a_result_under_anothers_assignment_is_ignored(world: World) -> None:
    world.join("g1", "g2")
    world.submit()
    (assignment,) = world.dispatched()
    forged = world.result(assignment).model_copy(update={"giver_id": "g3"})
    world.scheduler.stored([forged], world.now)
    assert not assignment.task.state.final
    assert assignment.live


def test_what_was_lost_with_a_session_is_sent_again(world: World) -> None:
    world.join("g1")
    world.submit(count=2)
    first, second = world.dispatched()
    world.hold("g1", first, session="another", sequence=1)
    assert world.turn().dispatches == {"g1": [second]}


def test_what_the_giver_does_not_name_is_sent_again_in_growing_intervals(world: World) -> None:
    world.join("g1")
    world.submit()
    (assignment,) = world.dispatched()
    sent_at = []
    for second in range(30):
        world.seconds += 1
        world.join("g1")
        if world.dispatched():
            sent_at.append(second)
    assert len(sent_at) == 2
    assert sent_at[1] - sent_at[0] == 10
    assert assignment.live


def test_what_nobody_wants_is_cancelled(world: World) -> None:
    world.join("g1")
    world.submit()
    (assignment,) = world.dispatched()
    world.pass_time(31)
    world.turn()
    assert assignment.state is AssignmentState.LOST
    world.hold("g1", assignment)
    assert world.turn().cancels == {"g1": [assignment.id]}


def test_a_stale_heartbeat_is_ignored(world: World) -> None:
    world.join("g1", sequence=5)
    world.scheduler.heard(beat("g1", sequence=4, state=GiverState.DRAINING), world.now)
    assert world.fleet.givers["g1"].state is GiverState.READY


def test_a_withdrawn_assignment_that_the_giver_does_not_have_is_cancelled(world: World) -> None:
    world.join("g1")
    job_id = world.submit()
    (assignment,) = world.dispatched()
    world.command("cancel", job_id)
    for _ in range(7):
        world.seconds += 1
        world.join("g1")
    assert assignment.state is AssignmentState.CANCELLED
    assert assignment.task.state is TaskState.CANCELLED


def test_a_returned_standing_survives_a_purge(world: World) -> None:
    world.join("g1")
    world.fleet.givers["g1"].standing.reputation.lies = 7
    world.pass_time(31)
    assert "g1" not in world.fleet.givers
    world.join("g1")
    assert world.fleet.givers["g1"].standing.reputation.lies == 7


def test_an_assignment_can_be_sent_again_for_years(world: World) -> None:
    world.join("g1")
    world.submit()
    (assignment,) = world.dispatched()
    for session in range(2000):
        world.hold("g1", session=f"session {session}")
        assert world.dispatched() == [assignment]


def test_a_giver_that_says_for_ever_that_a_task_runs_loses_it(world: World) -> None:
    world.join("g1")
    world.submit_spec(
        JobSpec(container=ContainerSpec(image="image", timeout_s=5, resources=Resources(cpus=1)))
    )
    (assignment,) = world.dispatched()
    for _ in range(100):
        world.hold("g1", assignment)
        if not assignment.live:
            break
        world.seconds += 5
    assert assignment.state is AssignmentState.LOST
    assert world.seconds - 1000 < 5 + OVERDUE_S + 11
    world.hold("g1", assignment)
    assert assignment.id in world.turn().cancels["g1"]


def test_a_giver_that_never_stops_a_cancelled_task_does_not_hold_it_up(world: World) -> None:
    world.join("g1")
    job_id = world.submit()
    (assignment,) = world.dispatched()
    world.command("cancel", job_id)
    for _ in range(100):
        world.hold("g1", assignment)
        world.seconds += 5
    assert assignment.task.state is TaskState.CANCELLED
    assert "did not stop it" in assignment.reason


def test_what_a_giver_was_at_is_tried_elsewhere_as_soon_as_its_connection_is_gone(
    world: World,
) -> None:
    world.join("g1")
    world.submit()
    (first,) = world.dispatched()
    world.hold("g1", first)
    world.join("g2")
    world.scheduler.gone("g1", "an earlier session", world.now)
    assert not world.dispatched()
    world.scheduler.gone("g1", "session", world.now)
    (second,) = world.dispatched()
    assert second.giver_id == "g2"
    assert first.live, "it may be back soon"
    world.report(first)
    assert first.task.state is TaskState.SUCCEEDED
    assert world.turn().cancels == {"g2": [second.id]}


def test_a_boot_that_another_followed_is_over(world: World) -> None:
    world.join("g1", boot_id="one", session="s1")
    world.join("g1", boot_id="two", session="s2")
    world.join("g1", boot_id="one", session="s1")
    assert world.fleet.givers["g1"].session == "s2"


def test_after_a_change_of_leaders_a_run_has_a_beginning_again(world: World) -> None:
    world.join("g1")
    world.submit()
    (assignment,) = world.dispatched()
    world.hold("g1", assignment)
    assignment.running_since = None
    world.hold("g1", assignment)
    assert assignment.running_since == world.now.monotonic
