"""Nobody starves, and a higher priority goes first."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from schemas import identifiers
from schemas.job import ContainerSpec, JobSpec
from seeker.model import Job
from seeker.turns import SHARED_EVERY, Turns


def job(priority: int) -> Job:
    spec = JobSpec(container=ContainerSpec(image="image"), priority=priority)
    now = datetime.now(UTC)
    return Job.new(identifiers.new_job_id(), spec, now, now)


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


@given(st.integers(0, 2**32))
def test_they_agree_with_looking_at_all_jobs(seed: int) -> None:
    """Whoever comes, goes, or is passed over."""
    random = Random(seed)
    turns, waiting, passed_over = Turns(), list[Job](), set[str]()
    taken = 0
    for _ in range(150):
        match random.randrange(8):
            case 0 | 1:
                waiting.append(job(random.randrange(3)))
                waiting[-1].demand = random.choice("abc")
                turns.add(waiting[-1])
            case 2 if waiting:
                turns.remove(waiting.pop(random.randrange(len(waiting))))
            case 3:
                demand = random.choice("abc")
                turns.pass_over(demand)
                passed_over.add(demand)
            case 4:
                turns.start_over()
                passed_over.clear()
            case _:
                able = [each for each in waiting if each.demand not in passed_over]
                if taken % SHARED_EVERY != SHARED_EVERY - 1:
                    highest = max((each.priority for each in able), default=0)
                    able = [each for each in able if each.priority == highest]
                expected = min(able, key=lambda each: each.waits_since or 0, default=None)
                found = turns.next()
                assert found is expected
                taken += found is not None


def test_jobs_that_went_are_not_held() -> None:
    turns = Turns()
    stays = job(0)
    turns.add(stays)
    gone = [job(0) for _ in range(100)]
    for each in gone:
        turns.add(each)
    for each in gone:
        turns.remove(each)
    assert len(turns._by_priority[0]._queues[stays.demand]._jobs) <= 2
    for _ in range(100):
        comes = job(0)
        comes.demand = "other"
        turns.add(comes)
        while turns.next() is not comes:
            pass
        turns.remove(comes)
    assert len(turns._by_priority[0]._heap) <= 3


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
