"""A giver on a network of its own, whose packets are lost without anybody being told."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import docker
import httpx
import pytest
from docker.models.containers import Container

from deploy.local import docker_engine
from deploy.local.services import GIVER_LABEL, console_script
from deploy.local.stack import Stack
from tests.acceptance.conftest import User
from tests.acceptance.network import OwnNetwork

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

FAR, NEXT = "giver-1", "giver-2"
"""The one behind the cable, and the next best."""
INTERVAL_S = 1.0
THREE_STRIKES_S = 3 * INTERVAL_S
STUTTER_S = 1.2
"""TCP repeats what was lost after 0.2, 0.4, 0.8 and 1.6 s, so all comes before three strikes."""
NOTICED_WITHIN_S = 40.0
"""That the broker is silent: up to twice AMQP's heartbeat of 10 s, and 5 s."""
MEMBER_WITHIN_S = 30.0
CLEARED_WITHIN_S = 30.0


class Far:
    """The stack, with one giver behind a cable that can be cut."""

    def __init__(self, user: User, network: OwnNetwork) -> None:
        self.user = user
        self.network = network
        self.ids = user.stack.giver_ids
        self.names = {giver_id: name for name, giver_id in self.ids.items()}
        self._url = next(each.address for each in user.stack.status() if each.name == FAR)
        self._docker: docker.DockerClient = docker_engine.connect(
            user.stack.env.get("GIVER_DOCKER_HOST", docker_engine.SYSTEM_SOCKET)
        )

    def move(self) -> None:
        """Start the giver again, over there."""
        network, stack = self.network, self.user.stack
        broker = urlsplit(stack.env["GIVER_BROKER_URL"])
        port = urlsplit(self._url).port
        assert broker.hostname
        assert broker.port
        assert port
        stack.stop(FAR)
        network.relay((network.here, broker.port), (broker.hostname, broker.port))
        network.relay(("127.0.0.1", port), (network.there, port))
        netloc = broker.netloc.replace(broker.hostname, network.here)
        stack.start(
            FAR,
            environment={
                "GIVER_BROKER_URL": broker._replace(netloc=netloc).geturl(),
                "GIVER_HTTP_HOST": network.there,
                "GIVER_HEARTBEAT_INTERVAL_S": str(INTERVAL_S),
            },
            command=network.inside([console_script("giver"), "run"]),
        )

    def close(self) -> None:
        """It is an ordinary giver again when the next test brings the stack up."""
        self.user.stack.stop(FAR)
        self._docker.close()

    def enqueue(self, *arguments: str) -> str:
        """A task for the far one, or else the next; its id."""
        order = f'id == "{self.ids[FAR]}" ? 200.0 : id == "{self.ids[NEXT]}" ? 100.0 : 0.0'
        options = ("--cpus", "0.1", "--prefer", order)
        return f"{self.user.enqueue(*options, 'busybox:local', *arguments)}-0"

    def members(self, *options: str) -> dict[str, Any]:
        answer = self.user.run("seeker", "givers", *options, "--json")
        assert answer.code == 0, answer.err
        return {self.names[giver["giver_id"]]: giver for giver in answer.json}

    def is_ready(self) -> bool:
        found = self.members().get(FAR)
        return found is not None and found["state"] == "ready" and bool(found["images"])

    def status(self, task: str) -> Any:
        return self.user.run("seeker", "status", task, "--json").json

    def info(self) -> Any:
        """What the far one says of itself; over the cable."""
        return httpx.get(f"{self._url}/info", timeout=5, trust_env=False).json()

    def containers(self, name: str) -> list[Container]:
        """Those of a giver that run."""
        filters = {"label": f"{GIVER_LABEL}={self.ids[name]}", "status": "running"}
        return self._docker.containers.list(filters=filters, ignore_removed=True)

    def log(self, service: str, action: str) -> list[Any]:
        lines = self.user.stack.layout.log(service).read_text().splitlines()
        entries = [json.loads(line) for line in lines if line.startswith("{")]
        return [entry for entry in entries if entry["action"] == action]


