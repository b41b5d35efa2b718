"""Where tasks go among five givers that differ, and who takes over when one of them is gone."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import docker
import pytest
from click.testing import CliRunner
from docker.models.containers import Container

from deploy.local.stack import Stack
from giver.hardening import ASSIGNMENT_LABEL
from schemas.job import ContainerSpec, JobSpec, Placement, Resources
from seeker import cli
from seeker.client import Client
from seeker.settings import SeekerSettings
from tests.acceptance.conftest import User

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

INTERVAL_S = 1.0
PURGED_WITHIN_S = 3 * INTERVAL_S + 1
RECONNECTED_WITHIN_S = 10
LOOKED_FOR_AFTER_S = RECONNECTED_WITHIN_S + 1
STARTED_WITHIN_S = 2
"""Placed within one; Docker on a busy machine may take the other."""

GIVERS = {
    "small": {
        "GIVER_CPUS": "2",
        "GIVER_MEMORY": "1GiB",
        "GIVER_OWNER": "alice",
        "GIVER_LABELS": '{"zone": "north"}',
        "GIVER_SPEED": "1.0,2.0",
    },
    "large": {
        "GIVER_CPUS": "16",
        "GIVER_MEMORY": "16GiB",
        "GIVER_OWNER": "alice",
        "GIVER_LABELS": '{"zone": "north", "ssd": "yes"}',
        "GIVER_SPEED": "1.0,12.0",
    },
    "fast": {
        "GIVER_CPUS": "4",
        "GIVER_MEMORY": "4GiB",
        "GIVER_OWNER": "bob",
        "GIVER_LABELS": '{"zone": "south"}',
        "GIVER_SPEED": "2.0,8.0",
    },
    "graphics": {
        "GIVER_CPUS": "8",
        "GIVER_MEMORY": "8GiB",
        "GIVER_GPUS": "2",
        "GIVER_OWNER": "bob",
        "GIVER_LABELS": '{"zone": "south", "tier": "gold"}',
        "GIVER_SPEED": "1.0,6.0",
    },
    "slow": {
        "GIVER_CPUS": "32",
        "GIVER_MEMORY": "32GiB",
        "GIVER_LABELS": '{"zone": "east"}',
        "GIVER_SPEED": "0.5,16.0",
    },
}
NUMBERS = {name: f"giver-{number}" for number, name in enumerate(GIVERS, start=1)}
NAMES = {number: name for name, number in NUMBERS.items()}


@dataclass(frozen=True)
class Row:
    asks: str
    """Options of `seeker enqueue`, with `; ` between them."""
    goes_to: str
    """The givers in order; nobody: it waits."""
    refused: dict[str, str]
    """By giver, what its refusal says."""


TABLE = [
    Row("", "fast", {}),
    Row("--cpus; 3; --memory; 2GiB", "fast", {"small": "has 2 CPUs, 3 are needed"}),
    Row("--cpus; 6", "large", {"fast": "has 4 CPUs, 6 are needed"}),
    Row("--cpus; 10", "large", {"graphics": "has 8 CPUs, 10 are needed"}),
    Row("--cpus; 20", "slow", {"large": "has 16 CPUs, 20 are needed"}),
    Row("--memory; 6GiB", "large", {"fast": "has 4096 MiB of memory, 6144 MiB are needed"}),
    Row("--memory; 20GiB", "slow", {"graphics": "has 8192 MiB of memory"}),
    Row("--label; zone=north", "large", {"fast": "label zone=south, zone=north is needed"}),
    Row("--label; zone=north; --strategy; pack", "small", {"slow": "label zone=east"}),
    Row("--label; zone=east", "slow", {"small": "label zone=north"}),
    Row("--label; ssd=yes", "large", {"small": "label ssd is absent, ssd=yes is needed"}),
    Row("--label; tier=gold; --label; zone=south", "graphics", {"fast": "label tier is absent"}),
    Row("--require; cpus < 3.0", "small", {"fast": "does not fulfil cpus < 3.0"}),
    Row('--require; labels.zone == "south" && cpus > 4.0', "graphics", {"fast": "does not fulfil"}),
    Row('--require; owner == "alice" && speed_all > 4.0', "large", {"small": "does not fulfil"}),
    Row('--require; "ssd" in labels || speed > 1.5', "fast", {"slow": "does not fulfil"}),
    Row("--prefer; cpus", "slow", {}),
    Row("--require; speed < 2.0; --prefer; double(gpus)", "graphics", {"fast": "does not fulfil"}),
    Row("--replicas; 3", "fast large slow", {}),
    Row("--platform; linux/no-such", "", dict.fromkeys(GIVERS, "no-such is needed")),
]  # fmt: skip


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    docker = {name: os.environ[name] for name in ("DOCKER_HOST",) if name in os.environ}
    stack = Stack(Path(tmp_path_factory.mktemp("placement")), environ=docker)
    try:
        stack.up(givers=len(GIVERS))
        yield stack
    finally:
        stack.down()


@pytest.fixture(scope="module")
def whole_fleet(stack: Stack) -> Fleet:
    """For tests that leave it as it is."""
    fleet = Fleet(stack)
    fleet.complete()
    return fleet


@pytest.fixture
def fleet(whole_fleet: Fleet) -> Fleet:
    """All five are members and ready, whatever an earlier test did."""
    whole_fleet.complete()
    return whole_fleet


class Fleet:
    def __init__(self, stack: Stack) -> None:
        self.stack = stack
        self.user = User(stack)
        self.ids = {name: stack.giver_ids[number] for name, number in NUMBERS.items()}
        self.names = {giver_id: name for name, giver_id in self.ids.items()}

    def complete(self) -> None:
        self.stack.infra()
        for service in self.stack.status():
            name = NAMES.get(service.name)
            if name is not None and service.state == "dead":
                self.start(name)  # At once as it has to be.
        self.stack.up()
        for name in GIVERS:
            member = self.members().get(name)
            if member is None or member["speed"] != _speed(name):
                self.stack.stop(NUMBERS[name])
                self.start(name)

        def ready() -> bool:
            members = self.members()
            return all(
                name in members
                and members[name]["state"] == "ready"
                and members[name]["speed"] == _speed(name)
                and members[name]["images"]
                and not members[name]["load"]["containers"]
                for name in GIVERS
            )

        wait_until(ready, 60, "all five are ready and idle")

    def start(self, name: str) -> None:
        interval = {"GIVER_HEARTBEAT_INTERVAL_S": str(INTERVAL_S)}
        self.stack.start(NUMBERS[name], environment={**GIVERS[name], **interval})

    def seeker(self, command: str, *arguments: str) -> Any:
        """What a command of the seeker's answers, without the time that a process takes to start;
        `user.run` starts one."""
        line = [command, "--json", *arguments]
        answer = CliRunner().invoke(cli.main, line, env=dict(self.stack.env))
        assert answer.exit_code == 0, answer.output
        return json.loads(answer.stdout)

    def givers(self, *options: str) -> dict[str, Any]:
        """What `seeker givers` says of each."""
        return {self.names[giver["giver_id"]]: giver for giver in self.seeker("givers", *options)}

    def members(self) -> dict[str, Any]:
        return self.givers()

    def memberships(self) -> dict[str, str]:
        """Since when each is a member: another time means that it was purged in between."""
        return {name: giver["joined_at"] for name, giver in self.members().items()}

    def await_beats(self) -> None:
        """Whoever the seeker held to be gone is purged by then, and a member since another time."""
        since = datetime.now(UTC)

        def heard() -> bool:
            members = self.members()
            return all(
                name in members and datetime.fromisoformat(members[name]["heard_at"]) > since
                for name in GIVERS
            )

        wait_until(heard, 30, "all five are heard again")

    def await_looking(self) -> None:
        """A seeker looks for givers at work only when it has led for a while."""
        lines = self.stack.layout.log("seeker").read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        *_, led_since = (each["timestamp"] for each in entries if each["action"] == "leading")
        led_s = (datetime.now(UTC) - datetime.fromisoformat(led_since)).total_seconds()
        time.sleep(max(0.0, LOOKED_FOR_AFTER_S - led_s))

    def pid(self, service: str) -> int:
        (status,) = (each for each in self.stack.status() if each.name == service)
        assert status.pid is not None
        return status.pid

    @contextlib.contextmanager
    def frozen(self, service: str) -> Iterator[None]:
        """Its connections stay open, and it says nothing: as if the network had gone."""
        pid = self.pid(service)
        os.kill(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(pid, signal.SIGCONT)

    def submit(self, *preferred: str, command: tuple[str, ...] = ("true",)) -> str:
        """A task for the first of these that is there; quicker than the command line. Its id."""
        order = " : ".join(
            f'id == "{self.ids[name]}" ? {100.0 - place}' for place, name in enumerate(preferred)
        )
        spec = JobSpec(
            container=ContainerSpec(
                image="busybox:local", command=command, resources=Resources(cpus=0.1)
            ),
            placement=Placement(prefer=f"{order} : 0.0"),
        )
        env = self.stack.env
        settings = SeekerSettings(
            broker_url=env["SEEKER_BROKER_URL"],
            mongodb_url=env["SEEKER_MONGODB_URL"],
            database=env["SEEKER_DATABASE"],
        )
        return f"{asyncio.run(Client(settings).submit(spec)).job_id}-0"

    def containers(self, assignment_id: str) -> list[Container]:
        docker_url = self.stack.env.get("DOCKER_HOST") or self.stack.env["GIVER_DOCKER_HOST"]
        client = docker.DockerClient(docker_url)
        try:
            label = f"{ASSIGNMENT_LABEL}={assignment_id}"
            found: list[Container] = client.containers.list(filters={"label": label})
            return found
        finally:
            client.close()

    def await_end(self, task: str) -> dict[str, Any]:
        """What became of a task that succeeded."""
        self.seeker("wait", task, "--timeout", "60")
        return self.status(task)

    def status(self, task: str) -> dict[str, Any]:
        found: dict[str, Any] = self.seeker("status", task)
        return found

    def route(self, task: dict[str, Any]) -> list[str]:
        return [self.names[each["giver_id"]] for each in task["assignments"]]


def _speed(name: str) -> dict[str, float]:
    single, _, together = GIVERS[name]["GIVER_SPEED"].partition(",")
    return {"single": float(single), "all_cores": float(together)}


def wait_until(condition: Callable[[], bool], patience_s: float, what: str) -> None:
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, f"in {patience_s:g} s it did not come true that {what}"
        time.sleep(0.1)


def seconds_between(earlier: str, later: str) -> float:
    return (datetime.fromisoformat(later) - datetime.fromisoformat(earlier)).total_seconds()


@pytest.mark.parametrize("row", TABLE, ids=lambda row: row.asks or "anything")
def test_a_task_goes_where_it_must_and_the_reasons_are_told(whole_fleet: Fleet, row: Row) -> None:
    fleet = whole_fleet
    asks = tuple(filter(None, row.asks.split("; ")))
    goes_to = row.goes_to.split()
    plan = fleet.seeker("plan", "busybox:local", *asks)
    assert [fleet.names[giver_id] for giver_id in plan["first"]] == goes_to

    job = fleet.seeker("enqueue", *asks, "busybox:local", "--", "true")["job_id"]
    task = f"{job}-0"
    if goes_to:
        fleet.seeker("wait", task, "--timeout", "60")
    explained = fleet.seeker("explain", task)
    assert fleet.route(explained) == goes_to
    assert all(tried["parts"] for tried in explained["assignments"])
    refused = {
        fleet.names[each["giver_id"]]: each["refused"]
        for each in explained["givers"]
        if "refused" in each
    }
    for name, reason in row.refused.items():
        assert reason in refused[name]
    assert set(GIVERS) - set(refused) >= set(goes_to)
    if not goes_to:
        assert set(refused) == set(GIVERS)
        assert "another platform, or add a giver" in explained["remedy"]
        fleet.seeker("cancel", job)


def test_gpus_are_counted(whole_fleet: Fleet) -> None:
    """Planned only: there are none in the machine."""
    fleet = whole_fleet
    fits = fleet.seeker("plan", "busybox:local", "--gpus", "2")
    assert [fleet.names[giver_id] for giver_id in fits["first"]] == ["graphics"]
    too_many = fleet.seeker("plan", "busybox:local", "--gpus", "3")
    assert too_many["first"] == []
    refusals = {fleet.names[each["giver_id"]]: each["refused"] for each in too_many["givers"]}
    assert refusals["graphics"] == "has 2 GPUs, 3 are needed"


def test_when_the_best_is_killed_the_next_best_has_the_task_within_a_second(fleet: Fleet) -> None:
    fleet.stack.kill(NUMBERS["fast"])
    task = fleet.await_end(fleet.submit("fast", "large"))
    assert fleet.route(task)[-1] == "large"
    *before, last = task["assignments"]
    submitted_at = fleet.status(task["job_id"])["submitted_at"]
    assert seconds_between(submitted_at, last["placed_at"]) < 1
    for gone in before:  # None, where the purge was quicker than this test.
        assert fleet.names[gone["giver_id"]] == "fast"
        assert gone["state"] == "refused"
        assert "not connected" in gone["reason"]
        assert seconds_between(gone["placed_at"], last["placed_at"]) < 1


def test_what_a_killed_giver_was_running_runs_on_the_next_best_within_a_second(
    fleet: Fleet,
) -> None:
    fleet.await_looking()
    task = fleet.submit("fast", "large", command=("sleep", "300"))

    def running_on(name: str) -> bool:
        return any(
            fleet.names[each["giver_id"]] == name and each["state"] == "running"
            for each in fleet.status(task)["assignments"]
        )

    wait_until(lambda: running_on("fast"), 20, "the best runs the task")
    killed_at = datetime.now(UTC)
    fleet.stack.kill(NUMBERS["fast"])
    wait_until(lambda: running_on("large"), 20, "the next best runs it")
    *_, last = fleet.status(task)["assignments"]
    assert seconds_between(killed_at.isoformat(), last["placed_at"]) < 1
    (container,) = fleet.containers(last["assignment_id"])
    started_at = container.attrs["State"]["StartedAt"][:26] + "+00:00"
    assert seconds_between(killed_at.isoformat(), started_at) < STARTED_WITHIN_S
    assert fleet.user.run("seeker", "cancel", task).code == 0
    assert fleet.user.run("seeker", "wait", task, "--timeout", "30").code == 1


def test_a_giver_cut_off_silently_is_purged_in_time_and_its_task_placed_anew(fleet: Fleet) -> None:
    joined_at = fleet.memberships()["fast"]
    with fleet.frozen(NUMBERS["fast"]):
        task = fleet.submit("fast", "large")

        def purged() -> bool:
            return fleet.givers("--all")["fast"]["purged_at"] is not None

        wait_until(purged, 30, "the giver that is cut off is purged")
        gone = fleet.givers("--all")["fast"]
        silent_s = seconds_between(gone["heard_at"], gone["purged_at"])
        assert 3 * INTERVAL_S <= silent_s <= PURGED_WITHIN_S
        done = fleet.await_end(task)
        assert fleet.route(done) == ["fast", "large"]
        lost, again = done["assignments"]
        assert lost["state"] == "lost"
        assert "purged after 3 missed heartbeats" in lost["reason"]
        assert seconds_between(gone["purged_at"], again["placed_at"]) < 1

    # Back again, it is a member with its history, and does not run what others have done.
    wait_until(lambda: "fast" in fleet.members(), 30, "it is a member again")
    assert fleet.memberships()["fast"] != joined_at
    assert fleet.route(fleet.await_end(fleet.submit("fast"))) == ["fast"]


def test_a_giver_that_beats_late_is_no_less_a_member(fleet: Fleet) -> None:
    before = fleet.memberships()
    for _ in range(3):
        with fleet.frozen(NUMBERS["fast"]):
            time.sleep(1.5 * INTERVAL_S)
        time.sleep(INTERVAL_S)
    assert fleet.route(fleet.await_end(fleet.submit("fast"))) == ["fast"]
    assert fleet.memberships() == before


def test_a_seeker_frozen_for_ten_intervals_purges_nobody(fleet: Fleet) -> None:
    before = fleet.memberships()
    with fleet.frozen("seeker"):
        time.sleep(10 * INTERVAL_S)
    fleet.await_end(fleet.submit("large"))
    fleet.await_beats()
    assert fleet.memberships() == before


def test_nobody_is_purged_when_the_broker_was_away_for_ten_intervals(fleet: Fleet) -> None:
    before = fleet.memberships()
    fleet.stack.kill("rabbitmq")
    time.sleep(10 * INTERVAL_S)
    fleet.stack.start("rabbitmq")
    task = fleet.submit("large")

    def known() -> bool:
        return fleet.user.run("seeker", "status", task).code == 0

    wait_until(known, 30, "the seeker is connected again")
    fleet.await_end(task)
    fleet.await_beats()
    assert fleet.memberships() == before
