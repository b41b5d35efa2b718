"""An error of the seeker's own in handling one job must not touch any other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from schemas import identifiers
from schemas.job import ContainerSpec, JobSpec, Resources
from schemas.states import TaskState
from seeker.placer import Placer
from seeker.scheduler import Scheduler
from seeker.tasklife import TaskLife
from seeker.writes import Writes
from tests.unit.seeker.conftest import World

SPEC = JobSpec(
    container=ContainerSpec(image="image", resources=Resources(cpus=1)), count=2, deadline_s=1000
)


def break_for(
    monkeypatch: pytest.MonkeyPatch, owner: type, name: str, victim: str
) -> Callable[[], int]:
    """The step fails whenever it is about that job; returns how often it did."""
    original = getattr(owner, name)
    failures = 0

    def step(self: Any, *args: Any, **kwargs: Any) -> Any:
        nonlocal failures
        if any(victim in (getattr(a, "id", ""), getattr(a, "job_id", "")) for a in args) or any(
            getattr(getattr(a, "task", None), "job", None) is not None and a.task.job.id == victim
            for a in args
        ):
            failures += 1
            raise ZeroDivisionError("as it happens")
        return original(self, *args, **kwargs)

    monkeypatch.setattr(owner, name, step)
    return lambda: failures


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (TaskLife, "stored"),
        (TaskLife, "end"),
        (TaskLife, "enforce_limits"),
        (Placer, "_place_fresh"),
        (Scheduler, "_advance"),
        (Scheduler, "_chase"),
    ],
)
def test_a_step_that_fails_for_one_job_fails_that_job_alone(
    world: World, monkeypatch: pytest.MonkeyPatch, owner: type, name: str
) -> None:
    victim = identifiers.new_job_id()
    failed = break_for(monkeypatch, owner, name, victim)
    world.join("g1", "g2")
    world.submit_spec(SPEC, victim)
    other = world.submit_spec(SPEC)
    abandoned = {}
    ended = {}
    for _ in range(3):
        changes = world.turn()
        abandoned |= changes.abandoned
        ended |= {job.id: job.state for job in changes.jobs.values() if job.state.final}
        assignments = [a for each in changes.dispatches.values() for a in each]
        for giver_id in ("g1", "g2"):
            world.hold(giver_id, *(a for a in assignments if a.giver_id == giver_id))
            world.hold(giver_id)
        world.pass_time(0.1)
        for assignment in assignments:
            world.report(assignment)
    assert failed()
    assert set(abandoned) == {victim}
    job = abandoned[victim]
    assert job.state is TaskState.FAILED
    assert job.withdrawn is not None
    assert "ZeroDivisionError: as it happens" in job.withdrawn.reason
    assert job.unfinished == 0
    assert ended == {other: TaskState.SUCCEEDED}
    assert all(not giver.assignments for giver in world.fleet.givers.values())
    assert all(giver.load.containers == 0 for giver in world.fleet.givers.values())


def test_an_abandoned_jobs_containers_are_told_to_stop(world: World) -> None:
    world.join("g1")
    victim = world.submit_spec(SPEC)
    other = world.submit_spec(SPEC)
    assignments = world.dispatched()
    world.scheduler.abandon(victim, RuntimeError("as it happens"), world.now)
    told = world.turn().cancels
    assert set(told["g1"]) == {a.id for a in assignments if a.task.job.id == victim}
    world.hold("g1", *assignments)
    assert {a.task.job.id for a in world.fleet.givers["g1"].assignments.values()} == {other}


def test_a_job_that_waits_for_an_abandoned_one_is_cancelled(world: World) -> None:
    victim = world.submit_spec(SPEC)
    dependant = world.submit_spec(SPEC.model_copy(update={"after": (victim,)}))
    world.scheduler.abandon(victim, RuntimeError("as it happens"), world.now)
    job = world.turn().new_jobs[dependant]
    assert job.state is TaskState.CANCELLED


def test_what_cannot_be_encoded_is_known_before_anything_of_its_job_is_written(
    world: World,
) -> None:
    world.join("g1")
    victim = world.submit_spec(SPEC)
    other = world.submit_spec(SPEC)
    changes = world.turn()
    spoilt = next(task for task in changes.tasks.values() if task.job.id == victim)
    spoilt.reason = "\ud800"
    writes = Writes.of(changes, world.now)
    assert set(writes.broken) == {victim}
    assert [document["_id"] for document in writes.new_jobs] == [other]
    assert {document["job_id"] for document in writes.new_tasks} == {other}
    assert writes.about == {other, "g1"}


def test_a_record_beyond_what_the_database_takes_is_known_too(world: World) -> None:
    world.join("g1")
    victim = world.submit_spec(SPEC)
    changes = world.turn()
    next(iter(changes.tasks.values())).reason = "x" * (17 << 20)
    writes = Writes.of(changes, world.now)
    assert "17826" in str(writes.broken[victim])
