"""Retries, limits, dependencies, backups, and the operator's word about givers."""

from __future__ import annotations

from datetime import timedelta

import pytest

from schemas import identifiers
from schemas.heartbeat import Capacity
from schemas.job import (
    Agreement,
    ContainerSpec,
    JobSpec,
    Placement,
    Resources,
    Retry,
    Submission,
)
from schemas.states import AssignmentState, GiverState, Outcome, TaskState
from seeker.model import Assignment, Job
from seeker.writes import Writes
from tests.unit.seeker.conftest import World

SMALL = ContainerSpec(image="image", resources=Resources(cpus=0.1))


def job_of(world: World, job_id: str) -> Job:
    return world.scheduler._ledger.jobs[job_id]


def fail(world: World, assignment: Assignment, outcome: Outcome = Outcome.FAILED) -> None:
    world.report(assignment, digest="bad", outcome=outcome)


def test_a_failed_run_is_retried_after_a_growing_pause(world: World) -> None:
    world.join("g1")
    world.submit_spec(JobSpec(container=SMALL, retry=Retry(limit=2, pause_s=8)))
    pauses = []
    (assignment,) = world.dispatched()
    for _ in range(2):
        fail(world, assignment)
        began = world.seconds
        while not (again := world.dispatched()):
            world.seconds += 0.5
            world.join("g1")
        pauses.append(world.seconds - began)
        (assignment,) = again
    assert 4 <= pauses[0] <= 12.5
    assert 8 <= pauses[1] <= 24.5
    fail(world, assignment)
    assert assignment.task.state is TaskState.FAILED
    assert assignment.task.rounds == 3


def test_a_retry_that_succeeds_makes_the_task_succeed(world: World) -> None:
    world.join("g1")
    world.submit_spec(JobSpec(container=SMALL, retry=Retry(limit=1, pause_s=1)))
    (first,) = world.dispatched()
    fail(world, first)
    world.seconds += 2
    (second,) = world.dispatched()
    world.report(second)
    assert second.task.state is TaskState.SUCCEEDED
    assert len(second.task.earlier_votes) == 1


