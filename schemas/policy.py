"""What a giver's owner lets a task have, and whether a task asks for more.

The seeker asks before it places, the giver again before it accepts: its owner trusts nobody else.
"""

from __future__ import annotations

import re
from fnmatch import fnmatchcase
from typing import Annotated, NamedTuple, Protocol

from pydantic import Field

from schemas.base import Part
from schemas.job import MOST_BYTES, CapabilityName, Grants, Resources, RuntimeName

ANY_IMAGE = "*"
SHOWN = 200
"""Characters of what a policy lists that an explanation repeats."""

IMAGE_PATTERN = r"[^\s:@]+(:[0-9]+/[^\s:@]+)?(@sha256:[0-9a-f]{64})?"
ImagePattern = Annotated[str, Field(max_length=500, pattern=rf"^{IMAGE_PATTERN}$")]
"""REPOSITORY or REPOSITORY@sha256:…, where `*` in the repository stands for any characters. There
is no tag: whoever owns a repository may move its tags."""

_IDENTITY = re.compile(r"(sha256:)?[0-9a-f]{1,64}\Z")
_DOCKER_HUB = "docker.io/"


class Policy(Part):
    """Of one task. The default grants nothing and limits nothing: the giver's capacity does."""

    network: bool = False
    capabilities: tuple[CapabilityName, ...] = Field(default=(), max_length=64)
    writable_root: bool = False
    runtimes: tuple[RuntimeName, ...] = Field(default=(), max_length=64)
    images: tuple[ImagePattern, ...] = Field(default=(ANY_IMAGE,), max_length=200)
    """Of which one must fit."""
    cpus: float | None = Field(default=None, gt=0)
    memory_bytes: int | None = Field(default=None, ge=0, le=MOST_BYTES)
    disk_bytes: int | None = Field(default=None, ge=0, le=MOST_BYTES)
    gpus: int | None = Field(default=None, ge=0)
    pids: int | None = Field(default=None, ge=1)
    timeout_s: float | None = Field(default=None, gt=0)
    """These are the most that a task may ask for; `None`: no limit of its own."""


DEFAULT = Policy()


class Asks(Protocol):
    """A container, or what is known of one before there is any."""

    @property
    def image(self) -> str: ...
    @property
    def resources(self) -> Resources: ...
    @property
    def grants(self) -> Grants: ...
    @property
    def timeout_s(self) -> float: ...


class Excess(NamedTuple):
    """What a task asks for beyond a policy, said of the giver."""

    reason: str
    """Names the thing, the value and the limit."""
    kind: str
    """The same of several givers, without the giver's own figures."""
    remedy: str


def excess(policy: Policy | None, asked: Asks, digest: str | None = None) -> Excess | None:
    """The first thing that the policy does not allow; `None`: it allows all.

    Args:
        policy: `None`: the default.
        digest: of the image, once it is there; until then an image that is only allowed by its
            digest passes by its name.
    """
    policy = policy or DEFAULT
    return (
        _not_granted(policy, asked.grants)
        or _too_much(policy, asked)
        or _other_image(policy, asked.image, digest)
    )


def _not_granted(policy: Policy, grants: Grants) -> Excess | None:
    wanted = [(name, name in policy.capabilities) for name in grants.capabilities]
    things = [
        ("network", grants.network and not policy.network, ""),
        ("writable root", grants.writable_root and not policy.writable_root, ""),
        *((f"capability {name}", not had, _listed(policy.capabilities)) for name, had in wanted),
        (
            f"runtime {grants.runtime}",
            bool(grants.runtime) and grants.runtime not in policy.runtimes,
            _listed(policy.runtimes),
        ),
    ]
    for thing, missing, had in things:
        if missing:
            return Excess(
                f"grants no {thing}" + (f" (it grants: {had})" if had else ""),
                f"grant no {thing}",
                f"do without the {thing}, or add a giver whose owner grants it",
            )
    return None


def _too_much(policy: Policy, asked: Asks) -> Excess | None:
    needed = asked.resources
    for name, most, wanted, unit, scale in (
        ("few CPUs", policy.cpus, needed.cpus, "CPUs", 1.0),
        ("little memory", policy.memory_bytes, needed.memory_bytes, "MiB of memory", 2.0**20),
        ("little disk", policy.disk_bytes, needed.disk_bytes, "MiB of disk", 2.0**20),
        ("few GPUs", policy.gpus, needed.gpus, "GPUs", 1.0),
        ("few processes", policy.pids, needed.pids, "processes", 1.0),
        ("little time", policy.timeout_s, asked.timeout_s, "s of run time", 1.0),
    ):
        if most is not None and wanted > most:
            return Excess(
                f"allows a task {most / scale:g} {unit}, {wanted / scale:g} are asked for",
                f"allow a task too {name}",
                "ask for less, or add a giver whose owner allows more",
            )
    return None


def _other_image(policy: Policy, image: str, digest: str | None) -> Excess | None:
    if ANY_IMAGE in policy.images:
        return None
    names = _names(image)
    known = (digest or image).rpartition("@")[2] if digest or "@" in image else None
    fits = [
        demanded
        for pattern, _, demanded in (entry.partition("@") for entry in policy.images)
        if any(fnmatchcase(name, pattern) for name in names)
    ]
    if any(not demanded or known is None or demanded == known for demanded in fits):
        return None
    remedy = "use another image, or add a giver whose owner allows this one"
    if fits:
        return Excess(
            f"allows image {image} only as {_listed(fits)}, not as {known}",
            f"allow {image} by another digest only",
            remedy,
        )
    return Excess(
        f"does not allow image {image} (it allows: {_listed(policy.images)})",
        f"do not allow {image}",
        remedy,
    )


def _names(image: str) -> tuple[str, ...]:
    """The image's repository, in short and in full: `busybox` is `docker.io/library/busybox`.

    None for an id, which names any image that is on the host.
    """
    name = image.partition("@")[0]
    if _IDENTITY.match(name):
        return ()
    head, slash, last = name.rpartition("/")
    name = f"{head}{slash}{last.partition(':')[0]}"
    registry = name.partition("/")[0] if slash else ""
    if not (registry == "localhost" or "." in registry or ":" in registry):
        name = _DOCKER_HUB + (name if slash else f"library/{name}")
    short = name.removeprefix(_DOCKER_HUB).removeprefix("library/")
    return (name, short) if name.startswith(_DOCKER_HUB) else (name,)


def _listed(names: tuple[str, ...] | list[str]) -> str:
    text = ", ".join(names) or "none"
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
