"""The scheduler's decisions, event by event."""

from __future__ import annotations

from collections import Counter

from schemas import identifiers
from schemas.heartbeat import Capacity
from schemas.job import ContainerSpec, JobSpec, Resources, Retry
from schemas.states import AssignmentState, GiverState, Outcome, TaskState
from seeker import documents
from seeker.model import TRIES_REMEMBERED
from seeker.scheduler import OVERDUE_S
from tests.unit.seeker.conftest import World, beat

ONE = Capacity(cpus=1, memory_bytes=1 << 30, disk_bytes=1 << 40, containers=1)


def test_a_task_goes_to_a_giver_and_its_result_ends_it(world: World) -> None:
    world.join("g1")
    job_id = world.submit()
    changes = world.turn()
    (assignment,) = changes.dispatches["g1"]
    assert job_id in changes.new_jobs
    assert changes.tasks[assignment.task.id].state is TaskState.ACTIVE

    world.report(assignment)

    changes = world.turn()
    assert assignment.task.state is TaskState.SUCCEEDED
    assert assignment.task.chosen == identifiers.result_id(assignment.id, "g1")
    assert changes.jobs[job_id].state is TaskState.SUCCEEDED
    assert changes.jobs[job_id].finished_at is not None


def test_the_same_submission_again_has_no_effect(world: World) -> None:
    world.submit()
    (job,) = world.turn().new_jobs.values()
    world.submit_spec(job.spec, job.id)
    assert not world.turn().new_jobs


def test_a_failed_exit_fails_the_task(world: World) -> None:
    world.join("g1")
    world.submit()
    (assignment,) = world.dispatched()
    world.report(assignment, outcome=Outcome.FAILED)
    assert assignment.task.state is TaskState.FAILED


def test_nothing_is_given_beyond_capacity_and_backlog(world: World) -> None:
    world.join("g1", backlog=2)
    world.submit(count=10)
    # Two CPUs, and a backlog of half the containers: half as much again.
    assert len(world.dispatched()) == 3
    assert not world.dispatched()


def test_an_impossible_task_waits_and_says_why(world: World) -> None:
    world.join("g1")
    job_id = world.submit(cpus=64)
    changes = world.turn()
    assert not changes.dispatches
    assert "g1 has 2 CPUs, 64 are needed" in changes.jobs[job_id].waiting_reason


def test_without_givers_a_task_waits_and_says_why(world: World) -> None:
    job_id = world.submit()
    assert "no giver is known" in world.turn().jobs[job_id].waiting_reason


