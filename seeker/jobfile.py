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
    parameters: [{x: 1, w: a}, {x: 2, w: b}]    # or a file: sweep.csv, sweep.jsonl

or, instead of parameters, all combinations, or only indices:

    matrix: {size: [1, 2, 4], seed: 1..10}
    array: 1-1000

and, where your Docker has logged in to the image's registry and givers need that, too:

    with_registry_auth: true

and, which givers, and what when it goes wrong or slowly:

    require: cpus >= 8 && labels.zone == "a"
    prefer: speed
    labels: {disk: ssd}
    platform: linux/arm64
    strategy: pack
    retries: 3
    retry_pause: 10s
    queue_timeout: 1h
    deadline: 1d
    backup_after: 3
    trust: adaptive
    known: {17: "289"}
    inputs: [scene.json, "textures:maps", "https://host/points.csv:data/points.csv"]
    outputs: [frame.png, "logs/*.txt"]
    compare: json
    tolerance: 1.0e-6
    on_disagreement: fail
    homogeneous: true
    after: [01JD…]

and, what it needs beyond the hardened default, where a giver's owner allows it:

    grants: {network: true, capabilities: [NET_RAW], writable_root: true, runtime: runsc}
"""

from __future__ import annotations

from math import prod
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ByteSize,
    ConfigDict,
    Field,
    PlainSerializer,
    StrictBool,
    ValidationError,
    model_validator,
)
from pytimeparse2 import parse as parse_duration

from runtime import strict_yaml
from schemas import identifiers
from schemas.base import describe
from schemas.comparison import Comparison
from schemas.data import Input
from schemas.job import Agreement, ContainerSpec, Grants, JobSpec, Placement, Resources, Retry
from seeker import expression, rendering, sources, sweep
from seeker.sources import Source, SourceError

WRITTEN_AS = {
    "absolute": "absolute_tolerance",
    "by": "compare",
    "deadline_s": "deadline",
    "disk_bytes": "disk",
    "limit": "retries",
    "memory_bytes": "memory",
    "pause_s": "retry_pause",
    "queue_timeout_s": "queue_timeout",
    "relative": "tolerance",
    "timeout_s": "timeout",
}
"""Keys by the names of the spec's fields, for errors."""


_TO_COME = "0" * 64


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


def _values(value: object) -> object:
    """Of one name in a matrix: a list, or a text such as `1,2,4` or `1..10`."""
    return sweep.values(str(_text(value))) if isinstance(value, (str, int, float)) else value


def _indices(value: object) -> object:
    return sweep.indices(str(value)) if isinstance(value, (str, int)) else value


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else value


def _capability(value: object) -> object:
    """As in `docker run --cap-add`."""
    return value.upper().removeprefix("CAP_") if isinstance(value, str) else value


def _job_id(value: str) -> str:
    if not identifiers.is_job_id(value):
        raise ValueError("not the id of a job (26 characters, as `seeker enqueue` prints it)")
    return value


def _an_image(name: str) -> str:
    if not name:
        raise ValueError("an image is wanted, not nothing: name one, or leave it out")
    return name


def _platform(value: str) -> str:
    os, separator, architecture = value.partition("/")
    if not (os and separator and architecture) or "/" in architecture:
        raise ValueError("not a platform: write OS/ARCHITECTURE, for example linux/arm64")
    return value


Duration = Annotated[float, BeforeValidator(_seconds), PlainSerializer(float)]
Text = Annotated[str, BeforeValidator(_text)]


