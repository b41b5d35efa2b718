"""What the giver wants of a container engine, and how that can fail.

EngineError
├── Transient                may work later, or elsewhere
│   ├── EngineUnavailable    the engine does not answer, or not in time
│   ├── EngineFailed         the engine answers with an error of its own
│   ├── PullInterrupted      the registry cannot be reached, or went silent
│   └── CreateAgain          what the container was made from has changed: make it anew
└── Permanent                the same request would fail again
    ├── ImageUnusable        no such image, or none that this host can run
    ├── CommandNotRunnable   the command does not exist or may not be executed
    ├── NameTaken            a container that is not ours has the name
    └── RequestRefused       the engine will not have it so; says why
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from giver.cgroups import NO_TRAFFIC, Traffic
from giver.output import Output, Sink
from giver.parent_cgroup import NO_PARENT, Parent
from schemas.heartbeat import Platform, Pull
from schemas.job import ContainerSpec, RegistryAuth


class EngineError(Exception):
    """The message is for a person and ends up in results."""


class Transient(EngineError):
    pass


class EngineUnavailable(Transient):
    pass


class EngineFailed(Transient):
    pass


class PullInterrupted(Transient):
    pass


class CreateAgain(Transient):
    pass


class Permanent(EngineError):
    pass


class ImageUnusable(Permanent):
    pass


class CommandNotRunnable(Permanent):
    def __init__(self, message: str, exit_code: int) -> None:
        """`exit_code`: what a shell says of it, 127 not found or 126 not executable."""
        super().__init__(message)
        self.exit_code = exit_code


class NameTaken(Permanent):
    pass


class RequestRefused(Permanent):
    pass


@dataclass(frozen=True, slots=True)
class EngineFacts:
    """What an engine says of itself and its host."""

    version: str
    platform: Platform
    root_dir: str | None = None
    """Where images and containers are kept, if that is on this host."""
    parent: Parent = NO_PARENT
    """The control group that all our containers are in."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image present on the host."""

    id: str
    digest: str | None
    """As REPOSITORY@DIGEST where a registry has it, else the id."""
    user: str = ""
    """As which the image's containers run unless told otherwise."""
    volumes: tuple[str, ...] = ()
    """Folders that Docker would give them on the host's disk, without a limit."""
    pull_s: float = 0.0
    """Seconds that the pull took just now; 0: it was there."""


@dataclass(frozen=True, slots=True)
class Mount:
    """A folder of this host in a container."""

    source: Path
    target: str
    read_only: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """A container to make; `assignment_id` decides its name."""

    assignment_id: str
    image: Image
    spec: ContainerSpec
    gpus: tuple[int, ...] = ()
    """The numbers of those that it gets."""
    mounts: tuple[Mount, ...] = ()
    user: str | None = None
    """As which it runs; `None`: as the image has it, root excepted."""


@dataclass(frozen=True, slots=True)
class Container:
    """A container of ours."""

    id: str
    assignment_id: str
    created_at: float = 0.0
    """Seconds since the epoch by the engine's clock; 0: just now, by this process."""
    fresh: bool = True
    """Not started yet."""
    gpus: tuple[int, ...] = ()
    """The numbers of those that it has; known of containers found."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How a container ended."""

    code: int
    out_of_memory: bool = False
    """As the engine or the kernel says, never guessed from the code."""
    error: str = ""
    wall_s: float | None = None
    cpu_s: float | None = None
    peak_memory_bytes: int | None = None
    traffic: Traffic = NO_TRAFFIC
    exact_output: bool = True
    """False: the output was read back from a log that cannot be trusted with it."""


@dataclass(frozen=True, slots=True)
class Written:
    """What a container left in its own root."""

    size_bytes: int
    entries: int
    """Files and folders that are new or changed."""


NOTHING_WRITTEN = Written(0, 0)


class Tail(Protocol):
    """A reading of what a container writes; used once."""

    async def read(self) -> None:
        """Feed the sink, by any thread, until the container has ended or `close`."""

    def close(self) -> None: ...


class Engine(Protocol):
    """Every call has a deadline of its own, but for `follow`, which lasts as long as its container.

    Each may raise `EngineUnavailable` beside what it names.
    """

    async def probe(self) -> EngineFacts:
        """Also tells whether the engine answers; never waits behind other calls."""

    async def images(self) -> Sequence[str]:
        """References of the images on the host."""

    async def find_image(self, reference: str) -> Image | None:
        """The image if it is on the host; `None`: to be pulled. Cheap, remembered.

        Raises:
            ImageUnusable: it is no image reference.
        """

    async def pull_image(self, reference: str, auth: RegistryAuth | None = None) -> Image:
        """Those who want the same image in the same name at the same time share one pull.

        Args:
            auth: in whose name; `None`: the owner's, where they have logged in to its registry.

        Raises:
            ImageUnusable: it does not exist, or is none for this host.
            PullInterrupted: the registry could not be reached.
        """

    def pulls(self) -> Sequence[Pull]:
        """How far those are that are on their way."""

    async def remove_image(self, reference: str, image_id: str) -> bool:
        """Take the reference off the image, which goes if it has no other; whether it is off.

        A container that was made from it holds it. A reference that names another image by now is
        left alone, and counts as off.
        """

    async def create(self, plan: Plan) -> Container:
        """Make the container, or adopt the one that exists already for this assignment.

        Raises:
            CreateAgain: the image is gone meanwhile.
            NameTaken, RequestRefused
        """

    async def follow(
        self, container: Container, output: Output, started: Callable[[float], None]
    ) -> Exit:
        """Start the container unless it was, feed its output, return when it has ended.

        `started` is called, by any thread, with the seconds since its start.

        Raises:
            CommandNotRunnable, RequestRefused, CreateAgain
        """

    async def stop(self, container: Container, grace_s: int) -> None:
        """SIGTERM, then SIGKILL after `grace_s`; one that has ended or is gone is no error."""

    def tail(self, container: Container, lines: int, follow: bool, sink: Sink) -> Tail:
        """What it has written, the last `lines`, and with `follow` what it writes from now on."""

    async def written(self, container: Container, most_entries: int) -> Written | None:
        """What its own root holds beyond the image; nothing: it is gone; `None`: it is such that
        the engine cannot tell.

        Args:
            most_entries: more than that are not counted to the end.
        """

    async def pause(self, container: Container) -> None:
        """It stands still until resumed; one that does already, or has ended, is no error."""

    async def resume(self, container: Container) -> None:
        """One that does not stand still, or has ended, is no error."""

    async def remove(self, container: Container) -> None:
        """With its volumes, whatever its state; one that is gone is no error."""

    async def owned(self) -> Sequence[Container]:
        """All containers of this giver, in every state."""

    async def close(self) -> None:
        """Stop following; containers run on."""
