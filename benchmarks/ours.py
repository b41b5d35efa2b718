"""Our side: `channel serve`, `seeker run` and one giver, each a process of its own."""

from __future__ import annotations

import itertools
import sys
import time
from pathlib import Path
from typing import Self

from benchmarks.contender import Contender
from benchmarks.infrastructure import Infrastructure
from benchmarks.noop_giver import IMAGE
from benchmarks.processes import Child
from deploy.local.services import console_script
from schemas.job import MIB, ContainerSpec, Resources
from schemas.states import Outcome, TaskState

NOOP = ContainerSpec(
    image=IMAGE, resources=Resources(cpus=0.01, memory_bytes=6 * MIB, disk_bytes=0)
)
_PRODUCER = "submitter"
_PATIENCE_S = 60.0
_instances = itertools.count(1)


class Ours(Contender):
    def __init__(
        self,
        infra: Infrastructure,
        *,
        containers: int,
        backlog: int,
        docker: ContainerSpec | None = None,
    ) -> None:
        """`docker`: run this on Docker; without it the giver's engine does nothing.

        `containers`: at a time.
        """
        # Names that no earlier instance has used: each begins with empty books.
        owner = f"{infra.name}-{next(_instances)}".replace("_", "-")
        self.giver_id = f"giver-{owner}"
        self._jobs = infra.collection(f"seeker_{owner}", "jobs")
        self._givers = infra.collection(f"seeker_{owner}", "givers")
        self._docker = docker is not None
        self._environment = {
            "SEEKER_BROKER_URL": infra.broker_url,
            "SEEKER_MONGODB_URL": infra.mongodb_url,
            "SEEKER_DATABASE": infra.database_name(f"seeker_{owner}"),
            "SEEKER_LOG_LEVEL": "warning",
            "CHANNEL_BROKER_URL": infra.broker_url,
            "CHANNEL_MONGODB_URL": infra.mongodb_url,
            "CHANNEL_DATABASE": infra.database_name(f"channel_{owner}"),
            "CHANNEL_HTTP_PORT": "0",
            "CHANNEL_LOG_LEVEL": "warning",
            "GIVER_BROKER_URL": infra.broker_url,
            "GIVER_ID": self.giver_id,
            "GIVER_STATE_DIR": str(infra.folder / f"giver_{owner}"),
            "GIVER_HTTP_PORT": "0",
            "GIVER_CONTAINERS": str(containers),
            "GIVER_BACKLOG": str(backlog),
            # More than all of them ask for: `containers` alone shall be the limit.
            "GIVER_CPUS": "10000",
            "GIVER_MEMORY": "10TiB",
            "GIVER_DISK": "10TiB",
            "GIVER_LOG_LEVEL": "warning",
            "BENCH_CONTAINER": (docker or NOOP).model_dump_json(),
        }
        if infra.docker_url is not None:
            self._environment["GIVER_DOCKER_HOST"] = infra.docker_url
        super().__init__(
            infra,
            infra.collection(f"channel_{owner}", "results"),
            {"outcome": Outcome.SUCCEEDED.value},
        )

    def __enter__(self) -> Self:
        try:
            Path(self._environment["GIVER_STATE_DIR"]).mkdir()
            self.launch("channel", [console_script("channel"), "serve"], self._environment)
            self.launch("seeker", [console_script("seeker"), "run"], self._environment)
            command = (
                [console_script("giver"), "run"]
                if self._docker
                else [sys.executable, "-m", "benchmarks.noop_giver"]
            )
            giver = self.launch("giver", command, self._environment)
            giver.wait_until(lambda: self._givers.find_one({"member": True}) is not None)
            producer = [sys.executable, "-m", "benchmarks.ours_producer"]
            self.launch_producer(_PRODUCER, producer, self._environment)
        except BaseException:
            self.__exit__()
            raise
        return self

    @property
    def services(self) -> list[Child]:
        return [child for child in self.children if child.name != _PRODUCER]

    def settle(self) -> None:
        """Until the seeker has closed all jobs."""
        unfinished = {"state": {"$in": [s.value for s in TaskState if not s.final]}}
        until = time.monotonic() + _PATIENCE_S
        while self._jobs.find_one(unfinished, {"_id": 1}) is not None:
            if time.monotonic() > until:
                break
            time.sleep(0.02)
