"""GPUs: counted, each given to one container only, and known again after a restart."""

from __future__ import annotations

from typing import Any

from giver.engine import Image, Plan
from giver.hardening import GPUS_LABEL, container_config
from giver.slots import Slots
from schemas.heartbeat import Capacity
from schemas.job import ContainerSpec, Resources


def slots(gpus: int) -> Slots:
    whole = Capacity(cpus=64, memory_bytes=1 << 40, disk_bytes=1 << 40, gpus=gpus, containers=64)
    return Slots(whole, backlog=10)


def needs(gpus: int) -> Resources:
    return Resources(gpus=gpus)


def config(gpus: tuple[int, ...]) -> dict[str, Any]:
    plan = Plan("a", Image("sha256:1", None), ContainerSpec(image="i:1"), gpus)
    return container_config("g", plan, init=True, host_cpus=None, log_bytes=100)


def test_no_two_that_run_share_one() -> None:
    four = slots(4)
    for name, gpus in (("a", 1), ("b", 2), ("c", 2), ("d", 1)):
        four.hold(name, needs(gpus))
    assert four.take() == ["a", "b"]
    assert (four.gpus("a"), four.gpus("b")) == ((0,), (1, 2))
    assert four.free.gpus == 1
    four.release("a")
    assert four.take() == ["c"]
    assert four.gpus("c") == (0, 3)
    four.release("b")
    assert four.take() == ["d"]
    assert four.gpus("d") == (1,)


def test_those_of_a_container_found_are_not_given_out() -> None:
    two = slots(2)
    two.occupy("found", needs(1), gpus=(1,))
    two.hold("next", needs(1))
    assert two.take() == ["next"]
    assert two.gpus("next") == (0,)


def test_a_task_that_needs_more_than_there_are_is_refused() -> None:
    reason = slots(0).refusal(needs(1))
    assert reason is not None
    assert "needs 1 GPUs, this giver has 0" in reason
    assert slots(1).refusal(needs(1)) is None


def test_the_container_gets_exactly_those() -> None:
    made = config((1, 3))
    (request,) = made["HostConfig"]["DeviceRequests"]
    assert request["DeviceIDs"] == ["1", "3"]
    assert request["Capabilities"] == [["gpu"]]
    assert made["Labels"][GPUS_LABEL] == "1,3"


def test_a_container_without_any_asks_for_none() -> None:
    made = config(())
    assert "DeviceRequests" not in made["HostConfig"]
    assert made["Labels"][GPUS_LABEL] == ""
