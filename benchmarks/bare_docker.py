"""`python -m benchmarks.bare_docker`: what Docker alone does, told what by stdin.

The same containers as a giver makes, by the same calls of docker-py: create, start, wait, logs,
remove; as many at a time, a thread and a client each.
"""

from __future__ import annotations

import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import docker
from docker.errors import APIError
from docker.utils import kwargs_from_env

from benchmarks.producing import parse, reply
from deploy.local import image
from giver.engine import Image, Plan
from giver.hardening import container_config, container_name
from giver.output import DEFAULT_LIMIT
from schemas.identifiers import assignment_id, new_job_id, task_id
from schemas.job import MIB, ContainerSpec, Resources

GIVER_ID = "bench-bare"
SPEC = ContainerSpec(
    image=image.NAME, command=("true",), resources=Resources(memory_bytes=64 * MIB, disk_bytes=MIB)
)
"""What both sides run."""


def connect(url: str | None) -> Any:
    arguments = kwargs_from_env()
    if url is not None:
        arguments["base_url"] = url
    return docker.APIClient(version="auto", timeout=60, **arguments)


def main() -> None:
    url = os.environ.get("GIVER_DOCKER_HOST")
    client = connect(url)
    present = Image(id=client.inspect_image(SPEC.image)["Id"], digest=None)
    host_cpus = float(client.info()["NCPU"])
    init = _has_init(client, present, host_cpus)
    reply(ready=True)
    for line in sys.stdin:
        threads, count = parse(line)
        job = new_job_id()
        names = iter([assignment_id(task_id(job, index), 1) for index in range(count)])

        def work(names: Any = names) -> None:
            own = connect(url)
            for name in names:
                _run(own, _config(name, present, init, host_cpus), container_name(GIVER_ID, name))
            own.close()

        began = time.monotonic()
        with ThreadPoolExecutor(int(threads)) as pool:
            for done in [pool.submit(work) for _ in range(int(threads))]:
                done.result()
        reply(began=began, ended=time.monotonic())


def _run(client: Any, config: dict[str, Any], name: str) -> None:
    container = client.create_container_from_config(config, name)["Id"]
    try:
        client.start(container)
        code = client.wait(container)["StatusCode"]
        client.logs(container)
        if code != 0:
            raise RuntimeError(f"container {name} ended with exit code {code}")
    finally:
        client.remove_container(container, v=True, force=True)


def _config(name: str, present: Image, init: bool, host_cpus: float) -> dict[str, Any]:
    plan = Plan(name, present, SPEC)
    return container_config(GIVER_ID, plan, init=init, host_cpus=host_cpus, log_bytes=DEFAULT_LIMIT)


def _has_init(client: Any, present: Image, host_cpus: float) -> bool:
    """A giver does without, too, where Docker has no docker-init."""
    name = assignment_id(task_id(new_job_id(), 0), 1)
    try:
        _run(client, _config(name, present, True, host_cpus), container_name(GIVER_ID, name))
    except APIError as error:
        if "docker-init" not in str(error):
            raise
        return False
    return True


if __name__ == "__main__":
    main()