def test_failures_of_givers_do_not_use_up_retries(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit_spec(JobSpec(container=SMALL, retry=Retry(limit=1, pause_s=1)))
    (first,) = world.dispatched()
    world.report(first, digest=None, outcome=Outcome.INFRASTRUCTURE_ERROR)
    (second,) = world.dispatched()
    assert second.task.rounds == 1


def test_a_task_that_every_giver_fails_pauses_and_ends(world: World) -> None:
    givers = [f"g{n}" for n in range(20)]
    world.join(*givers)
    world.submit_spec(JobSpec(container=SMALL, agreement=Agreement(max_attempts=6)))
    placed_at = []
    task = None
    for _ in range(400):
        for assignment in world.dispatched():
            placed_at.append(world.seconds)
            task = assignment.task
            world.report(assignment, digest=None, outcome=Outcome.INFRASTRUCTURE_ERROR)
        world.seconds += 0.1
    assert len(placed_at) == 6
    assert placed_at[1] - placed_at[0] < 0.2, "the next best is asked at once"
    assert placed_at[5] - placed_at[4] > 2
    assert task is not None
    assert task.state is TaskState.FAILED


def test_a_missing_image_is_not_retried(world: World) -> None:
    world.join("g1")
    world.submit_spec(JobSpec(container=SMALL, retry=Retry(limit=5)))
    (first,) = world.dispatched()
    fail(world, first, Outcome.IMAGE_ERROR)
    assert first.task.state is TaskState.FAILED


def test_a_job_waits_for_the_one_before_it(world: World) -> None:
    world.join("g1")
    first = world.submit_spec(JobSpec(container=SMALL))
    second = world.submit_spec(JobSpec(container=SMALL, after=(first,)))
    (assignment,) = world.dispatched()
    assert assignment.task.job.id == first
    assert f"waits for job {first}" in job_of(world, second).waiting_reason
    world.report(assignment)
    (following,) = world.dispatched()
    assert following.task.job.id == second


def test_a_job_that_waits_for_two_says_which_is_left(world: World) -> None:
    world.join("g1")
    awaited = sorted(world.submit_spec(JobSpec(container=SMALL)) for _ in range(2))
    last = job_of(world, world.submit_spec(JobSpec(container=SMALL, after=tuple(awaited))))
    for assignment in sorted(world.dispatched(), key=lambda a: a.id, reverse=True):
        assert last.waiting_reason == f"waits for job {assignment.task.job.id}"
        world.report(assignment)
    assert last.waiting_reason == ""


def test_a_job_after_one_that_failed_is_cancelled_with_the_reason(world: World) -> None:
    world.join("g1")
    first = world.submit_spec(JobSpec(container=SMALL))
    second = world.submit_spec(JobSpec(container=SMALL, after=(first,)))
    third = world.submit_spec(JobSpec(container=SMALL, after=(second,)))
    jobs = [job_of(world, job_id) for job_id in (second, third)]
    (assignment,) = world.dispatched()
    fail(world, assignment)
    assert [job.state for job in jobs] == [TaskState.CANCELLED] * 2
    assert jobs[0].withdrawn is not None
    assert f"job {first}, which it waits for, is failed" in jobs[0].withdrawn.reason


def test_a_chain_of_jobs_may_be_long(world: World) -> None:
    world.join("g1")
    chain = [world.submit_spec(JobSpec(container=SMALL))]
    for _ in range(2000):
        chain.append(world.submit_spec(JobSpec(container=SMALL, after=(chain[-1],))))
    last = job_of(world, chain[-1])
    (assignment,) = world.dispatched()
    fail(world, assignment)
    assert last.state is TaskState.CANCELLED
    assert last.withdrawn is not None
    assert last.withdrawn.reason == f"job {chain[-2]}, which it waits for, is cancelled"


def test_a_job_after_one_that_has_ended_already_begins(world: World) -> None:
    world.join("g1")
    first = world.submit_spec(JobSpec(container=SMALL))
    (assignment,) = world.dispatched()
    world.report(assignment)
    world.submit_spec(JobSpec(container=SMALL, after=(first,)))
    assert len(world.dispatched()) == 1


def test_a_job_after_an_unknown_one_is_cancelled(world: World) -> None:
    unknown = identifiers.new_job_id()
    job_id = world.submit_spec(JobSpec(container=SMALL, after=(unknown,)))
    (job,) = [j for j in world.turn().new_jobs.values() if j.id == job_id]
    assert job.state is TaskState.CANCELLED


def test_what_was_never_placed_fails_at_the_queue_timeout(world: World) -> None:
    world.join("g1")
    job_id = world.submit_spec(
        JobSpec(container=ContainerSpec(image="image"), count=10, queue_timeout_s=60)
    )
    job = job_of(world, job_id)
    running = world.dispatched()
    assert len(running) == 2
    for _ in range(13):
        world.seconds += 5
        world.hold("g1", *running)
        world.scheduler.ticked(world.now)
    assert job.counts[TaskState.FAILED] == 8
    assert job.counts[TaskState.ACTIVE] == 2
    for assignment in running:
        world.report(assignment)
    assert job.counts[TaskState.SUCCEEDED] == 2
    assert job.state is TaskState.FAILED


def test_a_pause_before_a_retry_is_no_waiting_to_be_placed(world: World) -> None:
    world.join("g1")
    world.submit_spec(
        JobSpec(container=SMALL, retry=Retry(limit=1, pause_s=60), queue_timeout_s=10)
    )
    (first,) = world.dispatched()
    fail(world, first)
    for _ in range(20):
        world.seconds += 5
        world.join("g1")
        world.scheduler.ticked(world.now)
    (second,) = world.dispatched()
    world.report(second)
    assert second.task.state is TaskState.SUCCEEDED


def test_a_limit_that_passed_is_told_to_the_givers_once(world: World) -> None:
    world.join("g1")
    world.submit_spec(JobSpec(container=SMALL, deadline_s=20))
    (assignment,) = world.dispatched()
    world.seconds += 1020
    world.join("g1")
    world.scheduler.ticked(world.now)
    assert world.turn().cancels == {"g1": [assignment.id]}
    world.pass_time(1)
    changes = world.turn()
    assert not changes.cancels
    assert not Writes.of(changes, world.now)


def test_a_deadline_counts_by_the_seekers_clock_whatever_the_submitters_says(world: World) -> None:
    world.join("g1")
    for hours in (-3, 3):
        submission = Submission(
            job_id=identifiers.new_job_id(),
            submitted_at=world.now.wall + timedelta(hours=hours),
            spec=JobSpec(container=SMALL, deadline_s=20),
        )
        world.scheduler.submitted(submission, {}, world.now)
    first, second = world.dispatched()
    world.seconds += 19
    world.join("g1")
    world.scheduler.ticked(world.now)
    assert not world.turn().cancels
    world.seconds += 1
    world.scheduler.ticked(world.now)
    assert sorted(world.turn().cancels["g1"]) == sorted([first.id, second.id])


def test_what_was_cancelled_stays_so_when_its_deadline_passes(world: World) -> None:
    world.join("g1")
    job_id = world.submit_spec(JobSpec(container=SMALL, deadline_s=20))
    (assignment,) = world.dispatched()
    world.command("cancel", job_id)
    world.seconds += 21
    world.join("g1")
    world.scheduler.ticked(world.now)
    world.report(assignment, digest=None, outcome=Outcome.CANCELLED)
    assert assignment.task.state is TaskState.CANCELLED


def test_the_deadline_ends_what_runs_when_its_containers_are_gone(world: World) -> None:
    world.join("g1")
    job_id = world.submit_spec(JobSpec(container=SMALL, count=2, deadline_s=20))
    job = job_of(world, job_id)
    first, second = world.dispatched()
    world.report(first)
    world.seconds += 21
    world.join("g1")
    world.scheduler.ticked(world.now)
    assert world.turn().cancels == {"g1": [second.id]}
    assert not second.task.state.final
    world.report(second, digest=None, outcome=Outcome.CANCELLED)
    assert second.task.state is TaskState.FAILED
    assert "deadline" in second.task.reason
    assert job.state is TaskState.FAILED


def test_a_run_that_takes_far_longer_than_the_others_gets_a_second_try(world: World) -> None:
    world.join("g1", "g2")
    world.submit_spec(JobSpec(container=SMALL, count=6, backup_after=3))
    assignments = world.dispatched()
    for name in ("g1", "g2"):
        world.hold(name, *[a for a in assignments if a.giver_id == name])
    world.seconds += 2
    *quick, slow = assignments
    for assignment in quick:
        world.report(assignment)
    world.scheduler.ticked(world.now)
    assert not world.dispatched()
    world.seconds += 5
    world.scheduler.ticked(world.now)
    (backup,) = world.dispatched()
    assert backup.task is slow.task
    assert backup.giver_id != slow.giver_id
    world.report(backup)
    assert slow.task.state is TaskState.SUCCEEDED
    assert world.turn().cancels == {slow.giver_id: [slow.id]}


def test_runs_too_short_to_be_seen_do_not_make_all_others_look_long(world: World) -> None:
    world.join("g1", "g2")
    world.submit_spec(JobSpec(container=SMALL, count=6, backup_after=3))
    *unseen, seen = world.dispatched()
    world.seconds += 2
    for assignment in unseen:
        world.report(assignment)
    world.hold(seen.giver_id, seen)
    world.pass_time(1)
    assert not world.dispatched()
    world.pass_time(6)
    assert len(world.dispatched()) == 1


def test_many_runs_are_not_looked_at_on_every_tick(world: World) -> None:
    room = Capacity(cpus=1000, memory_bytes=1 << 50, disk_bytes=1 << 50, containers=30_000)
    world.join("g1", capacity=room)
    world.submit_spec(JobSpec(container=SMALL, count=5_000, backup_after=3))
    running = [a for _ in range(5) for a in world.dispatched()]
    for assignment in running[:5]:
        world.report(assignment)
    world.hold("g1", *running[5:])
    looks = 0
    for _ in range(40):
        before = world.scheduler._life._backups_at
        world.pass_time(0.25)
        looks += world.scheduler._life._backups_at != before
    assert looks == 10


def test_no_two_tries_go_to_one_owner(world: World) -> None:
    world.join("g1", "g2", owner="ann")
    world.join("g3", owner="bob")
    world.submit(replicas=3, quorum=2)
    placed = {a.giver_id for a in world.dispatched()}
    assert "g3" in placed
    assert len(placed) == 2


def test_a_drained_giver_finishes_what_it_has_and_gets_nothing_new(world: World) -> None:
    world.join("g1")
    world.submit(count=1)
    (assignment,) = world.dispatched()
    world.command("drain", "g1")
    world.submit(count=1)
    assert not world.dispatched()
    assert assignment.live
    world.command("resume", "g1")
    assert len(world.dispatched()) == 1


def test_what_a_quarantined_giver_has_goes_to_others(world: World) -> None:
    world.join("g1")
    world.submit()
    (first,) = world.dispatched()
    world.command("quarantine", "g1")
    world.join("g2")
    (second,) = world.dispatched()
    assert first.state is AssignmentState.LOST
    assert second.giver_id == "g2"


def test_a_cordon_outlives_a_purge(world: World) -> None:
    world.join("g1")
    world.command("drain", "g1")
    world.pass_time(31)
    assert not world.fleet.givers
    world.join("g1")
    world.submit()
    assert not world.dispatched()


def test_a_forgotten_giver_comes_back_as_a_stranger(world: World) -> None:
    world.join("g1")
    world.fleet.givers["g1"].standing.reputation.lies = 5
    world.command("forget", "g1")
    assert world.turn().forgotten == {"g1"}
    world.join("g1")
    assert world.fleet.givers["g1"].standing.reputation.lies == 0


@pytest.mark.parametrize("require", ["cpus >", "nosuch > 3", "cpus + 1.0"])
def test_an_expression_that_cannot_work_fails_the_job_with_the_reason(
    world: World, require: str
) -> None:
    world.join("g1")
    world.submit_spec(JobSpec(container=SMALL, placement=Placement(require=require)))
    (job,) = world.turn().new_jobs.values()
    assert job.state is TaskState.FAILED
    assert job.withdrawn is not None
    assert require in job.withdrawn.reason


def test_a_giver_that_says_it_is_ready_again_gets_work(world: World) -> None:
    world.join("g1", state=GiverState.DEGRADED)
    world.submit()
    assert not world.dispatched()
    world.join("g1", sequence=1)
    assert len(world.dispatched()) == 1


def test_the_longest_deadline_is_far_away(world: World) -> None:
    world.join("g1")
    job_id = world.submit_spec(JobSpec(container=SMALL, deadline_s=3e8, queue_timeout_s=3e8))
    world.scheduler.ticked(world.now)
    assert not job_of(world, job_id).state.final
