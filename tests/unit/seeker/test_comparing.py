"""Results that the user's own container compares."""

from __future__ import annotations

from typing import Any

import pytest

from schemas.comparison import Comparison
from schemas.job import Agreement, ContainerSpec, JobSpec
from schemas.states import Outcome, TaskState
from seeker import comparing, documents, rendering
from seeker.agreement import Vote
from seeker.model import Assignment, Job, Task
from tests.unit.seeker.conftest import World

BY_IMAGE = Comparison(by="image", image="compare:1")
GIVERS = ("g1", "g2", "g3", "g4", "g5")


def begin(world: World, *texts: str) -> Task:
    """A task two of whom have to agree, and the answers of the first who are asked."""
    world.join(*GIVERS)
    spec = JobSpec(
        container=ContainerSpec(image="image"),
        agreement=Agreement(replicas=len(texts), quorum=2, comparison=BY_IMAGE),
    )
    world.submit_spec(spec)
    assignments = world.dispatched()
    for assignment, text in zip(assignments, texts, strict=True):
        world.report(assignment, text, comparable=text)
    return assignments[0].task


def comparators(world: World) -> list[Assignment]:
    return [a for a in world.dispatched() if a.task.job.spec.container.image == "compare:1"]


def results_in(comparator: Assignment) -> set[str]:
    env = rendering.message_of(comparator).container.env
    return {env["RESULT_A"], env["RESULT_B"]}


def test_who_says_the_same_is_not_compared(world: World) -> None:
    task = begin(world, "x", "x")
    assert task.state is TaskState.SUCCEEDED
    assert not comparators(world)


def test_the_container_gets_both_results_and_decides(world: World) -> None:
    task = begin(world, "x", "X")
    (comparator,) = comparators(world)
    assert results_in(comparator) == {"x", "X"}
    assert comparator.giver_id not in {vote.giver_id for vote in task.votes}
    assert not task.state.final
    world.report(comparator)
    world.turn()
    assert (task.state, task.disputed) == (TaskState.SUCCEEDED, False)


def test_a_result_that_looks_like_a_placeholder_reaches_the_container_as_it_is(
    world: World,
) -> None:
    begin(world, "0", "{{index}} {{RESULT_A}}")
    (comparator,) = comparators(world)
    assert results_in(comparator) == {"0", "{{index}} {{RESULT_A}}"}


def test_however_many_disagree_the_next_can_be_compared(world: World) -> None:
    """Whoever may not compare is named in an expression, which has a greatest length."""
    task = begin(world, "x", "y")
    votes = [
        Vote(
            result_id=f"r{number}",
            giver_id=f"giver-{number:057}",
            digest=f"{number}",
            outcome=Outcome.SUCCEEDED,
            comparable=f"{number}",
        )
        for number in range(40)
    ]
    task.votes += votes
    require = comparing.job_of(task, *votes[-2:], world.now.wall).spec.placement.require
    assert all(vote.giver_id in require for vote in votes[-2:])


def test_results_that_it_tells_apart_need_a_third(world: World) -> None:
    task = begin(world, "x", "y")
    (comparator,) = comparators(world)
    world.report(comparator, "differs", Outcome.FAILED)
    (third,) = world.dispatched()
    assert third.task is task
    world.report(third, "X", comparable="X")
    first, second = comparators(world)
    for each in (first, second):
        same = "x" in results_in(each)
        outcome = Outcome.SUCCEEDED if same else Outcome.FAILED
        world.report(each, outcome.value, outcome)
    world.turn()
    assert task.state is TaskState.SUCCEEDED
    assert [vote.comparable for vote in task.votes if vote.result_id == task.chosen] == ["x"]


def test_a_seeker_that_takes_over_waits_for_the_same_comparison(world: World) -> None:
    task = begin(world, "x", "X")
    (comparator,) = comparators(world)
    (waiting,) = comparing.job_ids(iter([task]))
    assert waiting == comparator.task.job.id
    again = World(fleet=world.fleet, jobs=[_resumed(task), _resumed(comparator.task)])
    assert not comparators(again)
    (job,) = (job for job in again.jobs if job.id == waiting)
    (running,) = job.tasks[0].assignments
    again.report(running)
    again.turn()
    (other,) = (job for job in again.jobs if job.id != waiting)
    assert other.state is TaskState.SUCCEEDED


def test_what_was_found_is_kept_with_the_task(world: World) -> None:
    task = begin(world, "x", "y")
    (comparator,) = comparators(world)
    world.report(comparator, "differs", Outcome.FAILED)
    world.turn()
    kept: dict[str, Any] = documents.task(task)
    assert documents.task_from(kept, task.job).comparisons == task.comparisons
    assert list(task.comparisons.values()) == [False]


def _resumed(task: Task) -> Job:
    """As the database has it."""
    job = Job.new(task.job.id, task.job.spec, task.job.submitted_at, task.job.accepted_at)
    again = documents.task_from(documents.task(task), job)
    job.tasks[0] = again
    job.started(0)
    job.counts[TaskState.PENDING] -= 1
    job.counts[again.state] += 1
    return job


@pytest.mark.parametrize("ends", ["no result", "no image", "no command", "cancelled", "abandoned"])
def test_where_the_comparator_cannot_be_run_the_task_fails_and_says_so(
    world: World, ends: str
) -> None:
    task = begin(world, "x", "y")
    (comparator,) = comparators(world)
    match ends:
        case "no result":
            while comparator:
                world.report(comparator, None, Outcome.INFRASTRUCTURE_ERROR)
                world.pass_time(120)
                world.join(*GIVERS)
                comparator = next(iter(comparators(world)), None)
        case "no image":
            world.report(comparator, "missing", Outcome.IMAGE_ERROR)
        case "no command":
            world.report(comparator, "127", Outcome.FAILED, exit_code=127)
        case "cancelled":
            world.command("cancel", comparator.task.job.id)
            world.report(comparator, None, Outcome.CANCELLED)
        case "abandoned":
            world.scheduler.abandon(comparator.task.job.id, RuntimeError("ours"), world.now)
    world.turn()
    assert (task.state, task.chosen) == (TaskState.FAILED, None)
    assert task.reason.startswith("the comparator compare:1 said nothing of 2 results: ")
    assert task.job.state is TaskState.FAILED


def test_no_giver_of_an_owner_that_voted_compares(world: World) -> None:
    world.join("alice-1", "alice-2", owner="alice")
    world.join("bob-1", owner='"bob"\n')
    spec = JobSpec(
        container=ContainerSpec(image="image"),
        agreement=Agreement(replicas=2, quorum=2, comparison=BY_IMAGE),
    )
    world.submit_spec(spec)
    for assignment in world.dispatched():
        world.report(assignment, assignment.giver_id, comparable=assignment.giver_id)
    assert not comparators(world)
    world.join("carol-1", owner="carol")
    (comparator,) = comparators(world)
    assert comparator.giver_id == "carol-1"