class _Written(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WrittenResources(_Written):
    cpus: float = 1.0
    memory: ByteSize = ByteSize(256 << 20)
    disk: ByteSize = ByteSize(1 << 30)
    gpus: int = 0
    pids: int = 256


class WrittenGrants(_Written):
    network: bool = False
    capabilities: Annotated[
        tuple[Annotated[str, BeforeValidator(_capability)], ...], BeforeValidator(_several)
    ] = ()
    writable_root: bool = False
    runtime: str = ""


class WrittenJob(_Written):
    """A job as written: sizes and durations with units, unknown keys refused."""

    image: str
    with_registry_auth: StrictBool = False
    """Its credentials are yet to come, like the contents of its inputs."""
    command: tuple[Text, ...] = ()
    entrypoint: Annotated[tuple[Text, ...], BeforeValidator(_several)] = ()
    """Empty: the image's own; an empty text: none, nor the image's command."""
    env: dict[str, Text] = Field(default_factory=dict)
    workdir: str | None = None
    resources: WrittenResources = WrittenResources()
    grants: WrittenGrants = WrittenGrants()
    timeout: Duration = 3600.0
    name: str | None = None
    replicas: int | None = None
    quorum: int | None = None
    max_attempts: int | None = None
    trust: Literal["none", "quorum", "adaptive"] | None = None
    compare: Literal["bytes", "text", "lines", "numbers", "json", "image", "files"] | None = None
    comparator: Annotated[str, AfterValidator(_an_image)] = ""
    comparator_command: Annotated[tuple[Text, ...], BeforeValidator(_several)] = ()
    tolerance: float = 0.0
    absolute_tolerance: float = 0.0
    on_disagreement: Literal["heuristic", "fail"] = "heuristic"
    homogeneous: bool = False
    priority: int = 0
    require: str = ""
    prefer: str = ""
    labels: dict[str, Text] = Field(default_factory=dict)
    platform: Annotated[str, AfterValidator(_platform)] | None = None
    strategy: Literal["spread", "pack"] = "spread"
    retries: int = 0
    retry_pause: Duration = 1.0
    queue_timeout: Duration | None = None
    deadline: Duration | None = None
    backup_after: float | None = None
    after: Annotated[
        tuple[Annotated[str, AfterValidator(_job_id)], ...], BeforeValidator(_several)
    ] = ()
    known: dict[Text, Text] = Field(default_factory=dict)
    inputs: tuple[Source, ...] = ()
    outputs: Annotated[tuple[str, ...], BeforeValidator(_several)] = ()
    first_index: int = 0
    count: int | None = None
    array: Annotated[tuple[int, int] | None, BeforeValidator(_indices)] = None
    """First index and count; instead of these two."""
    parameters: tuple[dict[str, Text], ...] = ()
    matrix: dict[str, Annotated[tuple[Text, ...], BeforeValidator(_values)]] = Field(
        default_factory=dict
    )

    @model_validator(mode="after")
    def _one_range(self) -> Self:
        if self.array is not None and not {"count", "first_index"}.isdisjoint(
            self.model_fields_set
        ):
            raise ValueError("array says what count and first_index say: drop these")
        return self

    @model_validator(mode="after")
    def _something_to_run(self) -> Self:
        if self.entrypoint == ("",) and not self.command:
            raise ValueError(
                "entrypoint '' takes away the image's own, and its command with it: name a command"
            )
        return self

    def _agreement(self) -> Agreement:
        quorum = self.quorum
        if quorum is None:
            quorum = 2 if self.trust in ("quorum", "adaptive") else 1
        replicas = quorum if self.replicas is None else self.replicas
        return Agreement(
            replicas=replicas,
            quorum=quorum,
            max_attempts=max(Agreement.model_fields["max_attempts"].default, 3 * replicas)
            if self.max_attempts is None
            else self.max_attempts,
            comparison=Comparison(
                by=self.compare or ("image" if self.comparator else "bytes"),
                relative=self.tolerance,
                absolute=self.absolute_tolerance,
                image=self.comparator,
                command=self.comparator_command,
            ),
            on_disagreement=self.on_disagreement,
            adaptive=self.trust == "adaptive",
        )

    @model_validator(mode="after")
    def _trust_fits(self) -> Self:
        quorum = self.quorum
        if self.trust == "none" and (quorum or 1) > 1:
            raise ValueError(f"trust none asks nobody to agree, quorum {quorum} does: drop one")
        if self.trust in ("quorum", "adaptive") and quorum == 1:
            raise ValueError(f"trust {self.trust} needs a quorum of 2 at least: raise quorum")
        return self

    def spec(self) -> JobSpec:
        """The contents of its inputs are yet to come.

        Raises:
            ValidationError: a value is out of range.
            UnknownParameter: a placeholder names no parameter.
        """
        os, _, architecture = (self.platform or "").partition("/")
        first_index, count = self.array or (self.first_index, self.count)
        combinations = prod(map(len, self.matrix.values())) if self.matrix else 0
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
                    gpus=self.resources.gpus,
                    pids=self.resources.pids,
                ),
                grants=Grants(**self.grants.model_dump()),
                timeout_s=self.timeout,
                inputs=tuple(
                    Input(path=each.path, sha256=_TO_COME, size_bytes=0, folder=each.folder)
                    for each in self.inputs
                ),
                outputs=self.outputs,
            ),
            agreement=self._agreement(),
            placement=Placement(
                require=self.require,
                prefer=self.prefer,
                labels=self.labels,
                os=os,
                architecture=architecture,
                strategy=self.strategy,
                homogeneous=self.homogeneous,
            ),
            retry=Retry(
                limit=self.retries,
                pause_s=self.retry_pause,
                longest_pause_s=max(self.retry_pause, Retry().longest_pause_s),
            ),
            priority=self.priority,
            after=self.after,
            queue_timeout_s=self.queue_timeout,
            deadline_s=self.deadline,
            backup_after=self.backup_after,
            first_index=first_index,
            count=len(self.parameters) or combinations or 1 if count is None else count,
            parameters=self.parameters,
            matrix=self.matrix,
            known=self.known,
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
        spec = WrittenJob.model_validate(values).spec()
    except ValidationError as error:
        raise JobFileError(f"{source}: {describe(error, WRITTEN_AS)}") from error
    except (rendering.UnknownParameter, rendering.TooLarge) as error:
        raise JobFileError(f"{source}: {error}") from error
    for name in ("require", "prefer"):
        problem = expression.problem(Placement(**{name: getattr(spec.placement, name)}))
        if problem:
            raise JobFileError(f"{source}: {name}: {problem}")
    return spec


def read(path: Path) -> dict[str, Any]:
    """The keys of a job file, not yet checked.

    Raises:
        JobFileError: it cannot be read, is no YAML mapping, or has a key twice.
    """
    try:
        values = strict_yaml.load(path.read_bytes())
    except OSError as error:
        raise JobFileError(f"{path} cannot be read: {error.strerror}") from error
    except strict_yaml.YamlError as error:
        raise JobFileError(f"{path}: {error}") from error
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise JobFileError(f"{path} holds no job: expected keys such as `image` and `command`")
    if isinstance(values.get("parameters"), str):
        try:
            values["parameters"] = sweep.read_parameters(path.parent / values["parameters"])
        except sweep.SweepError as error:
            raise JobFileError(f"{path}: parameters: {error}") from error
    if "inputs" in values:
        values["inputs"] = _sources(values["inputs"], path)
    return values


def _sources(written: object, path: Path) -> tuple[Source, ...]:
    """As the job file names them, from its own folder."""
    listed = _several(written)
    if not isinstance(listed, (list, tuple)) or not all(isinstance(e, str) for e in listed):
        raise JobFileError(f"{path}: inputs: expected a list of FILE, FOLDER or URL, with :PATH")
    try:
        return tuple(sources.parse(text, path.parent) for text in listed)
    except SourceError as error:
        raise JobFileError(f"{path}: {error}") from error
