"""What givers and a backlog cost a real `seeker run`, with a real broker and a real database."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from types import TracebackType
from typing import Any, Self

import psutil

from benchmarks.infrastructure import Infrastructure
from benchmarks.processes import Child
from deploy.local.services import console_script
from runtime.command_line import Failed

PATIENCE_S = 180.0
SETTLE_S = 3.0
ANSWERING = 20
"""Givers that take the tasks of a backlog, 500 at a time each."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """Of the seeker's process over a while."""

    seconds: float
    cpu_s: float
    count: int
    """Of whatever was done meanwhile."""

    @property
    def share(self) -> float:
        """Of one core."""
        return self.cpu_s / self.seconds

    @property
    def rate(self) -> float:
        return self.count / self.seconds

    @property
    def cpu_us_each(self) -> float:
        return self.cpu_s / self.count * 1e6

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "share": self.share, "rate": self.rate}


@dataclass(frozen=True, slots=True, kw_only=True)
class Backlog:
    """What a backlog of so many tasks costs."""

    tasks: int
    bytes_each: float
    """Of the seeker's memory, for a task that waits."""
    dispatch: Load
    restart_s: float
    """From the start of the process to the first task given out."""
    restart_cpu_s: float
    resident_bytes: int
    """Of the seeker started anew."""

    def document(self) -> dict[str, Any]:
        return {**asdict(self), "dispatch": self.dispatch.document()}


class SeekerOnly:
    """A seeker with empty books, and a process that is all of its givers."""

    def __init__(self, infra: Infrastructure, name: str) -> None:
        owner = f"seeker_{name}"
        self._infra = infra
        self._name = name
        self._jobs = infra.collection(owner, "jobs")
        self._members = infra.collection(owner, "givers")
        self._leases = infra.collection(owner, "leases")
        self._environment = {
            "SEEKER_BROKER_URL": infra.broker_url,
            "SEEKER_MONGODB_URL": infra.mongodb_url,
            "SEEKER_DATABASE": infra.database_name(owner),
            "SEEKER_LOG_LEVEL": "warning",
        }
        self._children: list[Child] = []

    def __enter__(self) -> Self:
        os.sync()  # What earlier runs left to be written is none of this one's business.
        try:
            self.seeker = self._start_seeker()
            self.givers = self._child(
                "givers", [sys.executable, "-m", "benchmarks.placement_givers"]
            )
            self.givers.hear()
        except BaseException:
            self.__exit__(None, None, None)
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while self._children:
            self._children.pop().stop()

    def resident_bytes(self) -> int:
        return int(psutil.Process(self.seeker.pid).memory_info().rss)

    def submit(self, *, jobs: int, tasks: int) -> None:
        """Until the seeker has written all of them down."""
        before = self._jobs.count_documents({})
        self.givers.ask(do="submit", jobs=jobs, tasks=tasks)
        self.await_jobs(before + jobs)

    def await_jobs(self, count: int) -> None:
        """Until so many are written down."""
        self._await(lambda: self._jobs.count_documents({}) >= count, "take the jobs")

    def members(self) -> int:
        return self._members.count_documents({"member": True})

    def await_members(self, count: int) -> None:
        self._await(lambda: self.members() >= count, "know its givers")

    def observe(self, seconds: float, what: str) -> Load:
        """`what`: counts that; `answered` or `beats`."""
        began, cpu_s = time.monotonic(), self.seeker.cpu_s()
        count = self.givers.ask(do="count")[what]
        time.sleep(seconds)
        count = self.givers.ask(do="count")[what] - count
        return Load(
            seconds=time.monotonic() - began, cpu_s=self.seeker.cpu_s() - cpu_s, count=count
        )

    def restart(self) -> tuple[float, float]:
        """Seconds, and seconds of CPU, until the first task is given out again."""
        self._children.remove(self.seeker)
        self.seeker.stop()
        time.sleep(1)  # What was on its way arrives.
        answered = self.givers.ask(do="count")["answered"]
        began = time.monotonic()
        self.seeker = self._child("seeker", [console_script("seeker"), "run"])
        self._await(lambda: self.givers.ask(do="count")["answered"] > answered, "go on")
        return time.monotonic() - began, self.seeker.cpu_s()

    def _start_seeker(self) -> Child:
        seeker = self._child("seeker", [console_script("seeker"), "run"])
        seeker.wait_until(lambda: self._leases.find_one({"_id": "leader"}) is not None)
        return seeker

    def _child(self, name: str, command: list[str]) -> Child:
        child = Child(
            f"{self._name}-{name}",
            command,
            self._environment,
            self._infra.folder,
            talks=name == "givers",
        )
        self._children.append(child)
        return child

    def _await(self, condition: Callable[[], bool], what: str) -> None:
        until = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > until:
                raise Failed(f"the seeker does not {what} in {PATIENCE_S:g} s{self.seeker.tail()}")
            time.sleep(0.05)


def heartbeats(infra: Infrastructure, *, givers: int, seconds: float) -> Load:
    """
    Raises:
        Failed: it purged givers that were there.
    """
    with SeekerOnly(infra, "heartbeats") as run:
        run.givers.ask(do="beat", givers=givers)
        run.await_members(givers)
        time.sleep(SETTLE_S)
        load = run.observe(seconds, "beats")
        purged = givers - run.members()
        if purged:
            raise Failed(f"{purged} givers were purged although all of them were heard")
    return load


def backlog(infra: Infrastructure, *, jobs: int, tasks: int, seconds: float) -> Backlog:
    """`jobs` jobs of `tasks` tasks."""
    with SeekerOnly(infra, f"backlog_{jobs}") as run:
        run.submit(jobs=1, tasks=1)
        before = run.resident_bytes()
        run.submit(jobs=jobs, tasks=tasks)
        time.sleep(SETTLE_S)
        bytes_each = (run.resident_bytes() - before) / (jobs * tasks)
        run.givers.ask(do="answer", givers=ANSWERING)
        time.sleep(SETTLE_S)
        dispatch = run.observe(seconds, "answered")
        restart_s, restart_cpu_s = run.restart()
        return Backlog(
            tasks=jobs * tasks,
            bytes_each=bytes_each,
            dispatch=dispatch,
            restart_s=restart_s,
            restart_cpu_s=restart_cpu_s,
            resident_bytes=run.resident_bytes(),
        )


def kept_backlog(infra: Infrastructure, *, tasks: int, each: int, seconds: float) -> Load:
    """Dispatching with always about `tasks` waiting, in jobs of `each`, as new ones are submitted
    for those that end."""
    with SeekerOnly(infra, f"kept_{tasks}_{each}") as run:
        run.givers.ask(do="keep", tasks=tasks, each=each)
        run.await_jobs(tasks // each)
        run.givers.ask(do="answer", givers=ANSWERING)
        time.sleep(SETTLE_S)
        return run.observe(seconds, "answered")
