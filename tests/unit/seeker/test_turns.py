"""Nobody starves, and a higher priority goes first."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from schemas import identifiers
from schemas.job import ContainerSpec, JobSpec
from seeker.model import Job
from seeker.turns import SHARED_EVERY, Turns


def job(priority: int) -> Job:
    spec = JobSpec(container=ContainerSpec(image="image"), priority=priority)
    return Job.new(identifiers.new_job_id(), spec, datetime.now(UTC))


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=12))
def test_every_job_gets_a_turn_within_the_bound(priorities: list[int]) -> None:
    turns = Turns()
    jobs = [job(priority) for priority in priorities]
    for each in jobs:
        turns.add(each)
    bound = SHARED_EVERY * len(jobs)
    taken = [turns.next() for _ in range(3 * bound)]
    for each in jobs:
        places = [-1, *(i for i, one in enumerate(taken) if one is each), len(taken)]
        assert max(b - a for a, b in pairwise(places)) <= bound


def test_jobs_of_one_priority_take_turns_and_a_higher_one_goes_first() -> None:
    turns = Turns()
    low, first, second = job(0), job(1), job(1)
    for each in (low, first, second):
        turns.add(each)
    taken = [turns.next() for _ in range(SHARED_EVERY - 1)]
    assert low not in taken
    assert abs(taken.count(first) - taken.count(second)) <= 1


def test_a_job_that_cannot_begin_anything_is_passed_over() -> None:
    turns = Turns()
    stuck, free = job(5), job(0)
    stuck.demand = "much"
    turns.add(stuck)
    turns.add(free)
    turns.pass_over("much")
    assert turns.next() is free
    turns.remove(free)
    assert turns.next() is None
    turns.start_over()
    assert turns.next() is stuck
