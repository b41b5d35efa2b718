"""What `explain` and `plan` say of givers, and how it is printed."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from schemas.heartbeat import Capacity
from schemas.job import Agreement, ContainerSpec, Grants, JobSpec, Placement, Resources
from schemas.policy import Policy
from schemas.states import AssignmentState, GiverState, TaskState
from seeker import documents, explanation, view
from seeker.commands.follow import progress
from seeker.explanation import Explanation
from seeker.fleet import Fleet
from seeker.model import Assignment, Giver, Job, Task
from seeker.placement import Demand
from seeker.ranking import Ranking
from tests.unit.seeker.conftest import START, World, beat

JOB = "01J00000000000000000000000"


def spec(require: str = "", placement: Placement | None = None, **resources: Any) -> JobSpec:
    return JobSpec(
        container=ContainerSpec(image="image", resources=Resources(**resources)),
        placement=placement or Placement(require=require),
    )


def explain(world: World, job: JobSpec, *groups: str) -> Explanation:
    """Through the database's documents, as the commands do."""
    kept = [{**documents.giver(g), "_id": g.id} for g in world.fleet.givers.values()]
    givers = [documents.giver_as_seen(document, world.now) for document in kept]
    return explanation.explain(givers, Demand.of(job), groups, world.now)


def capacity(cpus: float) -> Capacity:
    return Capacity(cpus=cpus, memory_bytes=1 << 30, disk_bytes=1 << 40, containers=4)


def test_the_best_is_the_one_that_the_seeker_takes(world: World) -> None:
    for number in range(1, 6):
        world.join(f"g{number}", capacity=capacity(number))
    found = explain(world, spec())
    scores = [offer.score for offer in found.offers]
    assert scores == sorted(scores)
    assert len(scores) == 5
    world.submit_spec(spec())
    [assignment] = world.dispatched()
    assert found.offers[0].giver.id == assignment.giver_id
    assert found.offers[0].parts == assignment.parts
    assert sum(assignment.parts.values()) == pytest.approx(found.offers[0].score)


fleets = st.lists(
    st.tuples(
        st.sampled_from([0.5, 1.0, 2.0, 8.0]),
        st.sampled_from(["", "alice", "bob"]),
        st.sampled_from(list(GiverState)),
        st.booleans(),
        st.integers(0, 3),
    ),
    max_size=8,
)


@given(fleets, st.sets(st.sampled_from(["owner alice", "owner bob", "giver g0"])))
def test_the_explanation_agrees_with_the_ranking(
    fleet: list[tuple[float, str, GiverState, bool, int]], taken: set[str]
) -> None:
    world = World(fleet=Fleet(strikes=3))
    for number, (cpus, owner, state, cached, used) in enumerate(fleet):
        images = ("image",) if cached else ()
        heard = beat(f"g{number}", capacity=capacity(cpus), owner=owner, state=state, images=images)
        world.scheduler.heard(heard, world.now)
        world.fleet.givers[f"g{number}"].load.containers = used
    demand = Demand.of(spec())
    best = Ranking(demand, world.fleet).best(taken, world.now.monotonic)
    found = explain(world, spec(), *taken)
    assert len(found.offers) + len(found.refusals) == len(fleet)
    assert (best.giver.id if best else None) == (found.offers[0].giver.id if found.offers else None)


def test_every_refusal_has_its_reason_and_those_that_pass_come_first(world: World) -> None:
    world.join("small", capacity=capacity(0.5))
    world.join("busy", state=GiverState.PAUSED)
    world.join("drained")
    world.command("drain", "drained")
    world.join("tried", owner="alice")
    found = explain(world, spec(), "owner alice")
    assert found.offers == []
    assert [(refused.giver_id, refused.reason) for refused in found.refusals] == [
        ("busy", "is paused"),
        ("drained", "draining by the operator"),
        ("small", "has 0.5 CPUs, 1 are needed"),
        ("tried", "it, or another giver of alice, has this task already"),
    ]
    assert found.remedy == "it goes out as soon as one of them is ready again"


