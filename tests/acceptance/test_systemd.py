"""The services under a real systemd, on real Docker: restart, drain, a hang, the sandbox."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from docker.models.containers import Container

from deploy.local.stack import Stack
from deploy.systemd.install import SERVICES
from giver.hardening import GIVER_LABEL
from tests.acceptance import machine as machines
from tests.acceptance.conftest import User
from tests.acceptance.machine import Machine

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(machines.missing()), reason=machines.missing()),
]

GIVER = "under-systemd"
MOST_EXPOSED = 2.0
"""Of ten; systemd calls it fine up to 2.0."""
TASK = ("--require", f'id == "{GIVER}"', "--cpus", "0.1", "--memory", "16MiB", "busybox:local")


@pytest.fixture(scope="module")
def machine(user_of_module: User, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machine]:
    """With everything installed, and a giver that is ready."""
    env = user_of_module.stack.env
    socket = env["DOCKER_HOST"].removeprefix("unix://")
    machine = Machine(tmp_path_factory.mktemp("systemd") / "root", Path(socket))
    try:
        machine.make()
        machine.boot()
        machine.run("python3", "/src/deploy/systemd/install.py", "install", *SERVICES)
        machine.write("/etc/seekgive/credentials/giver_broker_url", env["GIVER_BROKER_URL"])
        settings(machine)
        machine.run("systemctl", "start", "seekgive-giver")
        yield machine
    finally:
        machine.close()


@pytest.fixture(scope="module")
def user_of_module(stack: Stack) -> User:
    user = User(stack)
    user.stack.up()
    return user


@pytest.fixture
def containers(user: User) -> Iterator[Callable[[], list[Container]]]:
    """Those of the giver that run."""
    client = docker.DockerClient(base_url=user.stack.env["DOCKER_HOST"])

    def running() -> list[Container]:
        found: list[Container] = client.containers.list(
            filters={"label": f"{GIVER_LABEL}={GIVER}", "status": "running"}
        )
        return found

    yield running
    client.close()


def settings(machine: Machine, **more: str) -> None:
    """The giver's, whatever it had before."""
    socket = machine.docker_socket
    named = {
        "GIVER_ID": GIVER,
        "GIVER_DOCKER_HOST": f"unix://{socket}",
        # A restart takes some seconds on a busy host, and three of these are the most it may take.
        "GIVER_HEARTBEAT_INTERVAL_S": "3",
        "GIVER_HTTP_PORT": "0",
        "GIVER_CONTAINERS": "8",
        **more,
    }
    lines = [f"{name}={value}" for name, value in named.items()]
    machine.write("/etc/seekgive/giver.env", "\n".join(lines) + "\n")


def until(condition: Callable[[], bool], patience_s: float = 60.0) -> None:
    end = time.monotonic() + patience_s
    while not condition():
        assert time.monotonic() < end, "it did not come to that"
        time.sleep(0.1)


def main_pid(machine: Machine) -> int:
    return int(machine.run("systemctl", "show", "-P", "MainPID", "seekgive-giver"))


def test_the_units_are_clean_and_the_services_sealed_off(machine: Machine) -> None:
    for service in SERVICES:
        unit = f"seekgive-{service}.service"
        assert machine.run("systemd-analyze", "verify", unit) == ""
        told = machine.run("systemd-analyze", "security", "--no-pager", unit)
        found = re.search(r"exposure level for .*: ([0-9.]+)", told)
        assert found is not None
        print(f"{unit}: exposed {found[1]} of 10")
        assert float(found[1]) <= MOST_EXPOSED


def test_containers_outlive_a_restart_and_bring_one_result_each(
    machine: Machine, user: User, containers: Callable[[], list[Container]]
) -> None:
    job = user.enqueue(*TASK[:-1], "--array", "0-4", TASK[-1], "--", "sleep", "12")
    until(lambda: len(containers()) == 5)
    before = {container.id for container in containers()}
    machine.run("systemctl", "restart", "seekgive-giver")
    assert {container.id for container in containers()} == before
    assert user.run("seeker", "wait", job, "--timeout", "60").code == 0
    for index in range(5):
        results = user.run("channel", "results", f"{job}-{index}", "--json").json
        assert [each["outcome"] for each in results] == ["succeeded"]
        assert results[0]["giver_id"] == GIVER


def test_a_stop_waits_for_what_runs_where_it_is_told_to(
    machine: Machine, user: User, containers: Callable[[], list[Container]]
) -> None:
    settings(machine, GIVER_STOP_MODE="drain")
    machine.run("systemctl", "restart", "seekgive-giver")
    job = user.enqueue(*TASK, "--", "sleep", "6")
    until(lambda: len(containers()) == 1)
    machine.run("systemctl", "stop", "seekgive-giver")
    assert not containers()
    assert user.run("seeker", "wait", job, "--timeout", "10").code == 0
    settings(machine)
    machine.run("systemctl", "start", "seekgive-giver")


def test_a_hung_giver_is_started_again(machine: Machine) -> None:
    drop_in = "/etc/systemd/system/seekgive-giver.service.d/hasty.conf"
    hasty = "[Service]\nWatchdogSec=2\nTimeoutAbortSec=1\nRestartSec=0\n"
    machine.write(drop_in, hasty)
    machine.run("systemctl", "daemon-reload")
    machine.run("systemctl", "restart", "seekgive-giver")
    hung = main_pid(machine)
    machine.run("systemctl", "kill", "--signal=STOP", "seekgive-giver")
    until(lambda: main_pid(machine) not in (0, hung))
    active = ("systemctl", "is-active", "seekgive-giver")
    until(lambda: machine.run(*active, check=False) == "active\n")
