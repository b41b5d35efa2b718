"""Inventory, repeats and refusals, as heartbeats and the intake see them."""

from __future__ import annotations

from giver.health import Health
from giver.heartbeat import IMAGES_MAX, Described, compose
from giver.ledger import Ledger
from giver.slots import Slots
from schemas.assignment import Assignment
from schemas.heartbeat import Capacity, Heartbeat, Platform
from schemas.job import ContainerSpec
from schemas.states import AssignmentState, GiverState

JOB = "01JD0000000000000000000000"


def assignment(index: int = 0) -> Assignment:
    return Assignment(
        assignment_id=f"{JOB}-{index}-1",
        task_id=f"{JOB}-{index}",
        job_id=JOB,
        container=ContainerSpec(image="i:1"),
    )


def quiet() -> Ledger:
    return Ledger(on_change=lambda _: None)


def states(ledger: Ledger) -> dict[str, AssignmentState]:
    return {held.assignment_id: held.state for held in ledger.inventory()}


def test_an_assignment_is_in_the_inventory_until_its_result_is_confirmed() -> None:
    ledger, one = quiet(), assignment()
    name = one.assignment_id
    ledger.accepted(one)
    assert states(ledger) == {name: AssignmentState.ACCEPTED}
    ledger.moved(name, AssignmentState.RUNNING)
    assert states(ledger) == {name: AssignmentState.RUNNING}
    ledger.reported(name)
    assert states(ledger) == {name: AssignmentState.REPORTED}
    assert ledger.unconfirmed == 1
    assert ledger.holds(name)
    ledger.confirmed([name])
    assert states(ledger) == {}
    assert not ledger.holds(name)
    assert ledger.has_confirmed(name)


def test_a_late_word_of_its_run_does_not_bring_it_back() -> None:
    ledger, one = quiet(), assignment()
    ledger.accepted(one)
    ledger.reported(one.assignment_id)
    ledger.moved(one.assignment_id, AssignmentState.RUNNING)
    assert states(ledger) == {one.assignment_id: AssignmentState.REPORTED}


def test_a_refusal_is_told_a_few_times_and_at_once() -> None:
    urgent: list[bool] = []
    ledger = Ledger(on_change=urgent.append)
    ledger.refused(f"{JOB}-1-1", "x" * 1000)
    assert urgent == [True]
    told = [ledger.tell_refusals() for _ in range(4)]
    assert [len(each) for each in told] == [1, 1, 1, 0]
    assert len(told[0][0].reason) == 500


def test_a_refused_one_that_is_taken_later_is_not_refused_any_more() -> None:
    ledger, one = quiet(), assignment()
    ledger.refused(one.assignment_id, "full")
    ledger.accepted(one)
    assert ledger.tell_refusals() == ()


def test_a_heartbeat_is_one_that_its_readers_accept() -> None:
    ledger, health = quiet(), Health(lambda _: None)
    ledger.accepted(assignment())
    ledger.refused(f"{JOB}-1-1", "full")
    has = Capacity(cpus=2, memory_bytes=1 << 30, disk_bytes=1 << 30, containers=4)
    described = Described(
        giver_id="g",
        boot_id="b",
        interval_s=10.0,
        version="1",
        owner="me",
        labels={"zone": "a"},
        platform=Platform(os="linux", architecture="amd64"),
        images=tuple(f"i:{number}" for number in range(1000)),
    )
    beat = compose(described, "s", 7, health, Slots(has, 4), ledger)
    again = Heartbeat.decode(beat.encode())
    assert again == beat
    assert len(again.images) == IMAGES_MAX
    assert (again.state, bool(again.state_reason)) == (GiverState.DEGRADED, True)


def test_health_is_ready_only_when_every_reason_is_gone() -> None:
    changes: list[bool] = []
    health = Health(changes.append)
    assert health.state is GiverState.DEGRADED
    health.engine_works()
    assert (health.state, health.reason) == (GiverState.READY, "")
    health.journal_failed("disk full")
    health.engine_failed("no Docker")
    assert health.reason == "no Docker; disk full"
    health.engine_works()
    assert health.state is GiverState.DEGRADED
    assert health.may_start
    health.journal_works()
    assert health.state is GiverState.READY
    seen = len(changes)
    health.journal_works()
    assert len(changes) == seen
    health.stopping()
    assert health.state is GiverState.DRAINING
    assert not health.may_start
