"""How the scheduler gives out tasks, and what results make of them."""

from __future__ import annotations

from schemas import identifiers
from schemas.job import ContainerSpec, JobSpec
from schemas.states import AssignmentState, GiverState, Outcome, TaskState
from seeker import documents
from seeker.model import TRIES_REMEMBERED
from tests.unit.seeker.conftest import World


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


def test_a_refused_assignment_goes_elsewhere_and_costs_no_attempt(world: World) -> None:
    world.join("g1", "g2")
    world.submit(max_attempts=1)
    (first,) = world.dispatched()
    world.refuse(first)
    (second,) = world.dispatched()
    assert first.state is AssignmentState.REFUSED
    assert second.giver_id != first.giver_id


def test_a_result_of_a_finished_job_is_only_recorded(world: World) -> None:
    world.join("g1")
    world.submit()
    (assignment,) = world.dispatched()
    world.report(assignment)
    world.turn()
    world.report(assignment, "other")
    assert [r.digest for r in world.turn().late_results] == ["other"]
    assert assignment.task.state is TaskState.SUCCEEDED


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


def test_a_single_task_is_cancelled_before_it_began(world: World) -> None:
    job_id = world.submit(count=5)
    world.turn()
    world.command("cancel", identifiers.task_id(job_id, 3))
    world.join("g1", backlog=100)
    started = {a.task.index for a in world.dispatched()}
    assert started == {0, 1, 2, 4}


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


def test_one_jobs_failures_alone_do_not_lengthen_an_images_pause(world: World) -> None:
    world.join("g1")
    giver = world.fleet.givers["g1"]
    for _ in range(10):
        world.fleet.back_off(giver, "image", "job", world.now)
    assert giver.setbacks["image"].count == 1
    world.fleet.back_off(giver, "image", "another job", world.now)
    assert giver.setbacks["image"].count == 2


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
