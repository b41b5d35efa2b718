"""However many demands wait for however many givers: memory and work are bounded, and all asked."""

from __future__ import annotations

import pytest

from schemas.heartbeat import Capacity
from schemas.job import ContainerSpec, JobSpec, Resources
from seeker import placer, rankings
from seeker.ledger import Ledger
from seeker.model import Job, Now, Task
from seeker.placer import Placer
from tests.unit.seeker.conftest import World

GIVERS = 30
LOOKED_AT = 200
"""A turn: not seven of the rankings that are made from all givers."""


@pytest.fixture(autouse=True)
def few_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(placer, "LOOKED_AT_A_TURN", LOOKED_AT)
    monkeypatch.setattr(rankings, "GIVERS_HELD", 5 * GIVERS)


def ask(cpus: float, count: int = 1, priority: int = 0) -> JobSpec:
    container = ContainerSpec(image="image", resources=Resources(cpus=cpus))
    return JobSpec(container=container, count=count, priority=priority)


def join(world: World, cpus: float) -> None:
    capacity = Capacity(cpus=cpus, memory_bytes=1 << 40, disk_bytes=1 << 50, containers=100)
    for number in range(GIVERS):
        world.join(f"g{number}", capacity=capacity)


def ledger_of(world: World) -> Ledger:
    return world.scheduler._ledger


def turns_until_nothing_is_left_to_ask(world: World) -> list[int]:
    """Givers looked at in each turn."""
    looks, more = [], True
    while more:
        before = ledger_of(world).rankings.looked_at
        more = world.scheduler.place(world.now)
        looks.append(ledger_of(world).rankings.looked_at - before)
        assert len(looks) < 1000
    return looks


def held(world: World) -> int:
    """Entries in all rankings together."""
    found = ledger_of(world).rankings
    return sum(
        len(r._fit) + len(r._unfit) + sum(map(len, r._groups.values()))
        for r in found._rankings.values()
    )


def test_a_turn_looks_at_so_many_givers_and_the_rest_comes_in_later_turns(world: World) -> None:
    join(world, cpus=4)
    waiting = [world.submit_spec(ask(100 + number)) for number in range(100)]
    looks = turns_until_nothing_is_left_to_ask(world)
    assert max(looks) <= LOOKED_AT + GIVERS + 1
    assert sum(looks) == 100 * (GIVERS + 1), "every demand was asked, and none of them twice"
    jobs = ledger_of(world).jobs
    assert all(jobs[job_id].state == "pending" for job_id in waiting)


def test_whoever_had_nobody_to_offer_looks_only_at_those_that_changed(world: World) -> None:
    join(world, cpus=4)
    for number in range(100):
        world.submit_spec(ask(100 + number))
    turns_until_nothing_is_left_to_ask(world)
    join(world, cpus=4)
    assert sum(turns_until_nothing_is_left_to_ask(world)) == 100, "nothing changed"
    capacity = Capacity(cpus=100, memory_bytes=1 << 40, disk_bytes=1 << 50, containers=9)
    world.join("strong", capacity=capacity)
    assert sum(turns_until_nothing_is_left_to_ask(world)) <= 100 * 3
    (task,) = world.scheduler.take_changes().tasks.values()
    assert task.assignments[0].giver_id == "strong", "although most rankings were given back"


def test_rankings_of_many_demands_hold_no_more_than_the_bound(world: World) -> None:
    join(world, cpus=4)
    for number in range(50):
        world.submit_spec(ask(0.01 + number / 1000, count=3))
    while world.scheduler.place(world.now):
        assert held(world) <= 5 * 3 * GIVERS
    assert all(task.state == "active" for task in world.turn().tasks.values())
    assert not any(job.waits_since for job in ledger_of(world).jobs.values()), "all were placed"


def test_nobody_starves_although_every_turn_ends_early(world: World) -> None:
    """A demand that always finds a giver, before others that never do, and one that does late."""
    join(world, cpus=4)
    world.submit_spec(ask(0.001, count=1_000_000, priority=5))
    for number in range(50):
        world.submit_spec(ask(100 + number, priority=9))
    late = world.submit_spec(ask(0.002))
    started_in = None
    for number in range(100):
        world.scheduler.place(world.now)
        for assignments in world.scheduler.take_changes().dispatches.values():
            for assignment in assignments:
                if assignment.task.job.id == late:
                    started_in = number
                world.report(assignment)
        if started_in is not None:
            break
    assert started_in is not None


def test_a_demand_is_forgotten_with_its_last_job(world: World) -> None:
    join(world, cpus=4)
    first, second = world.submit_spec(ask(100)), world.submit_spec(ask(100))
    found = ledger_of(world)
    assert found.jobs[first].demand is found.jobs[second].demand
    turns_until_nothing_is_left_to_ask(world)
    world.command("cancel", first)
    assert len(found.rankings) == 1
    world.command("cancel", second)
    assert len(found.rankings) == 0
    assert not found.rankings._used


def test_further_tries_of_many_jobs_take_turns_too(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tasks that nobody is left for must not keep a turn from all the others."""
    monkeypatch.setattr(placer, "LOOKED_AT_A_TURN", 20)
    world.join("g1")
    capacity = Capacity(cpus=100, memory_bytes=1 << 40, disk_bytes=1 << 50, containers=1000)
    world.join("g1", sequence=1, capacity=capacity)
    jobs = [world.submit(replicas=2, quorum=1) for _ in range(50)]
    for _ in range(50):
        world.turn()
    found = ledger_of(world)
    assert {job.id for job in found.waiting} == set(jobs)
    asked: list[Job] = []
    place_task = Placer._place_task

    def noted(self: Placer, task: Task, now: Now) -> int:
        asked.append(task.job)
        return place_task(self, task, now)

    monkeypatch.setattr(Placer, "_place_task", noted)
    world.turn()
    assert len(asked) <= 11
    for _ in range(9):
        world.turn()
    assert {job.id for job in asked} == set(jobs)
