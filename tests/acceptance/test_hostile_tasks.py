"""Tasks that mean harm: each outcome tells the truth, the host stays well, nothing is left."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any

import docker
import httpx
import pytest

from giver import parent_cgroup
from giver.hardening import GIVER_LABEL
from schemas.identifiers import new_session
from tests.acceptance.conftest import COMMANDS, User
from tests.containers import free_ports

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ANSWERS_WITHIN_S = 2.0
Tasks = dict[str, tuple[str, set[str]]]
POLICY = """
grants: {writable_root: true}
host: {cpus: 1, memory: 1GiB, tasks: 4}
"""
OPTIONS = (
    *("--label", "for=hostile", "--cpus", "0.25", "--memory", "32MiB", "--disk", "64MiB"),
    *("--pids", "64", "--timeout", "4s"),
)
PLAIN = {
    # name: script, truthful outcomes
    "fork bomb": (
        "bomb() { bomb | bomb & }; bomb; while :; do sleep 1; done",
        {"timed_out", "failed"},
    ),
    "memory hog": ("tail /dev/zero", {"out_of_memory"}),
    "disk filler": ("cat /dev/zero > /tmp/big", {"failed"}),
    "endless output": ("tr '\\0' x < /dev/zero", {"output_limit"}),
    "deaf to SIGTERM": ("trap '' TERM; while :; do sleep 1; done", {"timed_out"}),
    "network prober": (
        "ls /sys/class/net; nc -w 2 169.254.169.254 80 || wget -T 2 -O - http://172.17.0.1",
        {"failed"},
    ),
    "writer to /": (
        "for f in /x /bin/sh /etc/passwd /proc/sysrq-trigger /sys/kernel/x /dev/sda; do "
        "echo x 2>&- > $f && echo wrote $f; done; mount -t tmpfs x /mnt || exit 7",
        {"failed"},
    ),
    "zombie maker": (
        "while :; do sh -c 'sleep 0 & exec sleep 60' & done",
        {"timed_out", "failed"},
    ),
    "small files in memory": (
        "i=0; while :; do : > /tmp/f$i; i=$((i+1)); done",
        {"timed_out", "out_of_memory", "failed"},
    ),
}
WITH_A_WRITABLE_ROOT = {
    "disk filler": (
        "i=0; while :; do head -c 8000000 /dev/zero > /f$i; i=$((i+1)); sleep 0.05; done",
        {"output_limit"},
    ),
    "deep and wide tree": (
        "mkdir /wide; i=0; while [ $i -lt 3000 ]; do mkdir /wide/$i; i=$((i+1)); done; "
        "while mkdir deep 2>&- && cd deep 2>&-; do :; done; while :; do sleep 1; done",
        {"output_limit"},
    ),
    "small files": (
        "i=0; while :; do seq $i $((i+999)) | (cd /; xargs touch); i=$((i+1000)); done",
        {"output_limit", "timed_out"},
    ),
}


class HostileGiver:
    """One that takes only what is meant for it."""

    def __init__(self, user: User, folder: Path) -> None:
        self.id = f"hostile-{new_session()}"
        (port,) = free_ports(1)
        self.health = f"http://127.0.0.1:{port}/healthz"
        (folder / "policy.yaml").write_text(POLICY)
        self._process = subprocess.Popen(
            [str(COMMANDS / "giver"), "run"],
            env={
                **os.environ,
                **user.stack.env,
                "GIVER_ID": self.id,
                "GIVER_STATE_DIR": str(folder / "state"),
                "GIVER_POLICY": str(folder / "policy.yaml"),
                "GIVER_LABELS": '{"for": "hostile"}',
                "GIVER_HTTP_PORT": str(port),
                "GIVER_OUTPUT_LIMIT": "4MiB",
                "GIVER_STOP_GRACE_S": "1",
            },
            stderr=subprocess.DEVNULL,
        )
        self.slowest_s = 0.0
        self._over = threading.Event()
        self._asking = threading.Thread(target=self._ask)

    def start(self) -> None:
        _until(self._well)
        self._asking.start()

    def stop(self) -> None:
        self._over.set()
        if self._asking.ident is not None:
            self._asking.join()
        self._process.send_signal(signal.SIGTERM)
        self._process.wait(30)

    def _well(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(self.health, timeout=5, trust_env=False).status_code == 200
        return False

    def _ask(self) -> None:
        with httpx.Client(timeout=30, trust_env=False) as http:
            while not self._over.wait(0.05):
                began = time.monotonic()
                http.get(self.health)
                self.slowest_s = max(self.slowest_s, time.monotonic() - began)


@pytest.fixture
def giver(user: User, tmp_path: Path) -> Iterator[HostileGiver]:
    made = HostileGiver(user, tmp_path)
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture
def client(user: User) -> Iterator[docker.DockerClient]:
    with contextlib.closing(
        docker.DockerClient(base_url=user.stack.env.get("DOCKER_HOST"), timeout=60)
    ) as made:
        yield made


def test_hostile_tasks_harm_nobody_and_leave_nothing(
    user: User, giver: HostileGiver, client: docker.DockerClient
) -> None:
    layers = Path(client.info()["DockerRootDir"]) / client.info()["Driver"]
    before = names(layers)
    plain = enqueue(user, PLAIN)
    granted = enqueue(user, WITH_A_WRITABLE_ROOT, "--writable-root", "--timeout", "30s")
    results = ended(user, plain, PLAIN)
    assert "No space left" in results["disk filler"]["stderr"]
    assert results["deaf to SIGTERM"]["usage"]["wall_s"] < 4 + 1 + 5
    assert results["network prober"]["stdout"].split() == ["lo"]
    assert (results["writer to /"]["stdout"], results["writer to /"]["exit_code"]) == ("", 7)
    results = ended(user, granted, WITH_A_WRITABLE_ROOT)
    assert "cannot measure" in results["deep and wide tree"]["reason"]
    assert results["disk filler"]["reason"] == "its root holds more than 67108864 bytes"
    _until(lambda: not containers(client, giver.id))
    assert giver.slowest_s < ANSWERS_WITHIN_S
    assert processes(giver.id, client.info()["CgroupDriver"]) == []
    _until(lambda: names(layers) <= before | layers_in_use(client))


def enqueue(user: User, tasks: Tasks, *options: str) -> str:
    rows = [json.dumps({"script": script}) for script, _ in tasks.values()]
    with NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write("\n".join(rows))
        file.flush()
        sweep = ("--params", file.name, *OPTIONS, *options)
        return user.enqueue(*sweep, "busybox:local", "--", "sh", "-c", "{{script}}")


def ended(user: User, job: str, tasks: Tasks) -> dict[str, Any]:
    """The results by the tasks' names, once all are there and if they are truthful."""
    user.run("seeker", "wait", job, "--timeout", "120", timeout_s=150)
    answer = user.run("channel", "results", "--job", job, "--json").json
    by_index = {result["task_id"].rpartition("-")[2]: result for result in answer}
    found = {name: by_index[str(index)] for index, name in enumerate(tasks)}
    lies = {
        name: (result["outcome"], result["reason"])
        for name, result in found.items()
        if result["outcome"] not in tasks[name][1]
    }
    assert lies == {}
    return found