@pytest.fixture(scope="module")
def far(stack: Stack) -> Iterator[Far]:
    stack.up()
    with OwnNetwork.made() as network, contextlib.closing(Far(User(stack), network)) as far:
        far.move()
        wait_until(far.is_ready, MEMBER_WITHIN_S, "the far giver is a member")
        yield far


def wait_until(condition: Callable[[], object], patience_s: float, what: str) -> None:
    until = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < until, f"in {patience_s:g} s it did not come true that {what}"
        time.sleep(0.1)


def seconds(earlier: str | datetime, later: str | datetime) -> float:
    first, last = (
        time if isinstance(time, datetime) else datetime.fromisoformat(time)
        for time in (earlier, later)
    )
    return (last - first).total_seconds()


def started_at(container: Container) -> datetime:
    return datetime.fromisoformat(container.attrs["State"]["StartedAt"])


def test_a_giver_whose_network_is_gone_is_replaced_in_time_and_comes_back_with_its_history(
    far: Far,
) -> None:
    agreed = far.enqueue("--replicas", "2", "--quorum", "2", "--", "true")
    assert far.user.run("seeker", "wait", agreed, "--timeout", "60").code == 0
    task = far.enqueue("--", "sleep", "600")
    wait_until(lambda: far.containers(FAR), 30, "the task runs on the best giver")
    before, session = far.members()[FAR], far.info()["session"]
    assert before["standing"]["agreed"] > 0
    assert far.containers(NEXT) == []

    with far.network.cut_off():
        cut_at = datetime.now(UTC)
        wait_until(lambda: far.containers(NEXT), 30, "the next best has the task")
        (container,) = far.containers(NEXT)
        assert seconds(cut_at, started_at(container)) <= THREE_STRIKES_S + 1
        gone = far.members("--all")[FAR]
        assert seconds(gone["heard_at"], gone["purged_at"]) >= THREE_STRIKES_S
        assert seconds(cut_at, gone["purged_at"]) <= THREE_STRIKES_S + 1
        lost, again = far.status(task)["assignments"]
        assert (far.names[lost["giver_id"]], lost["state"]) == (FAR, "lost")
        assert far.names[again["giver_id"]] == NEXT

        # Nobody told it: it finds out by itself, and lets the container run until it is told.
        wait_until(
            lambda: any(
                seconds(cut_at, entry["timestamp"]) > 0 for entry in far.log(FAR, "broker_lost")
            ),
            NOTICED_WITHIN_S,
            "the giver notices that the broker is silent",
        )
        assert len(far.containers(FAR)) == 1

    wait_until(lambda: FAR in far.members(), MEMBER_WITHIN_S, "it is a member again")
    wait_until(lambda: not far.containers(FAR), CLEARED_WITHIN_S, "it stops what nobody wants")
    back = far.members()[FAR]
    assert far.info()["session"] != session
    assert seconds(gone["purged_at"], back["joined_at"]) > 0
    assert back["standing"] == before["standing"]
    assert [each.id for each in far.containers(NEXT)] == [container.id]
    assert far.user.run("seeker", "cancel", task).code == 0
    wait_until(lambda: not far.containers(NEXT), CLEARED_WITHIN_S, "the task is cancelled")
    once_more = far.enqueue("--", "true")
    assert far.user.run("seeker", "wait", once_more, "--timeout", "60").code == 0
    assert [far.names[a["giver_id"]] for a in far.status(once_more)["assignments"]] == [FAR]


def test_a_giver_whose_beats_are_lost_for_less_than_three_strikes_stays_a_member(far: Far) -> None:
    began = datetime.now(UTC)
    before = far.members()[FAR]["joined_at"]
    for _ in range(3):
        with far.network.cut_off():
            time.sleep(STUTTER_S)
        time.sleep(2 * INTERVAL_S)  # What was lost is sent once more, and heard.
    strikes = [
        entry["strikes"]
        for entry in far.log("seeker", "giver_strike")
        if entry["giver_id"] == far.ids[FAR] and seconds(began, entry["timestamp"]) > 0
    ]
    assert strikes, "no beat was late"
    assert max(strikes) < 3
    assert far.members()[FAR]["joined_at"] == before
