"""A simulated fleet and what is asked of it: all different, and the same at every call."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import cycle
from random import Random

from schemas.heartbeat import Capacity, Heartbeat, Held, Platform, Speed
from schemas.job import (
    GIB,
    MIB,
    Agreement,
    ContainerSpec,
    JobSpec,
    Placement,
    Resources,
)
from schemas.states import AssignmentState, GiverState

INTERVAL_S = 10.0
IMAGE = "noop:local"
_ZONES = ("north", "south", "east", "west")
_OWNS = 20
"""Givers of one owner; every second giver has none."""

PLACEMENTS = (
    Placement(),
    Placement(labels={"zone": "north"}),
    Placement(architecture="amd64", strategy="pack"),
    Placement(require='memory >= 8 * 1024 * 1024 * 1024 && labels.zone != "west"'),
    Placement(prefer="speed_all / 10.0"),
    Placement(require='"ssd" in labels', prefer='labels.zone == "east" ? 1.0 : 0.0'),
)
SIZES = (
    Resources(cpus=0.5, memory_bytes=64 * MIB, disk_bytes=0),
    Resources(cpus=2, memory_bytes=GIB, disk_bytes=GIB),
)


def beats(count: int, *, containers: int = 8) -> list[Heartbeat]:
    """The first heartbeats of so many givers, which run at most so many containers at a time."""
    random = Random(0)
    return [_beat(number, random, containers) for number in range(count)]


def _beat(number: int, random: Random, containers: int) -> Heartbeat:
    cpus = random.choice((2, 4, 8, 16))
    capacity = Capacity(
        cpus=cpus,
        memory_bytes=cpus * random.choice((1, 2, 4)) * GIB,
        disk_bytes=random.choice((50, 500)) * GIB,
        containers=random.randint(1, containers),
    )
    labels = {"zone": random.choice(_ZONES)}
    if random.random() < 0.5:
        labels["ssd"] = "yes"
    single = random.uniform(0.5, 2.0)
    return Heartbeat(
        giver_id=f"giver-{number}",
        boot_id="boot",
        session=f"session-{number}",
        sequence=0,
        interval_s=INTERVAL_S,
        state=GiverState.READY,
        version="1",
        owner=f"owner-{number // _OWNS}" if number % 2 else "",
        labels=labels,
        platform=Platform(os="linux", architecture="arm64" if random.random() < 0.2 else "amd64"),
        speed=Speed(single=single, all_cores=single * cpus * 0.8),
        capacity=capacity,
        free=capacity,
        backlog=0,
        images=(IMAGE, f"image-{number % 7}:1") if number % 3 else (),
    )


def next_beat(beat: Heartbeat, running: Iterable[str]) -> Heartbeat:
    """An interval later, with these assignments on their way."""
    held = tuple(
        Held.model_construct(assignment_id=each, state=AssignmentState.RUNNING) for each in running
    )
    return beat.model_copy(update={"sequence": beat.sequence + 1, "inventory": held})


def specs(count: int) -> list[JobSpec]:
    """Jobs of so many tasks, no two of which ask the same of a giver."""
    return [
        JobSpec(
            container=ContainerSpec(image=IMAGE, command=("true",), resources=resources),
            placement=placement,
            agreement=Agreement(replicas=2) if number == 0 else Agreement(),
            count=count,
        )
        for number, (placement, resources) in enumerate(zip(PLACEMENTS, cycle(SIZES)))
    ]


def one_task(number: int) -> JobSpec:
    """A job as a loop in somebody's shell makes them: alike, but for what the command is told."""
    container = ContainerSpec(
        image=IMAGE,
        command=("python", "run.py", "--seed", str(number)),
        env={"MODEL": "small", "SEED": str(number)},
        resources=SIZES[0],
    )
    return JobSpec(container=container)