def containers(client: docker.DockerClient, giver_id: str) -> list[Any]:
    found: list[Any] = client.api.containers(
        all=True, filters={"label": f"{GIVER_LABEL}={giver_id}"}
    )
    return found


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()} if folder.is_dir() else set()


def layers_in_use(client: docker.DockerClient) -> set[str]:
    """By all containers and images, with other tests' among them."""
    api = client.api
    found = set()
    for inspect, listed in (
        (api.inspect_container, api.containers(all=True)),
        (api.inspect_image, api.images(all=True)),
    ):
        for each in listed:
            with contextlib.suppress(docker.errors.NotFound):  # Gone meanwhile.
                paths = (inspect(each["Id"])["GraphDriver"]["Data"] or {}).values()
                found |= {part for path in ":".join(paths).split(":") for part in Path(path).parts}
    return found


def processes(giver_id: str, driver: str) -> list[str]:
    """All in the control group of the giver's containers."""
    name = parent_cgroup.path_of(parent_cgroup.own_name(giver_id, driver))
    folder = parent_cgroup.ROOT / ("" if parent_cgroup.unified() else "memory") / name
    return [number for file in folder.rglob("cgroup.procs") for number in file.read_text().split()]


def _until(condition: Callable[[], bool], seconds: float = 30) -> None:
    give_up_at = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < give_up_at
        time.sleep(0.1)
