"""From what a person writes, on the command line or in a YAML file, to a `JobSpec`.

A job file has the options of `seeker enqueue` as keys:

    name: fractal
    image: busybox:local
    command: [sh, -c, "echo {{x}} $WEIGHT"]
    env: {WEIGHT: "{{w}}"}
    resources: {cpus: 0.5, memory: 256MiB, disk: 1GiB, pids: 64}
    timeout: 10m
    replicas: 2
    quorum: 2
    parameters: [{x: 1, w: a}, {x: 2, w: b}]
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import (
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
)
from pytimeparse2 import parse as parse_duration

from schemas.base import describe
from schemas.job import Agreement, ContainerSpec, JobSpec, Resources
from seeker import rendering


class JobFileError(ValueError):
    """The job cannot be understood; the message names the file, the key and what is expected."""


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    seconds = parse_duration(value)
    if seconds is None:
        raise ValueError("not a duration: write seconds, or for example 90s, 10m, 1h30m")
    return float(seconds)


def _text(value: object) -> object:
    """YAML reads `1` as a number and `yes` as a truth value; containers only know text."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value) if isinstance(value, (int, float)) else value


Duration = Annotated[float, BeforeValidator(_seconds), PlainSerializer(float)]
Text = Annotated[str, BeforeValidator(_text)]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WrittenResources(_Written):
    cpus: float = 1.0
    memory: ByteSize = ByteSize(256 << 20)
    disk: ByteSize = ByteSize(1 << 30)
    pids: int = 256


class WrittenJob(_Written):
    """A job as written: sizes and durations with units, unknown keys refused."""

    image: str
    command: tuple[Text, ...] = ()
    entrypoint: tuple[Text, ...] = ()
    env: dict[str, Text] = Field(default_factory=dict)
    workdir: str | None = None
    resources: WrittenResources = WrittenResources()
    timeout: Duration = 3600.0
    name: str | None = None
    replicas: int | None = None
    quorum: int = 1
    max_attempts: int | None = None
    priority: int = 0
    first_index: int = 0
    count: int | None = None
    parameters: tuple[dict[str, Text], ...] = ()

    def spec(self) -> JobSpec:
        """
        Raises:
            ValidationError: a value is out of range.
            UnknownParameter: a placeholder names no parameter.
        """
        replicas = self.replicas or self.quorum
        limits = Agreement.model_fields["max_attempts"].default
        spec = JobSpec(
            name=self.name,
            container=ContainerSpec(
                image=self.image,
                command=self.command,
                entrypoint=self.entrypoint,
                env=self.env,
                workdir=self.workdir,
                resources=Resources(
                    cpus=self.resources.cpus,
                    memory_bytes=int(self.resources.memory),
                    disk_bytes=int(self.resources.disk),
                    pids=self.resources.pids,
                ),
                timeout_s=self.timeout,
            ),
            agreement=Agreement(
                replicas=replicas,
                quorum=self.quorum,
                max_attempts=self.max_attempts or max(limits, 3 * replicas),
            ),
            priority=self.priority,
            first_index=self.first_index,
            count=self.count or len(self.parameters) or 1,
            parameters=self.parameters,
        )
        rendering.check(spec)
        return spec


def build(values: dict[str, Any], source: str) -> JobSpec:
    """
    Args:
        source: names where the values come from, for the error.

    Raises:
        JobFileError: a key is missing, unknown or wrong.
    """
    try:
        return WrittenJob.model_validate(values).spec()
    except ValidationError as error:
        raise JobFileError(f"{source}: {describe(error)}") from error
    except rendering.UnknownParameter as error:
        raise JobFileError(f"{source}: {error}") from error


def read(path: Path) -> dict[str, Any]:
    """The keys of a job file, not yet checked.

    Raises:
        JobFileError: it cannot be read, or is no YAML mapping.
    """
    try:
        values = yaml.safe_load(path.read_bytes())
    except OSError as error:
        raise JobFileError(f"{path} cannot be read: {error.strerror}") from error
    except (yaml.YAMLError, UnicodeError) as error:
        raise JobFileError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise JobFileError(f"{path} holds no job: expected keys such as `image` and `command`")
    return values
