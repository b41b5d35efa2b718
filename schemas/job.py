"""What a user asks for: a job of one or more tasks."""

from __future__ import annotations

from typing import Annotated, ClassVar, Self

from pydantic import AwareDatetime, Field, model_validator

from schemas.base import Message, Part
from schemas.identifiers import JobId, TaskId

MIB = 1 << 20
GIB = 1 << 30

Name = Annotated[str, Field(min_length=1, max_length=200)]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
EnvironmentName = Annotated[str, Field(pattern=r"^[^=\x00]{1,200}$")]


class Resources(Part):
    """What one container needs, and the most it gets."""

    cpus: float = Field(default=1.0, gt=0, le=4096)
    """CPU cores; fractions allowed."""
    memory_bytes: int = Field(default=256 * MIB, ge=6 * MIB)
    """Memory and swap together; Docker accepts no less than 6 MiB."""
    disk_bytes: int = Field(default=GIB, ge=0)
    pids: int = Field(default=256, ge=1, le=1 << 20)
    """Processes and threads together."""


class ContainerSpec(Part):
    """One container to run."""

    image: str = Field(min_length=1, max_length=500)
    command: tuple[str, ...] = ()
    """Empty: the image's own."""
    entrypoint: tuple[str, ...] = ()
    """Empty: the image's own."""
    env: dict[EnvironmentName, str] = Field(default_factory=dict)
    workdir: str | None = Field(default=None, pattern=r"^/")
    resources: Resources = Resources()
    timeout_s: float = Field(default=3600.0, gt=0, le=30 * 86400)
    """Seconds a run may take, pull not counted."""


class Agreement(Part):
    """How many givers try a task, and how many must agree before it is decided."""

    replicas: int = Field(default=1, ge=1, le=100)
    """Assignments made at the start."""
    quorum: int = Field(default=1, ge=1, le=100)
    """Results with the same digest that decide the task."""
    max_attempts: int = Field(default=8, ge=1, le=1000)
    """Assignments made for one task at the most, whatever becomes of them."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.quorum > self.replicas:
            raise ValueError(
                f"quorum {self.quorum} cannot be reached with {self.replicas} replicas: "
                "raise replicas or lower quorum"
            )
        if self.max_attempts < self.replicas:
            raise ValueError(
                f"max_attempts {self.max_attempts} is less than replicas {self.replicas}"
            )
        return self


class JobSpec(Part):
    """A container run `count` times, each time with its own parameters.

    Where `parameters` are given, `{{name}}` in the command and in the values of the environment
    stands for the task's value of that name, and `{{index}}` for its index.
    """

    name: Name | None = None
    container: ContainerSpec
    agreement: Agreement = Agreement()
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Higher goes first."""
    first_index: int = Field(default=0, ge=0)
    count: int = Field(default=1, ge=1, le=10_000_000)
    """Number of tasks."""
    parameters: tuple[dict[ParameterName, str], ...] = ()
    """Empty, or one set of values for each task."""

    @model_validator(mode="after")
    def _one_set_each(self) -> Self:
        if self.parameters and len(self.parameters) != self.count:
            raise ValueError(f"{len(self.parameters)} sets of parameters for {self.count} tasks")
        return self


class Submission(Message):
    """On `submissions`: a job, accepted once the broker has confirmed it."""

    MAX_BYTES: ClassVar[int] = 8 * MIB

    job_id: JobId
    submitted_at: AwareDatetime
    spec: JobSpec


class CancelCommand(Message):
    """On `commands`: withdraw a job or one task."""

    target: JobId | TaskId
    issued_at: AwareDatetime
