"""Who may start: first in, first out, and never more than there is."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from giver.slots import Slots
from schemas.heartbeat import Capacity
from schemas.job import MIB, Resources


def capacity(**changes: Any) -> Capacity:
    whole = {"cpus": 4.0, "memory_bytes": 1000 * MIB, "disk_bytes": 1000 * MIB, "containers": 3}
    return Capacity(**{**whole, **changes})


def needs(cpus: float = 1.0, memory: int = 10, disk: int = 0) -> Resources:
    return Resources(cpus=cpus, memory_bytes=memory * MIB, disk_bytes=disk * MIB)


def test_they_start_in_the_order_of_arrival_as_far_as_containers_go() -> None:
    slots = Slots(capacity(), backlog=10)
    for name in "abcd":
        slots.hold(name, needs(cpus=0.1))
    assert slots.take() == ["a", "b", "c"]
    assert slots.take() == []
    slots.release("b")
    assert slots.take() == ["d"]


def test_nothing_overtakes_a_large_one_at_the_head() -> None:
    slots = Slots(capacity(), backlog=10)
    slots.hold("first", needs(cpus=1))
    slots.hold("large", needs(cpus=4))
    slots.hold("small", needs(cpus=1))
    assert slots.take() == ["first"]
    slots.release("first")
    assert slots.take() == ["large"]
    slots.release("large")
    assert slots.take() == ["small"]


def test_each_resource_holds_back_what_does_not_fit_now() -> None:
    for demand in (needs(cpus=3), needs(memory=600), needs(disk=600)):
        slots = Slots(capacity(), backlog=10)
        slots.hold("a", demand)
        slots.hold("b", demand)
        assert slots.take() == ["a"]
        slots.release("a")
        assert slots.take() == ["b"]


def test_what_can_never_fit_is_refused_by_name() -> None:
    slots = Slots(capacity(), backlog=10)
    assert "CPUs" in (slots.refusal(needs(cpus=5)) or "")
    assert "memory" in (slots.refusal(needs(memory=2000)) or "")
    assert "disk" in (slots.refusal(needs(disk=2000)) or "")
    assert slots.refusal(needs(cpus=4, memory=1000, disk=1000)) is None


def test_more_than_the_backlog_is_refused() -> None:
    slots = Slots(capacity(containers=1), backlog=1)
    assert slots.refusal(needs()) is None
    assert slots.refusal(needs(), ahead=1) is None
    assert "full" in (slots.refusal(needs(), ahead=2) or "")
    slots.hold("a", needs())
    slots.take()
    slots.hold("b", needs())
    assert "full" in (slots.refusal(needs()) or "")
    slots.withdraw("b")
    assert slots.refusal(needs()) is None


def test_one_withdrawn_is_passed_over() -> None:
    slots = Slots(capacity(), backlog=10)
    slots.hold("a", needs())
    slots.hold("b", needs())
    assert slots.withdraw("a")
    assert not slots.withdraw("a")
    assert slots.take() == ["b"]


def test_adopted_ones_count_even_beyond_capacity() -> None:
    slots = Slots(capacity(cpus=1.0), backlog=10)
    slots.occupy("a", needs(cpus=1))
    slots.occupy("b", needs(cpus=1))
    slots.hold("c", needs(cpus=1))
    assert slots.free.cpus == 0
    slots.release("a")
    assert slots.take() == []
    slots.release("b")
    assert slots.take() == ["c"]


def test_a_new_size_counts_what_runs() -> None:
    slots = Slots(capacity(), backlog=10)
    slots.occupy("a", needs(disk=100))
    slots.resize(capacity(disk_bytes=500 * MIB), backlog=5)
    assert slots.free.disk_bytes == 400 * MIB
    assert slots.backlog == 5


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.3, 1.0]), st.booleans()), max_size=60))
def test_capacity_is_never_exceeded_and_returns_whole(
    steps: list[tuple[float, bool]],
) -> None:
    slots = Slots(capacity(cpus=1.0), backlog=100)
    running: dict[str, float] = {}
    demands: dict[str, float] = {}
    for number, (cpus, finish) in enumerate(steps):
        name = str(number)
        demands[name] = cpus
        slots.hold(name, needs(cpus=cpus))
        if finish and running:
            done = next(iter(running))
            del running[done]
            slots.release(done)
        running.update((each, demands[each]) for each in slots.take())
        assert sum(running.values()) <= 1.0 + 1e-9
        assert len(running) <= 3
    while running:
        for done in list(running):
            slots.release(done)
            del running[done]
        running.update((each, demands[each]) for each in slots.take())
    assert slots.waiting == 0
    assert slots.free == slots.capacity