@pytest.mark.parametrize(
    ("asked", "remedy"),
    [
        (spec(cpus=99), "ask for less, or add a giver that has more"),
        (spec(gpus=1), "ask for less, or add a giver that has more"),
        (
            spec(placement=Placement(os="plan9")),
            "ask for another platform, or add a giver of this one",
        ),
        (
            spec(placement=Placement(labels={"disk": "ssd"})),
            "do without the label disk=ssd, or add a giver that has it",
        ),
        (
            spec(require="cpus > 10"),
            "require something else than cpus > 10, or add a giver that fulfils it",
        ),
    ],
)
def test_when_nobody_will_ever_do_the_remedy_is_about_what_they_lack(
    world: World, asked: JobSpec, remedy: str
) -> None:
    world.join("g1", "g2")
    assert explain(world, asked).remedy == f"no giver at hand will do: {remedy}"


def test_what_an_owner_does_not_allow_is_a_lasting_refusal_with_the_limit(world: World) -> None:
    world.join("strict", policy=Policy(pids=64, images=("alice/*",)))
    world.join("small", policy=Policy(network=True, images=("*",), timeout_s=60))
    wanted = spec(pids=65)
    container = wanted.container.model_copy(update={"grants": Grants(network=True)})
    wanted = wanted.model_copy(update={"container": container})
    found = explain(world, wanted)
    assert [(refused.giver_id, refused.reason, refused.lasting) for refused in found.refusals] == [
        ("small", "allows a task 60 s of run time, 3600 are asked for", True),
        ("strict", "grants no network", True),
    ]
    assert found.kinds == {"allow a task too little time": 1, "grant no network": 1}
    world.submit_spec(wanted)
    assert world.dispatched() == []
    world.hold("strict", sequence=1, policy=Policy(network=True))
    assert [assignment.giver_id for assignment in world.dispatched()] == ["strict"]


def test_the_remedy_for_a_cordon_is_to_end_it_and_for_a_task_tried_a_new_giver(
    world: World,
) -> None:
    world.join("g1", "g2", owner="alice")
    world.join("g3")
    world.command("quarantine", "g3")
    assert explain(world, spec(), "owner alice").remedy == (
        "no giver at hand will do: add a giver that has not had this task, nor has its owner; "
        "or `seeker givers resume g3`"
    )


def test_what_passes_by_itself_is_told_with_what_must_happen(world: World) -> None:
    world.join("full", "away")
    world.fleet.givers["full"].load.cpus = 1000
    world.fleet.givers["away"].unreachable = True
    found = explain(world, spec())
    assert found.remedy in (
        "it goes out as soon as one of them has room or is connected again",
        "it goes out as soon as one of them is connected again or has room",
    )
    assert explain(World(), spec()).remedy == "start a giver with `giver run`"


def test_replicas_go_to_givers_of_different_owners(world: World) -> None:
    world.join("a1", "a2", owner="alice")
    world.join("b1", owner="bob")
    world.join("c1", "c2")
    first = explain(world, spec()).first(10)
    assert len(first) == 4
    assert {"b1", "c1", "c2"} < set(first)
    assert explain(world, spec()).first(2) == first[:2]


def test_loads_are_those_of_the_live_assignments(world: World) -> None:
    world.join("g1", "g2")
    givers = list(world.fleet.givers.values())
    givers[1].load.cpus = 2  # As an old document has it.
    half = Resources(cpus=0.5)
    explanation.load(givers, [("g1", half, 3), ("gone", half, 1)])
    assert (givers[0].load.cpus, givers[0].load.containers) == (1.5, 3)
    assert (givers[1].load.cpus, givers[1].load.containers) == (0, 0)


def task(state: TaskState, *assigned: AssignmentState, replicas: int = 1) -> Task:
    asked = spec().model_copy(update={"agreement": Agreement(replicas=replicas)})
    job = Job.new(JOB, asked, START, START)
    found = Task(job=job, index=0, state=state)
    for number, each in enumerate(assigned, start=1):
        found.assignments.append(
            Assignment(
                task=found,
                number=number,
                giver_id=f"g{number}",
                group=f"giver g{number}",
                platform="linux/amd64",
                state=each,
                placed_at=START,
            )
        )
    return found


