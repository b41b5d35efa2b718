"""What different owners are needed for: to agree, and to tell a task's failure from a giver's."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.heartbeat import Capacity
from schemas.job import Agreement, ContainerSpec, JobSpec, Retry
from schemas.states import GiverState, Outcome, TaskState
from seeker.fleet import Fleet
from seeker.model import Cordon, Now
from seeker.placement import Demand, Refused, consider
from seeker.ranking import Ranking
from tests.unit.seeker.conftest import START, World, beat


def held_back(world: World, job_id: str) -> str:
    """Why nothing of the job goes out."""
    changes = world.turn()
    assert changes.dispatches == {}
    return changes.jobs[job_id].waiting_reason


def test_a_task_is_not_begun_while_too_few_owners_could_agree(world: World) -> None:
    world.join("a1", "a2", owner="alice")
    job = world.submit(replicas=2, quorum=2)
    assert "2 different owners have to agree, and those of 1 would do" in held_back(world, job)
    alone = world.submit()
    (assignment,) = world.dispatched()
    assert assignment.task.job.id == alone
    world.join("b1", owner="bob")
    assert {a.group for a in world.dispatched()} == {"owner alice", "owner bob"}


def test_owners_who_are_busy_count(world: World) -> None:
    world.join("g1", "g2")
    world.submit(cpus=2)
    (busy,) = world.dispatched()
    world.submit(replicas=2, quorum=2)
    (first,) = world.dispatched()
    assert first.giver_id != busy.giver_id


def test_one_may_do_where_trust_is_adaptive(world: World) -> None:
    world.join("g1")
    world.submit(replicas=2, quorum=2, adaptive=True)
    assert len(world.dispatched()) == 1


def test_whoever_leaves_does_not_count_any_more(world: World) -> None:
    world.join("g1", "g2")
    world.submit(replicas=2, quorum=2, count=2)
    for assignment in world.dispatched():
        world.report(assignment)
    world.command("forget", "g2")
    job = world.submit(replicas=2, quorum=2)
    assert "those of 1 would do" in held_back(world, job)


def killed(world: World, times: int) -> list[str]:
    """The givers on which the task was killed, in order."""
    seen = []
    for _ in range(times):
        world.seconds += 60
        placed = world.dispatched()
        for assignment in placed:
            seen.append(assignment.giver_id)
            world.report(assignment, digest=None, outcome=Outcome.KILLED)
    return seen


def test_a_task_killed_on_givers_of_two_owners_has_failed_by_itself(world: World) -> None:
    world.join("g1", "g2", "g3")
    job = world.submit()
    seen = killed(world, 5)
    assert len(seen) == len(set(seen)) == 2
    task = world.tasks[f"{job}-0"]
    assert task.state is TaskState.FAILED
    assert all(giver_id in task.reason for giver_id in seen)


def test_the_users_retries_are_for_that_too(world: World) -> None:
    world.join("g1", "g2")
    job = world.submit_spec(
        JobSpec(container=ContainerSpec(image="image"), retry=Retry(limit=1, pause_s=1))
    )
    assert len(killed(world, 8)) == 4
    assert world.tasks[f"{job}-0"].state is TaskState.FAILED


@pytest.mark.parametrize("owners", [{"owner": "alice"}, {}])
def test_a_task_killed_on_one_owners_givers_goes_on(world: World, owners: dict[str, str]) -> None:
    world.join("g1", **owners)
    if owners:
        world.join("g2", **owners)
    job = world.submit_spec(
        JobSpec(container=ContainerSpec(image="image"), agreement=Agreement(max_attempts=5))
    )
    assert len(killed(world, 8)) == 5
    assert "5 attempts" in world.tasks[f"{job}-0"].reason


def test_who_was_given_up_says_nothing_of_a_task_that_is_killed(world: World) -> None:
    world.join("g1")
    world.submit()
    (lost,) = world.dispatched()
    world.pass_time(31)
    world.join("g2", "g3")
    world.report(lost, digest=None, outcome=Outcome.KILLED)
    assert lost.late
    (assignment,) = world.dispatched()
    world.report(assignment, digest=None, outcome=Outcome.KILLED)
    assert not assignment.task.state.final


def test_to_be_held_back_costs_the_same_however_many_givers_there_are(world: World) -> None:
    world.join("g1")
    small = Capacity(cpus=0.5, memory_bytes=1 << 30, disk_bytes=1 << 40, containers=4)
    world.join(*(f"small{number}" for number in range(500)), capacity=small)
    world.submit(replicas=2, quorum=2)
    world.turn()
    rankings = world.scheduler._ledger.rankings
    before = rankings.looked_at
    for _ in range(10):
        world.turn()
    assert rankings.looked_at - before <= 30


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32), quorum=st.integers(2, 3))
def test_owners_are_counted_as_by_looking_at_everybody(seed: int, quorum: int) -> None:
    random_ = random.Random(seed)
    fleet = Fleet(strikes=3)
    rules = Agreement(replicas=quorum, quorum=quorum)
    spec = JobSpec(container=ContainerSpec(image="image"), agreement=rules)
    demand = Demand.of(spec)
    ranking = Ranking(demand, fleet)
    for second in range(80):
        name = f"g{random_.randrange(6)}"
        giver = fleet.givers.get(name)
        match random_.randrange(5):
            case 0 | 1:
                capacity = Capacity(
                    cpus=random_.choice([0.5, 2]),
                    memory_bytes=1 << 30,
                    disk_bytes=1 << 40,
                    containers=4,
                )
                owner = random_.choice(["", "ann", "bob"])
                state = random_.choice([GiverState.READY, GiverState.PAUSED])
                heard = beat(name, capacity=capacity, owner=owner, state=state)
                fleet.hear(heard, Now(second, START))
            case 2 if giver is not None:
                fleet.remove(giver)
            case 3 if giver is not None:
                fleet.cordon(giver, random_.choice([None, Cordon(kind="draining")]))
            case 4:
                ranking.shed()
        able = {
            giver.group
            for giver in fleet.givers.values()
            if not (isinstance(a := consider(giver, demand, second), Refused) and a.lasting)
        }
        assert ranking.enough_owners() == (len(able) >= quorum)
