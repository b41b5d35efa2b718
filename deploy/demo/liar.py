"""`python -m deploy.demo.liar`: the giver of a dishonest owner.

The real giver in every part but one: of some tiles it passes on the negative instead of what the
container printed. It does so the same way each time, as somebody would who has altered his giver.
"""

from __future__ import annotations

from collections.abc import Callable

import click

from giver.docker_engine import DockerEngine
from giver.engine import Container, Exit
from giver.output import STDOUT, Output
from giver.run import serve
from giver.settings import GiverSettings
from runtime.command_line import UserError, async_command
from runtime.logs import configure_logging
from schemas.identifiers import index_of, task_of

EVERY = 4
"""One tile in so many."""

_NEGATIVE = bytes.maketrans(bytes(range(33, 127)), bytes(range(126, 32, -1)))


def lies_about(assignment_id: str) -> bool:
    return index_of(task_of(assignment_id)) % EVERY == EVERY - 1


class Negative(Output):
    """Writes the negative of a tile where the true output would have been written."""

    def feed(self, stream: int, data: bytes) -> None:
        super().feed(stream, data.translate(_NEGATIVE) if stream == STDOUT else data)


class LyingEngine(DockerEngine):
    async def follow(
        self, container: Container, output: Output, started: Callable[[float], None]
    ) -> Exit:
        if lies_about(container.assignment_id):
            output = Negative(output.limit, output.on_excess, output.stdout, output.stderr)
        return await super().follow(container, output, started)


@click.command()
@async_command
async def main() -> None:
    """As `giver run`, but dishonest."""
    settings = GiverSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    if settings.id is None:
        raise UserError("GIVER_ID is not set: the liar does not make up one of its own")
    await serve(settings, LyingEngine(settings.id, settings))


if __name__ == "__main__":
    main(prog_name="python -m deploy.demo.liar")