@pytest.mark.parametrize(
    ("found", "waits"),
    [
        (task(TaskState.PENDING), True),
        (task(TaskState.ACTIVE, AssignmentState.RUNNING), False),
        (task(TaskState.ACTIVE, AssignmentState.LOST), True),
        (task(TaskState.ACTIVE, AssignmentState.RUNNING, replicas=2), True),
        (task(TaskState.SUCCEEDED, AssignmentState.REPORTED), False),
    ],
)
def test_a_task_waits_when_it_wants_a_giver(found: Task, waits: bool) -> None:
    assert explanation.waits(found) is waits


def fleet_of(count: int, too_small: int) -> dict[str, Giver]:
    world = World()
    for number in range(count):
        cpus = 0.5 if number < too_small else 2
        world.join(f"a-host-with-a-name-{number:05}", capacity=capacity(cpus))
    return world.fleet.givers


def test_of_a_large_fleet_the_best_are_printed_and_the_rest_is_counted(
    capsys: pytest.CaptureFixture[str],
) -> None:
    world = World()
    givers = fleet_of(1000, too_small=300).values()
    found = explanation.explain(givers, Demand.of(spec()), (), world.now)
    capsys.readouterr()  # What was logged.
    view.print_explanation(found)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == [
        *("GIVER", "SCORE", "COMPLETION", "IMAGE", "RELIABILITY", "SPREAD"),
    ]
    assert [line.split()[0] for line in lines[1:21]] == [o.giver.id for o in found.offers[:20]]
    assert lines[21:] == ["… 680 more can take it", "", *lines[23:]]
    assert [line.split() for line in lines[23:]] == [
        ["GIVERS", "THAT"],
        ["300", "have", "too", "few", "CPUs"],
    ]


def test_ids_are_never_broken_whatever_the_width(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    world = World()
    long = "a" * 63
    world.join(long)
    world.join("b" * 63, capacity=capacity(0.5))
    found = explain(world, spec())
    capsys.readouterr()  # What was logged.
    view.print_explanation(found)
    document = {**documents.giver(world.fleet.givers[long]), "_id": long}
    view.print_givers([view.giver(document)])
    out = capsys.readouterr().out
    assert out.count(long) == 2
    assert "b" * 63 in out
    assert "COMPLETION" in out
    assert "STRIKES" in out


def test_what_a_job_waits_for_is_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    counts = {"pending": 1, "active": 0, "succeeded": 0, "failed": 0, "cancelled": 0}
    with progress("job") as show:
        show({"counts": counts, "waiting_reason": "label a is absent, a=[/b] is needed"})
    assert "[/b]" in "".join(capsys.readouterr().out.split())


def test_a_giver_is_shown_as_the_operator_left_it(world: World) -> None:
    world.join("g1", state=GiverState.PAUSED)
    giver = world.fleet.givers["g1"]

    def shown(**fields: Any) -> str:
        state: str = view.giver({**documents.giver(giver), "_id": "g1", **fields})["state"]
        return state

    assert shown() == "paused"
    world.command("quarantine", "g1")
    assert shown() == "quarantined"
    world.command("drain", "g1")
    assert shown() == "draining"
    assert shown(member=False) == "purged"


def test_a_giver_whose_queue_is_gone_is_not_shown_as_ready(world: World) -> None:
    world.join("g1")
    world.scheduler.gone("g1", "session", world.now)
    giver = view.giver({**documents.giver(world.fleet.givers["g1"]), "_id": "g1"})
    assert giver["state"] == "unreachable"
    world.command("drain", "g1")
    giver = view.giver({**documents.giver(world.fleet.givers["g1"]), "_id": "g1"})
    assert giver["state"] == "draining"


def test_a_task_that_too_few_owners_could_agree_on_is_told_apart(world: World) -> None:
    world.join("a1", "a2", owner="alice")
    asked = spec().model_copy(update={"agreement": Agreement(replicas=2, quorum=2)})
    found = explain(world, asked)
    assert len(found.offers) == 2
    assert "those of 1 would do: add one of another owner" in found.remedy
    world.join("b1", owner="bob")
    assert explain(world, asked).remedy.startswith("none: it goes to")
