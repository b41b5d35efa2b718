"""The owner's policy: what this giver's tasks may have, each of them and all together. Pure.

    grants:                       # beyond the hardened default
      network: none               # or a network of this host's Docker, e.g. bridge
      capabilities: [NET_RAW]
      writable_root: false
      runtimes: [runsc, crun]
    images:                       # of these only; `*` stands for any characters
      - ghcr.io/alice/*
      - docker.io/library/python@sha256:…
    task:                         # the most that one task may ask for
      {cpus: 2, memory: 4GiB, disk: 10GiB, gpus: 1, pids: 512, timeout: 6h}
    host:                         # the most that all tasks have together
      {cpus: 3, memory: 8GiB, disk: 50GiB, gpus: 2, tasks: 4}

Whatever is left out stays as it is without a policy: nothing is granted, any image may run, and the
giver's capacity is the only limit.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ByteSize, ConfigDict, Field, ValidationError
from pytimeparse2 import parse as parse_duration

from runtime import strict_yaml
from schemas import policy as wire
from schemas.base import describe
from schemas.heartbeat import Capacity
from schemas.job import CapabilityName, RuntimeName

NO_NETWORK = "none"
DOCUMENTED = "docs/giver-policy.md"


class PolicyError(ValueError):
    """The policy cannot be understood; the message names the key, the value and the remedy."""


def _network(value: object) -> object:
    if value in (None, False):  # As YAML reads `no`.
        return NO_NETWORK
    if not isinstance(value, str):
        raise ValueError("name a network of this host's Docker, e.g. bridge, or none")
    if value == "host" or value.startswith("container:"):
        raise ValueError(
            "that gives tasks whatever listens on this host's loopback: name a bridge, or none"
        )
    return value


def _seconds(value: object) -> object:
    if not isinstance(value, str):
        return value
    seconds = parse_duration(value)
    if seconds is None:
        raise ValueError("not a duration: write seconds, or for example 90s, 10m, 6h")
    return float(seconds)


def _capability(value: object) -> object:
    return value.upper().removeprefix("CAP_") if isinstance(value, str) else value


def _image(value: object) -> object:
    if isinstance(value, str) and re.fullmatch(wire.IMAGE_PATTERN, value) is None:
        raise ValueError(
            "write REPOSITORY or REPOSITORY@sha256:…, where * stands for any characters, and no "
            "tag, as tags can be moved"
        )
    return value


def _left_empty(value: object) -> object:
    return {} if value is None else value


Cpus = Annotated[float, Field(gt=0, le=4096)]
Size = Annotated[ByteSize, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Granted(_Section):
    network: Annotated[
        str,
        BeforeValidator(_network),
        Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,200}$"),
    ] = NO_NETWORK
    capabilities: tuple[Annotated[CapabilityName, BeforeValidator(_capability)], ...] = ()
    writable_root: bool = False
    runtimes: tuple[RuntimeName, ...] = ()


class PerTask(_Section):
    cpus: Cpus | None = None
    memory: Size | None = None
    disk: Size | None = None
    gpus: Count | None = None
    pids: Annotated[int, Field(ge=1)] | None = None
    timeout: Annotated[float, BeforeValidator(_seconds), Field(gt=0)] | None = None


class Altogether(_Section):
    cpus: Cpus | None = None
    memory: Annotated[ByteSize, Field(gt=0)] | None = None
    disk: Size | None = None
    gpus: Count | None = None
    tasks: Count | None = None
    """At a time."""


class OwnersPolicy(_Section):
    grants: Annotated[Granted, BeforeValidator(_left_empty)] = Granted()
    images: tuple[Annotated[wire.ImagePattern, BeforeValidator(_image)], ...] = (wire.ANY_IMAGE,)
    task: Annotated[PerTask, BeforeValidator(_left_empty)] = PerTask()
    host: Annotated[Altogether, BeforeValidator(_left_empty)] = Altogether()

    def of_a_task(self) -> wire.Policy:
        """As heartbeats carry it."""
        most = self.task
        return wire.Policy(
            network=self.grants.network != NO_NETWORK,
            capabilities=self.grants.capabilities,
            writable_root=self.grants.writable_root,
            runtimes=self.grants.runtimes,
            images=self.images,
            cpus=most.cpus,
            memory_bytes=None if most.memory is None else int(most.memory),
            disk_bytes=None if most.disk is None else int(most.disk),
            gpus=most.gpus,
            pids=most.pids,
            timeout_s=most.timeout,
        )

    def cap(self, capacity: Capacity) -> Capacity:
        """What is left of a host's capacity."""
        most = self.host
        return Capacity(
            cpus=_least(capacity.cpus, most.cpus),
            memory_bytes=int(_least(capacity.memory_bytes, most.memory)),
            disk_bytes=int(_least(capacity.disk_bytes, most.disk)),
            gpus=int(_least(capacity.gpus, most.gpus)),
            containers=int(_least(capacity.containers, most.tasks)),
        )

    def items(self) -> Iterator[tuple[str, str]]:
        """Each key as `grants.network`, with its value as a person writes it."""
        for name, value in self:
            if isinstance(value, _Section):
                yield from ((f"{name}.{key}", _written(each)) for key, each in value)
            else:
                yield name, _written(value)


NO_POLICY = OwnersPolicy()


def parse(text: bytes) -> OwnersPolicy:
    """
    Raises:
        PolicyError: it is no YAML, or a key is unknown or its value wrong.
    """
    if not text.strip(b" \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise PolicyError("it is empty: remove it to allow all that a giver has, or write one")
    try:
        values = _left_empty(strict_yaml.load(text))
        if not isinstance(values, dict):
            raise PolicyError(f"it holds no policy: expected keys such as grants; see {DOCUMENTED}")
        return OwnersPolicy.model_validate(values)
    except strict_yaml.YamlError as error:
        raise PolicyError(str(error)) from error
    except ValidationError as error:
        told = describe(error).replace("Extra inputs are not permitted", "there is no such key")
        raise PolicyError(f"{told}; {DOCUMENTED} lists the keys") from error


def _least(has: float, most: float | None) -> float:
    return has if most is None else min(has, most)


def _written(value: Any) -> str:
    match value:
        case None:
            return "no limit"
        case bool():
            return str(value).lower()
        case ByteSize():
            return value.human_readable()
        case tuple():
            return ", ".join(value) or "none"
        case float():
            return f"{value:g}"
        case _:
            return str(value)
