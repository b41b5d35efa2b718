"""What a user asks for: a job of one or more tasks."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import chain, pairwise
from math import prod
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, AwareDatetime, Field, model_validator

from schemas.base import Message, Part
from schemas.comparison import COMPARABLE_BYTES, Comparison
from schemas.data import MOST_INPUTS, MOST_PATTERNS, Input, RelativePath
from schemas.identifiers import (
    IMAGE_NAME,
    MOST_INDEX,
    GiverId,
    JobId,
    TaskId,
    is_job_id,
    is_task_id,
    registry_of,
)

MIB = 1 << 20
GIB = 1 << 30
MOST_S = 10 * 366 * 86400.0
MOST_TRIES = 5_000
"""At one task. They are kept in one document of a database, with a reason each."""
MOST_BYTES = 1 << 50
"""Of anything a task or a giver has: sums of it must fit the 64 bits of a database."""

_INDEX = re.compile(r"(?:0|[1-9][0-9]{0,8})\Z")

Name = Annotated[str, Field(min_length=1, max_length=200)]
ParameterName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]{0,63}$")]
RuntimeName = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
EnvironmentName = Annotated[str, Field(pattern=r"^[^=\x00]{1,200}$")]


LabelText = Annotated[str, Field(max_length=200)]
"""Of a name or a value: what is wanted of them is repeated in explanations."""


def _capability(name: str) -> str:
    if name == "ALL" or name.startswith("CAP_"):
        raise ValueError("name each capability by itself and without CAP_, e.g. NET_RAW")
    return name


CapabilityName = Annotated[
    str, Field(pattern=r"^[A-Z][A-Z0-9_]{1,40}$"), AfterValidator(_capability)
]


def _check_no_nul(texts: Iterable[str]) -> None:
    if any("\x00" in text for text in texts):
        raise ValueError("a NUL cannot be handed to a process: take it out")


class Resources(Part):
    """What one container needs, and the most it gets."""

    cpus: float = Field(default=1.0, gt=0, le=4096)
    """CPU cores; fractions allowed."""
    memory_bytes: int = Field(default=256 * MIB, ge=6 * MIB, le=MOST_BYTES)
    """Memory and swap together; Docker accepts no less than 6 MiB."""
    disk_bytes: int = Field(default=GIB, ge=0, le=MOST_BYTES)
    """The most that `/in` and `/out` may hold together, and a bound of `/tmp`."""
    gpus: int = Field(default=0, ge=0, le=64)
    pids: int = Field(default=256, ge=1, le=1 << 20)
    """Processes and threads together."""


class Grants(Part):
    """What a container gets beyond the hardened default, where the giver's owner allows it."""

    network: bool = False
    """A way out, by a bridge of the owner's choice."""
    capabilities: tuple[CapabilityName, ...] = Field(default=(), max_length=64)
    """Of Linux, without `CAP_`. They make the container run as its root, which alone has any."""
    writable_root: bool = False
    """The container's own root file system, by the image's own user, be that root."""
    runtime: RuntimeName | Literal[""] = ""
    """As the giver's Docker calls it, e.g. `runsc`; empty: its default."""


Secret = Annotated[str, Field(max_length=16_000, repr=False)]
"""In no log, and in no answer to anybody."""


class RegistryAuth(Part):
    """What a registry wants to know before it hands out an image: a password, or a token.

    Every giver that is asked to run the image gets it.
    """

    registry: str = Field(min_length=1, max_length=300)
    """Its host, with its port if it has one; `docker.io` for Docker Hub."""
    username: Secret = ""
    password: Secret = ""
    identity_token: Secret = ""
    """As a login by the registry's own page gives it, instead of the two."""


