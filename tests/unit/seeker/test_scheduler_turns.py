"""In which order jobs begin their tasks."""

from __future__ import annotations

from collections import Counter

from schemas import identifiers
from schemas.heartbeat import Capacity
from schemas.job import ContainerSpec, JobSpec, Resources, Retry
from schemas.states import Outcome
from tests.unit.seeker.conftest import World

ONE = Capacity(cpus=1, memory_bytes=1 << 30, disk_bytes=1 << 40, containers=1)


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
