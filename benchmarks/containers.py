"""Containers a second: a giver on the real Docker engine beside Docker alone."""

from __future__ import annotations

import contextlib
import sys
import time
from contextlib import ExitStack

import docker

from benchmarks import bare_docker
from benchmarks.infrastructure import Infrastructure
from benchmarks.measurements import Rates, Run
from benchmarks.ours import Ours
from benchmarks.processes import Child
from benchmarks.tasks import alternating
from deploy.local import image, packages
from deploy.local.docker_engine import SYSTEM_SOCKET
from deploy.local.progress import Progress
from giver.hardening import GIVER_LABEL
from runtime.command_line import Failed

OURS, BARE = "ours", "docker-py alone"
_WARM_UP = 4
_PATIENCE_S = 30.0


def containers(
    infra: Infrastructure, progress: Progress, *, rounds: int, count: int, at_once: int
) -> Rates:
    """`count` containers each round and side, `at_once` at a time."""
    busybox = packages.static_busybox()
    if busybox is None:
        raise Failed("there is no static busybox: apt-get install busybox-static")
    image.build(infra.docker_url or SYSTEM_SOCKET, busybox)
    runs: dict[str, list[Run]] = {OURS: [], BARE: []}
    with ExitStack() as stack:
        client = stack.enter_context(contextlib.closing(bare_docker.connect(infra.docker_url)))
        stack.callback(_sweep, client, bare_docker.GIVER_ID)
        ours = Ours(infra, containers=at_once, backlog=4 * at_once, docker=bare_docker.SPEC)
        stack.callback(_sweep, client, ours.giver_id)
        stack.enter_context(ours)
        bare = Child(
            "bare",
            [sys.executable, "-m", "benchmarks.bare_docker"],
            {"GIVER_DOCKER_HOST": infra.docker_url} if infra.docker_url else {},
            infra.folder,
            talks=True,
        )
        stack.callback(bare.stop)
        bare.hear()
        with progress.step("warm up"):
            _ours(ours, client, _WARM_UP)
            _bare(bare, at_once, _WARM_UP)
        for side, number in alternating(runs, rounds):
            with progress.step(f"round {number}: {count} containers, {side}"):
                runs[side].append(
                    _ours(ours, client, count) if side == OURS else _bare(bare, at_once, count)
                )
    return Rates(
        unit="containers/s",
        runs=runs,
        ours=(OURS,),
        peer=BARE,
        notes={BARE: f"{at_once} threads", OURS: f"{at_once} containers at a time"},
    )


def _ours(ours: Ours, client: docker.APIClient, count: int) -> Run:
    """To the last result in MongoDB and the last container removed, whichever is later."""
    before = ours.cpu()
    submitted_s, seconds = ours.run("array", count)
    stored_at = time.monotonic()
    while _owned(client, ours.giver_id):
        if time.monotonic() - stored_at > _PATIENCE_S:
            raise Failed(f"containers of {ours.giver_id} are not removed")
        time.sleep(0.02)
    seconds += time.monotonic() - stored_at
    ours.settle()
    after = ours.cpu()
    spent = {name: after[name] - before[name] for name in before}
    return Run(tasks=count, seconds=seconds, submitted_s=submitted_s, cpu_s=spent)


def _bare(bare: Child, at_once: int, count: int) -> Run:
    before = bare.cpu_s()
    answer = bare.ask(do=str(at_once), count=count)
    seconds = answer["ended"] - answer["began"]
    return Run(
        tasks=count, seconds=seconds, submitted_s=0.0, cpu_s={bare.name: bare.cpu_s() - before}
    )


def _owned(client: docker.APIClient, giver_id: str) -> list[str]:
    listed = client.containers(all=True, filters={"label": f"{GIVER_LABEL}={giver_id}"})
    return [found["Id"] for found in listed]


def _sweep(client: docker.APIClient, giver_id: str) -> None:
    """What a run that was broken off left."""
    for container in _owned(client, giver_id):
        client.remove_container(container, v=True, force=True)
