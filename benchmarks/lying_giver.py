"""`python -m benchmarks.lying_giver`: the real giver in every part, but that it passes on something
else than what some containers printed.

BENCH_LIES is the share of its answers that are wrong; each is wrong in its own way.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from hashlib import sha256

import click

from giver.docker_engine import DockerEngine
from giver.engine import Container, Exit
from giver.output import STDOUT, Output
from giver.run import serve
from giver.settings import GiverSettings
from runtime.command_line import UserError, async_command
from runtime.logs import configure_logging


class Forged(Output):
    """Writes something else where the true output would have been written."""

    def feed(self, stream: int, data: bytes) -> None:
        if stream == STDOUT:
            data = sha256(data + os.urandom(8)).hexdigest().encode() + b"\n"
        super().feed(stream, data)


class LyingEngine(DockerEngine):
    def __init__(self, giver_id: str, settings: GiverSettings, lies: float) -> None:
        super().__init__(giver_id, settings)
        self._lies = lies

    async def follow(
        self, container: Container, output: Output, started: Callable[[float], None]
    ) -> Exit:
        # The same try is lied about again, should it be followed anew.
        number = sha256(container.assignment_id.encode()).digest()[0] / 256
        if number < self._lies:
            output = Forged(output.limit, output.on_excess, output.stdout, output.stderr)
        return await super().follow(container, output, started)


@click.command()
@async_command
async def main() -> None:
    """As `giver run`, but dishonest."""
    settings = GiverSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    if settings.id is None:
        raise UserError("GIVER_ID is not set: the liar does not make up one of its own")
    lies = float(os.environ["BENCH_LIES"])
    await serve(settings, LyingEngine(settings.id, settings, lies))


if __name__ == "__main__":
    main(prog_name="python -m benchmarks.lying_giver")
