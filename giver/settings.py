"""The giver's configuration."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import BeforeValidator, ByteSize, Field
from pydantic_settings import NoDecode, SettingsConfigDict

from giver import hours as weekly
from giver.hours import Hours
from giver.owner import AtLimit, Limits
from runtime.logs import LogFormat, LogLevel
from runtime.settings import ServiceSettings
from schemas.heartbeat import SHORTEST_INTERVAL_S, Speed
from schemas.identifiers import GiverId
from schemas.job import GIB, MIB


def _speed(value: object) -> object:
    """`1.1,2.0`: of one core, and of all together."""
    if not isinstance(value, str):
        return value
    single, _, together = value.partition(",")
    try:
        return Speed(single=float(single), all_cores=float(together))
    except ValueError as error:
        raise ValueError("give it as SINGLE,ALL, two numbers above 0, e.g. 1.1,2.0") from error


def _hours(value: object) -> object:
    return weekly.parse(value) if isinstance(value, str) else value


class GiverAddress(ServiceSettings):
    """Where a giver's own HTTP endpoint is."""

    model_config = SettingsConfigDict(env_prefix="GIVER_", frozen=True, extra="ignore")

    http_host: str = "127.0.0.1"
    http_port: Annotated[int, Field(ge=0, le=65535)] = 8701
    url: str | None = None
    """Where the other commands ask; `None`: at this host and port."""


class GiverSettings(GiverAddress):
    """From options, then `GIVER_…` in the environment, then the local stack's `.local/env`."""

    broker_url: str
    docker_host: str | None = None
    """`None`: as the docker command line finds it."""
    docker_config: Path | None = None
    """The file with the credentials of registries; `None`: as the docker command line finds it."""
    state_dir: Path = Path("/var/lib/giver")
    """Holds the id and the journal; used by one giver at a time."""
    id: GiverId | None = None
    """`None`: made once and kept in `state_dir`."""
    owner: Annotated[str, Field(max_length=200)] = ""
    labels: dict[str, str] = Field(default_factory=dict)
    policy: Path | None = None
    """The owner's policy file; `None`: `policy.yaml` in `state_dir`, if there is one."""
    cgroup_parent: str | None = None
    """Under which all containers go, as Docker takes it; `None`: one made for the policy's `host`
    limits, or Docker's own where there are none."""

    cpus: Annotated[float, Field(gt=0)] | None = None
    memory: Annotated[ByteSize, Field(gt=0)] | None = None
    disk: Annotated[ByteSize, Field(ge=0)] | None = None
    """Bytes, or with a unit such as GiB."""
    containers: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """At a time. Of these four, `None` means as much as the host has."""
    gpus: Annotated[int, Field(ge=0, le=64)] = 0
    """To give, those numbered from 0; Docker must have a runtime for them."""
    speed: Annotated[Speed | None, NoDecode, BeforeValidator(_speed)] = None
    """As `SINGLE,ALL`, for one core and for all together, 1.0 being a core of the year 2020.
    `None`: measured, and kept in `state_dir`."""
    backlog: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Assignments held waiting; `None`: as many as containers."""

    heartbeat_interval_s: Annotated[float, Field(ge=SHORTEST_INTERVAL_S, le=3600)] = 10.0
    docker_check_interval_s: Annotated[float, Field(gt=0)] = 5.0
    docker_check_deadline_s: Annotated[float, Field(gt=0)] = 5.0
    docker_call_deadline_s: Annotated[float, Field(gt=0)] = 30.0
    docker_patience_s: Annotated[float, Field(ge=0)] = 60.0
    """How long Docker may be away before the assignments that need it are given up."""
    pull_inactivity_s: Annotated[float, Field(gt=0)] = 60.0
    """A pull that says nothing for so long is broken off."""
    pull_deadline_s: Annotated[float, Field(gt=0)] = 1800.0
    pull_attempts: Annotated[int, Field(ge=1)] = 3
    cache: Annotated[ByteSize, Field(ge=0)] = ByteSize(10 * GIB)
    """Bytes of tasks' input files kept for the next task that wants the same."""
    transfer_inactivity_s: Annotated[float, Field(gt=0)] = 60.0
    """A transfer of a file in which nothing moves for so long is broken off, and begun again."""
    transfer_patience_s: Annotated[float, Field(ge=0)] = 600.0
    """After so long it is not begun again."""
    evict_above: Annotated[float, Field(ge=0, le=1)] = 0.85
    """With a larger share of Docker's disk in use, images pulled by this giver go..."""
    evict_below: Annotated[float, Field(ge=0, le=1)] = 0.75
    """...until no more than this share is."""
    stop_grace_s: Annotated[int, Field(ge=0)] = 10
    """Between SIGTERM and SIGKILL."""
    stop_mode: Literal["hand_over", "drain"] = "hand_over"
    """At SIGTERM: containers run on and are adopted at the next start, or all is finished first."""
    stop_deadline_s: Annotated[float, Field(ge=0)] = 3600.0
    """What a drain has not finished by then is handed over."""
    output_limit: Annotated[ByteSize, Field(gt=0)] = ByteSize(64 * MIB)
    """Bytes of stdout and stderr together; a container that writes more is killed."""
    reap_interval_s: Annotated[float, Field(gt=0)] = 30.0
    reap_grace_s: Annotated[float, Field(ge=0)] = 60.0
    """Age that a container nobody knows must have before it is removed."""

    hours: Annotated[Hours | None, NoDecode, BeforeValidator(_hours)] = None
    """When to give, as `mon-fri 18:00-08:00, sat-sun` by the host's clock; `None`: always."""
    idle_sessions: bool = False
    """Give only while nobody is logged in."""
    idle_cpu: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Give only while others use no more than this share of the host's CPUs..."""
    idle_for_s: Annotated[float, Field(ge=0)] = 10.0
    """...and have not for so long."""
    not_on_battery: bool = False
    min_free_disk: Annotated[ByteSize, Field(ge=0)] | None = None
    """With less than that free where Docker keeps its data, nothing new is taken."""
    at_limit: AtLimit = "freeze"
    """What becomes of running containers when one of these limits begins, disk apart."""
    owner_check_interval_s: Annotated[float, Field(gt=0)] = 2.0

    log_level: LogLevel = "info"
    log_format: LogFormat | None = None

    def limits(self) -> Limits:
        """The owner's, of those in force."""
        return Limits(
            hours=self.hours,
            no_sessions=self.idle_sessions,
            no_battery=self.not_on_battery,
            others_cpu=self.idle_cpu,
            idle_for_s=self.idle_for_s,
            min_free_disk=self.min_free_disk,
            at_limit=self.at_limit,
        )
