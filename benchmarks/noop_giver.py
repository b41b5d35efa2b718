"""`python -m benchmarks.noop_giver`: the giver in every part, but its engine does nothing.

What is left is the way of a task: queues, journal, outbox, results.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from giver.engine import NOTHING_WRITTEN, Container, EngineFacts, Exit, Image, Plan, Tail, Written
from giver.output import Output, Sink
from giver.run import serve
from giver.settings import GiverSettings
from runtime.command_line import async_command
from runtime.logs import configure_logging
from schemas.heartbeat import Platform, Pull
from schemas.job import RegistryAuth

IMAGE = "noop:local"
_PRESENT = Image(id=f"sha256:{0:064x}", digest=f"sha256:{0:064x}")


class _NoTail:
    async def read(self) -> None:
        """Nothing was written."""

    def close(self) -> None:
        """Nothing is open."""


class DoNothing:
    """An `Engine` whose containers end with code 0 as soon as they are started."""

    async def probe(self) -> EngineFacts:
        return EngineFacts(version="0", platform=Platform(os="linux", architecture="amd64"))

    async def images(self) -> Sequence[str]:
        return (IMAGE,)

    async def find_image(self, reference: str) -> Image | None:  # noqa: ARG002
        return _PRESENT

    async def pull_image(
        self,
        reference: str,  # noqa: ARG002
        auth: RegistryAuth | None = None,  # noqa: ARG002
    ) -> Image:
        return _PRESENT

    def pulls(self) -> Sequence[Pull]:
        return ()

    async def remove_image(self, reference: str, image_id: str) -> bool:  # noqa: ARG002
        return False

    async def create(self, plan: Plan) -> Container:
        return Container(id=plan.assignment_id, assignment_id=plan.assignment_id)

    async def follow(
        self,
        container: Container,  # noqa: ARG002
        output: Output,  # noqa: ARG002
        started: Callable[[float], None],
    ) -> Exit:
        started(0.0)
        return Exit(code=0, wall_s=0.0, cpu_s=0.0, peak_memory_bytes=0)

    async def stop(self, container: Container, grace_s: int) -> None:
        """Nothing runs."""

    def tail(
        self,
        container: Container,  # noqa: ARG002
        lines: int,  # noqa: ARG002
        follow: bool,  # noqa: ARG002
        sink: Sink,  # noqa: ARG002
    ) -> Tail:
        return _NoTail()

    async def written(
        self,
        container: Container,  # noqa: ARG002
        most_entries: int,  # noqa: ARG002
    ) -> Written:
        return NOTHING_WRITTEN

    async def pause(self, container: Container) -> None:
        pass

    async def resume(self, container: Container) -> None:
        pass

    async def remove(self, container: Container) -> None:
        """Nothing is there."""

    async def owned(self) -> Sequence[Container]:
        return ()

    async def close(self) -> None:
        """Nothing is open."""


@click.command()
@async_command
async def main() -> None:
    """As `giver run`, without Docker."""
    settings = GiverSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    await serve(settings, DoNothing())


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.noop_giver")
