"""The ranking finds what looking at everybody would find."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from schemas.heartbeat import Capacity, Speed
from schemas.job import ContainerSpec, JobSpec, Placement, Resources
from schemas.states import GiverState
from seeker.fleet import Fleet
from seeker.model import Giver, Now
from seeker.placement import Demand, Offer, Refused, consider, take
from seeker.ranking import Ranking
from tests.unit.seeker.conftest import START, beat

LABELS = [{}, {"zone": "a"}, {"zone": "b"}]


def now(seconds: float) -> Now:
    return Now(seconds, START)


def demand(require: str = "", prefer: str = "", cpus: float = 1) -> Demand:
    container = ContainerSpec(image="image", resources=Resources(cpus=cpus))
    return Demand.of(
        JobSpec(container=container, placement=Placement(require=require, prefer=prefer))
    )


def best_of_all(fleet: Fleet, wanted: Demand, taken: set[str], at: float) -> Offer | None:
    offers = [
        offer
        for giver in fleet.givers.values()
        if giver.group not in taken and isinstance(offer := consider(giver, wanted, at), Offer)
    ]
    return min(offers, key=lambda o: (o.score, o.giver.tie, o.giver.id), default=None)


@settings(max_examples=150, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    require=st.sampled_from(["", "labels.zone == 'a'", "cpus >= 4.0"]),
    prefer=st.sampled_from(["", "speed", "'zone' in labels ? 1.0 : 0.0"]),
)
def test_it_agrees_with_looking_at_everybody(seed: int, require: str, prefer: str) -> None:
    random_ = random.Random(seed)
    fleet = Fleet(strikes=3)
    wanted = [demand(require, prefer), demand(cpus=2)]
    rankings = [Ranking(each, fleet) for each in wanted]
    at = 0.0
    for _ in range(120):
        at += random_.random()
        name = f"g{random_.randrange(12)}"
        giver = fleet.givers.get(name)
        match random_.randrange(6):
            case 0 | 1:
                capacity = Capacity(
                    cpus=random_.choice([2, 4, 8]),
                    memory_bytes=1 << 34,
                    disk_bytes=1 << 40,
                    containers=8,
                )
                fleet.hear(
                    beat(
                        name,
                        capacity=capacity,
                        owner=random_.choice(["", "ann", "bob"]),
                        labels=random_.choice(LABELS),
                        speed=Speed(single=random_.choice([0.5, 1, 2]), all_cores=4),
                        state=random_.choice([GiverState.READY] * 4 + [GiverState.DRAINING]),
                        images=random_.choice([(), ("image",)]),
                    ),
                    now(at),
                )
            case 2 if giver is not None:
                take(giver.load, wanted[0].resources)
                fleet.touch(giver)
            case 3 if giver is not None and giver.load.containers:
                take(giver.load, wanted[0].resources, sign=-1)
                fleet.touch(giver)
            case 4 if giver is not None:
                fleet.back_off(giver, "image", "job", now(at))
            case 5 if giver is not None and random_.random() < 0.3:
                fleet.remove(giver)
        fleet.end_pauses(now(at))
        groups = sorted({g.group for g in fleet.givers.values()})
        taken = set(random_.sample(groups, min(len(groups), random_.randrange(3))))
        for each, ranking in zip(wanted, rankings, strict=True):
            if random_.random() < 0.1:
                ranking.shed()
            expected = best_of_all(fleet, each, taken, at)
            found = ranking.best(taken, at)
            assert (found and found.giver.id) == (expected and expected.giver.id)


def giver(**fields: object) -> Giver:
    fleet = Fleet(strikes=3)
    return fleet.hear(beat("g1", **fields), now(0))[0]


@pytest.mark.parametrize(
    ("fields", "spec", "told"),
    [
        ({}, {"resources": Resources(cpus=3)}, "has 2 CPUs, 3 are needed"),
        ({}, {"resources": Resources(gpus=1)}, "has 0 GPUs, 1 are needed"),
        ({}, {"resources": Resources(memory_bytes=2 << 30)}, "has 1024 MiB of memory"),
        ({"state": GiverState.PAUSED}, {}, "is paused"),
        ({}, {"placement": Placement(architecture="arm64")}, "is amd64, arm64 is needed"),
        ({}, {"placement": Placement(os="windows")}, "runs linux, windows is needed"),
        (
            {"labels": {"zone": "b"}},
            {"placement": Placement(labels={"zone": "a"})},
            "label zone=b, zone=a is needed",
        ),
        ({}, {"placement": Placement(labels={"ssd": "y"})}, "label ssd is absent"),
        ({}, {"placement": Placement(require="speed > 3.0")}, "does not fulfil speed > 3.0"),
        ({}, {"placement": Placement(require="labels.a == 'b'")}, "does not fulfil"),
    ],
)
def test_a_refusal_says_why(fields: dict[str, object], spec: dict[str, object], told: str) -> None:
    resources = spec.pop("resources", Resources())
    container = ContainerSpec(image="image", resources=resources)  # type: ignore[arg-type]
    wanted = Demand.of(JobSpec(container=container, **spec))  # type: ignore[arg-type]
    answer = consider(giver(**fields), wanted, 0)
    assert isinstance(answer, Refused)
    assert told in answer.reason


def test_a_faster_giver_and_one_with_the_image_are_better() -> None:
    wanted = demand()

    def score(**fields: object) -> float:
        offer = consider(giver(**fields), wanted, 0)
        assert isinstance(offer, Offer)
        assert offer.score == pytest.approx(sum(offer.parts.values()))
        return offer.score

    plain = score()
    assert score(speed=Speed(single=2, all_cores=8)) < plain
    assert score(images=("image",)) < plain


def test_pack_prefers_the_fuller_giver() -> None:
    fleet = Fleet(strikes=3)
    for name in ("g1", "g2"):
        fleet.hear(beat(name), now(0))
    take(fleet.givers["g2"].load, Resources(cpus=0.5))
    fleet.touch(fleet.givers["g2"])
    container = ContainerSpec(image="image", resources=Resources(cpus=0.5))
    for strategy, expected in (("spread", "g1"), ("pack", "g2")):
        spec = JobSpec(container=container, placement=Placement(strategy=strategy))
        found = Ranking(Demand.of(spec), fleet).best((), 0)
        assert found is not None
        assert found.giver.id == expected