class ContainerSpec(Part):
    """One container to run."""

    image: str = Field(max_length=500, pattern=rf"^{IMAGE_NAME}$")
    command: tuple[str, ...] = ()
    """Empty: the image's own."""
    registry_auth: RegistryAuth | None = None
    """`None`: the image is public, or the giver's owner has logged in."""
    entrypoint: tuple[str, ...] = ()
    """Empty: the image's own; one empty text: none, as Docker takes it."""
    env: dict[EnvironmentName, str] = Field(default_factory=dict)
    workdir: str | None = Field(default=None, pattern=r"^/[^\x00]*$", max_length=4096)
    resources: Resources = Resources()
    grants: Grants = Grants()
    timeout_s: float = Field(default=3600.0, gt=0, le=30 * 86400)
    """Seconds a run may take, pull and data not counted."""
    inputs: tuple[Input, ...] = Field(default=(), max_length=MOST_INPUTS)
    outputs: tuple[RelativePath, ...] = Field(default=(), max_length=MOST_PATTERNS)
    """Patterns of the files in `/out` that the result is to have: `*` within a name, `**` across
    folders."""

    @property
    def input_bytes(self) -> int:
        return sum(each.size_bytes for each in self.inputs)

    @property
    def output_bytes(self) -> int:
        """What the inputs leave of the disk; less than 0: they alone are too much."""
        return self.resources.disk_bytes - self.input_bytes

    @model_validator(mode="after")
    def _inputs_apart(self) -> Self:
        paths = sorted(each.path for each in self.inputs)
        for one, other in pairwise(paths):
            if other == one or other.startswith(f"{one}/"):
                raise ValueError(
                    f"inputs {one!r} and {other!r} would lie one within the other: "
                    "give them places of their own"
                )
        return self

    @model_validator(mode="after")
    def _auth_fits(self) -> Self:
        auth, registry = self.registry_auth, registry_of(self.image)
        if auth is not None and auth.registry != registry:
            raise ValueError(
                f"registry_auth is for {auth.registry}, image {self.image} comes from {registry}: "
                "leave it out, or give that of the image's registry"
            )
        return self

    @model_validator(mode="after")
    def _no_nul(self) -> Self:
        _check_no_nul((*self.command, *self.entrypoint, *self.env.values()))
        return self


class Agreement(Part):
    """How many givers try a task, and how many must agree before it is decided."""

    replicas: int = Field(default=1, ge=1, le=100)
    """Assignments made at the start."""
    quorum: int = Field(default=1, ge=1, le=100)
    """Equal results that decide the task."""
    max_attempts: int = Field(default=8, ge=1, le=1000)
    """Assignments made for one task at the most, whatever becomes of them."""
    comparison: Comparison = Comparison()
    on_disagreement: Literal["heuristic", "fail"] = "heuristic"
    """When results disagree and nobody else is left to ask: the reputation of those who voted
    chooses, and the choice is marked as disputed; or the task fails."""
    adaptive: bool = False
    """A giver that has earned it is believed alone, but for random checks; all others are checked
    by the replicas and the quorum."""

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
        if self.adaptive and self.quorum < 2:
            raise ValueError("adaptive trust checks givers by a quorum of at least 2: raise quorum")
        return self


class Placement(Part):
    """Which givers may run a task, and which should."""

    require: str = Field(default="", max_length=1200)
    """A CEL expression over a giver's attributes that must be true; empty: anybody."""
    prefer: str = Field(default="", max_length=1000)
    """A CEL expression over a giver's attributes: a number, the higher the better."""
    labels: dict[LabelText, LabelText] = Field(default_factory=dict, max_length=100)
    """Labels that the giver must have, with these values."""
    os: str = Field(default="", max_length=100)
    architecture: str = Field(default="", max_length=100)
    """As Docker names them, e.g. `arm64`; empty: any."""
    strategy: Literal["spread", "pack"] = "spread"
    """Among equals, the emptiest giver first, or the fullest that still has room."""
    homogeneous: bool = False
    """All tries of a task on the platform of the first: where results depend on it."""


class Retry(Part):
    """Runs that ended badly by the task itself, made again; failures of givers do not count."""

    limit: int = Field(default=0, ge=0, le=1000)
    """Further runs."""
    pause_s: float = Field(default=1.0, gt=0, le=86400)
    """Before the first of them; doubled each time, with jitter."""
    longest_pause_s: float = Field(default=60.0, gt=0, le=86400)


