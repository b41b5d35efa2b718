"""Tasks whose answer is known beforehand check whoever gets them."""

from __future__ import annotations

import pytest

from schemas import digests, identifiers
from schemas.comparison import Comparison
from schemas.job import Agreement, ContainerSpec, JobSpec
from schemas.result import Result
from schemas.states import Outcome, TaskState
from seeker import sweep
from seeker.model import Assignment
from tests.unit.seeker.conftest import START, World


def spec(**fields: object) -> JobSpec:
    rules = Agreement(
        replicas=2, quorum=2, max_attempts=3, comparison=fields.pop("by", Comparison())
    )
    return JobSpec(
        container=ContainerSpec(image="image"),
        agreement=rules,
        known={"0": "42"},
        **fields,  # type: ignore[arg-type]
    )


def answer(world: World, assignment: Assignment, stdout: str) -> None:
    """As the channel would tell of it."""
    result = Result(
        result_id=identifiers.result_id(assignment.id, assignment.giver_id),
        assignment_id=assignment.id,
        task_id=assignment.task.id,
        job_id=assignment.task.job.id,
        giver_id=assignment.giver_id,
        sent_at=START,
        outcome=Outcome.SUCCEEDED,
        exit_code=0,
        stdout=stdout,
        comparison=assignment.task.job.spec.agreement.comparison,
    )
    comparable = digests.comparable(result)
    world.report(assignment, digests.digest(result), comparable=comparable)


def probe_of(world: World) -> Assignment:
    (probe,) = (a for a in world.dispatched() if a.task.index == 0)
    return probe


@pytest.mark.parametrize("stdout", ["42", "42\n"])
def test_one_right_answer_decides(world: World, stdout: str) -> None:
    world.join("g1", "g2", "g3")
    world.submit_spec(spec())
    probe = probe_of(world)
    answer(world, probe, stdout)
    assert probe.task.state is TaskState.SUCCEEDED
    assert world.fleet.reputation(probe.giver_id).overall.agreed == 1


def test_a_wrong_answer_is_a_lie_however_many_give_it(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit_spec(spec())
    first = probe_of(world)
    answer(world, first, "41\n")
    assert world.fleet.reputation(first.giver_id).lies == 1
    second = probe_of(world)
    answer(world, second, "41\n")
    third = probe_of(world)
    assert not first.task.state.final
    answer(world, third, "42\n")
    assert first.task.state is TaskState.SUCCEEDED
    assert first.task.chosen == f"{third.id}@{third.giver_id}"


def test_where_nobody_knows_the_task_fails(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit_spec(spec())
    for _ in range(3):
        probe = probe_of(world)
        answer(world, probe, "41\n")
    assert probe.task.state is TaskState.FAILED
    assert "known answer" in probe.task.reason


def test_the_jobs_tolerance_counts_for_the_known_answer_too(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit_spec(spec(by=Comparison(by="json", absolute=0.1)))
    probe = probe_of(world)
    answer(world, probe, "42.05\n")
    assert probe.task.state is TaskState.SUCCEEDED


@pytest.mark.parametrize("index", ["10", "-1", "01", "x", "٣"])
def test_an_answer_to_no_task_is_refused(index: str) -> None:
    with pytest.raises(ValueError, match="there is no task"):
        JobSpec(container=ContainerSpec(image="image"), count=10, known={index: "42"})


def test_a_part_of_a_job_keeps_what_is_known_of_it() -> None:
    whole = spec().model_copy(update={"count": 10, "known": {"3": "x", "7": "y"}})
    fields = {**dict(whole), **sweep.part_of(whole, [5, 7])}
    assert JobSpec.model_validate(fields).known == {"1": "y"}


def test_where_nobody_else_is_there_to_ask_it_fails_whoever_agrees(world: World) -> None:
    world.join("g1", "g2", interval_s=3600.0)
    world.submit_spec(spec())
    for _ in range(2):
        probe = probe_of(world)
        answer(world, probe, "41\n")
    world.turn()
    world.pass_time(60)
    assert (probe.task.state, probe.task.chosen) == (TaskState.FAILED, None)
    assert probe.task.reason == (
        "2 votes, none the known answer, and no other giver is there to ask"
    )