def test_replicas_go_to_different_givers(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit(replicas=3, quorum=2)
    assert {a.giver_id for a in world.dispatched()} == {"g1", "g2", "g3"}


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


def test_a_failure_of_the_giver_is_no_vote_and_is_tried_again(world: World) -> None:
    world.join("g1", "g2")
    world.submit()
    (first,) = world.dispatched()
    world.report(first, digest=None, outcome=Outcome.INFRASTRUCTURE_ERROR)
    (second,) = world.dispatched()
    assert second.giver_id != first.giver_id, "a giver that just failed is not the best"
    world.report(second)
    assert second.task.state is TaskState.SUCCEEDED


def test_attempts_end(world: World) -> None:
    world.join("g1")
    world.submit(max_attempts=3)
    task = None
    for _ in range(3):
        (assignment,) = world.dispatched()
        task = assignment.task
        world.report(assignment, digest=None, outcome=Outcome.KILLED)
        world.seconds += 2
    assert task is not None
    assert task.state is TaskState.FAILED
    assert "3 attempts" in task.reason
    assert not world.dispatched()


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


def test_a_refused_assignment_goes_elsewhere_and_costs_no_attempt(world: World) -> None:
    world.join("g1", "g2")
    world.submit(max_attempts=1)
    (first,) = world.dispatched()
    world.refuse(first)
    (second,) = world.dispatched()
    assert first.state is AssignmentState.REFUSED
    assert second.giver_id != first.giver_id


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


def test_a_result_of_a_finished_job_is_only_recorded(world: World) -> None:
    world.join("g1")
    world.submit()
    (assignment,) = world.dispatched()
    world.report(assignment)
    world.turn()
    world.report(assignment, "other")
    assert [r.digest for r in world.turn().late_results] == ["other"]
    assert assignment.task.state is TaskState.SUCCEEDED


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


def test_a_draining_giver_gets_nothing(world: World) -> None:
    world.join("g1", state=GiverState.DRAINING)
    job_id = world.submit()
    changes = world.turn()
    assert not changes.dispatches
    assert "g1 is draining" in changes.jobs[job_id].waiting_reason


def test_a_cancelled_job_is_final_when_its_containers_are_gone(world: World) -> None:
    world.join("g1")
    job_id = world.submit(count=100)
    running = world.dispatched()
    world.command("cancel", job_id)
    changes = world.turn()
    assert sorted(changes.cancels["g1"]) == sorted(a.id for a in running)
    job = changes.jobs[job_id]
    assert job.counts[TaskState.CANCELLED] == 100 - len(running)
    assert not job.state.final
    for assignment in running:
        world.report(assignment, digest=None, outcome=Outcome.CANCELLED)
    assert job.state is TaskState.CANCELLED
    assert job.counts[TaskState.CANCELLED] == 100


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


def test_a_single_task_is_cancelled_before_it_began(world: World) -> None:
    job_id = world.submit(count=5)
    world.turn()
    world.command("cancel", identifiers.task_id(job_id, 3))
    world.join("g1", backlog=100)
    started = {a.task.index for a in world.dispatched()}
    assert started == {0, 1, 2, 4}


def test_jobs_take_turns(world: World) -> None:
    world.submit(count=100)
    world.submit(count=100)
    world.turn()
    world.join("g1", backlog=4)
    by_job: dict[str, int] = {}
    for assignment in world.dispatched():
        by_job[assignment.task.job.id] = by_job.get(assignment.task.job.id, 0) + 1
    assert sorted(by_job.values()) == [2, 2]


def test_a_higher_priority_goes_first(world: World) -> None:
    low = world.submit()
    high = identifiers.new_job_id()
    spec = JobSpec(container=ContainerSpec(image="image", resources=Resources(cpus=2)), priority=5)
    world.submit_spec(spec, high)
    world.join("g1")
    assert [a.task.job.id for a in world.dispatched()] == [high]
    assert low


def test_a_returned_standing_survives_a_purge(world: World) -> None:
    world.join("g1")
    world.fleet.givers["g1"].standing.reputation.lies = 7
    world.pass_time(31)
    assert "g1" not in world.fleet.givers
    world.join("g1")
    assert world.fleet.givers["g1"].standing.reputation.lies == 7


def test_an_image_that_cannot_be_pulled_does_not_keep_a_giver_from_others(world: World) -> None:
    world.join("g1")
    world.submit()
    (bad,) = world.dispatched()
    world.report(bad, digest=None, outcome=Outcome.INFRASTRUCTURE_ERROR)
    other = JobSpec(container=ContainerSpec(image="other"))
    job_id = identifiers.new_job_id()
    world.submit_spec(other, job_id)
    assert [a.task.job.id for a in world.dispatched()] == [job_id]
    world.seconds += 1
    assert [a.task for a in world.dispatched()] == [bad.task]


def test_a_job_begins_several_tasks_at_its_turn_only_where_many_jobs_wait(world: World) -> None:
    capacity = Capacity(cpus=99, memory_bytes=1 << 40, disk_bytes=1 << 50, containers=12)
    world.join("g1", capacity=capacity)
    few = [world.submit(20, cpus=0.01) for _ in range(4)]
    begun = Counter(a.task.job.id for a in world.dispatched())
    assert begun == dict.fromkeys(few, 3)
    many = [world.submit(20, cpus=0.01) for _ in range(400)]
    world.join("g2", capacity=capacity.model_copy(update={"containers": 404 * 4}))
    begun = Counter(a.task.job.id for a in world.dispatched()) + Counter(
        a.task.job.id for a in world.dispatched()
    )
    assert begun == dict.fromkeys([*few, *many], 4)


def test_one_jobs_failures_alone_do_not_lengthen_an_images_pause(world: World) -> None:
    world.join("g1")
    giver = world.fleet.givers["g1"]
    for _ in range(10):
        world.fleet.back_off(giver, "image", "job", world.now)
    assert giver.setbacks["image"].count == 1
    world.fleet.back_off(giver, "image", "another job", world.now)
    assert giver.setbacks["image"].count == 2


def test_an_assignment_can_be_sent_again_for_years(world: World) -> None:
    world.join("g1")
    world.submit()
    (assignment,) = world.dispatched()
    for session in range(2000):
        world.hold("g1", session=f"session {session}")
        assert world.dispatched() == [assignment]


def test_of_a_task_that_is_always_refused_the_oldest_refusals_go(world: World) -> None:
    world.join("g1")
    world.submit()
    for number in range(1, 300):
        (assignment,) = world.dispatched()
        assert assignment.number == number
        world.refuse(assignment)
        world.seconds += 100
    task = assignment.task
    assert len(task.assignments) <= TRIES_REMEMBERED + 1
    world.join("g1")
    (assignment,) = world.dispatched()
    restored = documents.task_from(documents.task(task), task.job)
    assert [a.id for a in restored.assignments] == [a.id for a in task.assignments]
    world.report(assignment)
    assert task.state is TaskState.SUCCEEDED


def test_a_task_does_not_wait_for_jobs_whose_tasks_always_fail(world: World) -> None:
    world.join("g1", capacity=ONE)
    failing = world.submit_spec(
        JobSpec(
            container=ContainerSpec(image="a", resources=Resources(cpus=1)),
            count=50,
            retry=Retry(limit=50, pause_s=0.01, longest_pause_s=0.01),
        )
    )
    begun = None
    for turn in range(200):
        world.seconds += 1
        world.join("g1", capacity=ONE)
        for assignment in world.dispatched():
            if assignment.task.job.id != failing:
                begun = turn
            world.report(assignment, digest="bad", outcome=Outcome.FAILED)
        if turn == 60:
            world.submit()
    assert begun is not None
    assert begun < 66


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