class JobSpec(Part):
    """A container run `count` times, each time with its own parameters.

    `{{name}}` in the command, the entrypoint and the values of the environment stands for the
    task's value of that name, and `{{index}}` for its index. The values come from `parameters`, one
    set a task, or from `matrix`, every combination of its values, the last name varying fastest.
    """

    name: Name | None = None
    container: ContainerSpec
    agreement: Agreement = Agreement()
    placement: Placement = Placement()
    retry: Retry = Retry()
    priority: int = Field(default=0, ge=-1000, le=1000)
    """Higher goes first."""
    after: tuple[JobId, ...] = Field(default=(), max_length=100)
    """Jobs that must have succeeded before this one begins."""
    queue_timeout_s: float | None = Field(default=None, gt=0, le=MOST_S)
    """Seconds, by the seeker's clock, from when it read the submission, after which a task that was
    never placed fails."""
    deadline_s: float | None = Field(default=None, gt=0, le=MOST_S)
    """The same after which whatever has not ended fails."""
    backup_after: float | None = Field(default=None, ge=1.5, le=1000)
    """A run that takes so many times the job's median gets a second try beside it."""
    first_index: int = Field(default=0, ge=0, le=MOST_INDEX)
    count: int = Field(default=1, ge=1, le=10_000_000)
    """Number of tasks."""
    parameters: tuple[dict[ParameterName, str], ...] = ()
    """Empty, or one set of values for each task."""
    matrix: dict[ParameterName, Annotated[tuple[str, ...], Field(min_length=1)]] = Field(
        default_factory=dict
    )
    """Empty, or for each name its values; there are as many tasks as combinations."""
    known: dict[str, Annotated[str, Field(max_length=COMPARABLE_BYTES)]] = Field(
        default_factory=dict, max_length=10_000
    )
    """By index, what the task's stdout must be, with or without a last line end: a probe. Whoever
    answers something else is wrong, however many agree."""

    @model_validator(mode="after")
    def _bounded(self) -> Self:
        tries = self.agreement.max_attempts * (self.retry.limit + 1)
        if tries > MOST_TRIES:
            raise ValueError(
                f"max_attempts {self.agreement.max_attempts} in each of {self.retry.limit + 1} "
                f"runs are {tries} tries of a task, at most {MOST_TRIES} are possible: "
                "lower max_attempts or retries"
            )
        last = self.first_index + self.count - 1
        if last > MOST_INDEX:
            raise ValueError(f"the last index would be {last}, at most {MOST_INDEX} is possible")
        for index in self.known:
            if not (_INDEX.match(index) and self.first_index <= int(index) <= last):
                raise ValueError(
                    f"known: there is no task {index!r}, they are {self.first_index} to {last}"
                )
        if self.known and self.container.outputs:
            raise ValueError(
                "known says what a task prints and nothing of its output files: "
                "leave out known or the outputs"
            )
        if self.parameters and self.matrix:
            raise ValueError("parameters and a matrix exclude each other: write one of them")
        if self.parameters and len(self.parameters) != self.count:
            raise ValueError(f"{len(self.parameters)} sets of parameters for {self.count} tasks")
        # A giver would take the whole message for malformed, with other jobs' tasks in it.
        _check_no_nul(chain.from_iterable(values.values() for values in self.parameters))
        _check_no_nul(chain.from_iterable(self.matrix.values()))
        combinations = prod(map(len, self.matrix.values()))
        if self.matrix and combinations != self.count:
            raise ValueError(f"{combinations} combinations for {self.count} tasks")
        return self


class Submission(Message):
    """On `submissions`: a job, accepted once the broker has confirmed it."""

    MAX_BYTES: ClassVar[int] = 8 * MIB

    job_id: JobId
    submitted_at: AwareDatetime
    spec: JobSpec


Action = Literal["cancel", "drain", "quarantine", "resume", "forget"]


class Command(Message):
    """On `commands`: what the operator wants done to a job, a task or a giver.

    `cancel` a job or a task. `drain` a giver: nothing new; `quarantine`: nothing new, and what it
    has goes to others; `resume` ends both; `forget`: removed from the database with its history, so
    that its next heartbeat makes it a stranger.
    """

    action: Action
    target: JobId | TaskId | GiverId
    reason: str = Field(default="", max_length=500)
    issued_at: AwareDatetime

    @model_validator(mode="after")
    def _target_fits_action(self) -> Self:
        for_work = is_job_id(self.target) or is_task_id(self.target)
        if for_work != (self.action == "cancel"):
            kind = "a job or a task" if self.action == "cancel" else "a giver"
            raise ValueError(f"{self.action} is for {kind}, {self.target!r} is none")
        return self
