"""`python -m deploy.demo`: from nothing to a picture that three givers computed."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path

import click
import numpy as np
from rich.console import Console

from deploy.demo import cast, job, palette, records
from deploy.demo.audit import Verdict, WrongRecords
from deploy.demo.picture import Scene, WrongTile, assemble
from deploy.demo.play import Course, Play, Stalled, progress_bar
from deploy.demo.reference import reference
from deploy.demo.report import Report
from deploy.local import image
from deploy.local.errors import StackError
from deploy.local.layout import CHECKOUT
from deploy.local.progress import OnConsole
from deploy.local.services import console_script
from deploy.local.stack import Stack
from runtime.command_line import Failed, UserError
from runtime.logs import configure_logging
from seeker.client import Client
from seeker.settings import SeekerSettings


class Demo:
    def __init__(self, stack: Stack, picture: Path, console: Console) -> None:
        self._stack = stack
        self._picture = picture
        self._console = console
        self._scene = Scene()
        self._job_file = stack.layout.home / "demo" / "job.yaml"

    def run(self) -> Report:
        """
        Raises:
            StackError, Stalled, WrongRecords, WrongTile, ClickException: the step that failed.
        """
        began = time.monotonic()
        progress = OnConsole(self._console)
        ids = cast.prepare(self._stack, progress)
        env = self._stack.env
        job.write(self._scene, image.NAME, self._job_file)
        job_id, task_ids = self._enqueue(env)
        self._console.print(
            f"  job {job_id}: {len(task_ids)} tiles, each by two givers that have to agree; "
            f"{ids[cast.LIAR]} lies about some, {ids[cast.DOOMED]} will be killed halfway",
            soft_wrap=True,
        )
        client = Client(
            SeekerSettings.load(
                broker_url=env["SEEKER_BROKER_URL"],
                mongodb_url=env["SEEKER_MONGODB_URL"],
                database=env["SEEKER_DATABASE"],
                channel_url=env["SEEKER_CHANNEL_URL"],
            )
        )
        play = Play(
            client,
            job_id,
            doomed=ids[cast.DOOMED],
            kill=lambda: self._stack.kill(cast.DOOMED),
            fallen=lambda: cast.fallen(self._stack),
        )
        course = self._follow(play, client, job_id)
        with progress.step("collect every answer"):
            verdicts = asyncio.run(records.collect(client, env["CHANNEL_URL"], task_ids))
        with progress.step("compare every pixel with a picture computed without the system"):
            wrong_pixels = self._assemble(verdicts)
        return Report(
            job_id=job_id,
            verdicts=verdicts,
            course=course,
            pixels=self._scene.width * self._scene.height,
            wrong_pixels=wrong_pixels,
            killed=ids[cast.DOOMED],
            liar=ids[cast.LIAR],
            seconds=time.monotonic() - began,
        )

    def show(self, report: Report) -> None:
        report.print(self._console, from_here(self._picture))
        report.print_commands(self._console, self._stack.env, from_here(self._job_file))

    def _enqueue(self, env: Mapping[str, str]) -> tuple[str, list[str]]:
        command = [console_script("seeker"), "enqueue", "-f", str(self._job_file), "--json"]
        done = subprocess.run(
            command, env={**os.environ, **env}, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Failed(f"`{' '.join(command)}` failed: {done.stderr.strip()}")
        submitted = json.loads(done.stdout)
        return submitted["job_id"], submitted["task_ids"]

    def _follow(self, play: Play, client: Client, job_id: str) -> Course:
        try:
            with progress_bar(self._console) as bar:
                return asyncio.run(play.follow(bar))
        except BaseException:
            # It would otherwise still be there at the next demo, and take its time.
            with contextlib.suppress(click.ClickException):
                asyncio.run(client.command("cancel", job_id))
            raise

    def _assemble(self, verdicts: list[Verdict]) -> int:
        """Write the picture, read it back, and count the pixels that are wrong."""
        texts = {
            tile: found.stdout for tile, found in zip(self._scene.tiles, verdicts, strict=True)
        }
        levels = assemble(self._scene, texts)
        palette.save(palette.paint(levels), self._picture)
        expected = reference(self._scene)
        wrong = (levels != expected) | (palette.load(self._picture) != palette.paint(expected)).any(
            axis=-1, keepdims=True
        )
        return int(np.count_nonzero(wrong.any(axis=-1)))


def from_here(path: Path) -> Path:
    """Shorter to read, and to type."""
    path = path.resolve()
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


@click.command(context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--output",
    type=click.Path(path_type=Path, dir_okay=False, writable=True),
    default=CHECKOUT / "demo.png",
    help="Where to write the picture.  [default: demo.png of this clone]",
)
def main(output: Path) -> None:
    """Have one picture computed in containers by three givers, of which one lies and one dies.

    Brings up the local stack, and leaves it up; `make down` ends it.
    """
    if not output.resolve().parent.is_dir():
        raise UserError(f"--output {output}: the folder {output.parent} does not exist")
    configure_logging("error")
    console = Console(highlight=False)
    stack = Stack()
    demo = Demo(stack, output, console)
    try:
        report = demo.run()
        demo.show(report)
        problems = report.problems()
    except (StackError, Stalled, WrongRecords, WrongTile) as error:
        problems = [str(error)]
    except KeyboardInterrupt:
        problems = ["interrupted"]
    if problems:
        raise Failed(
            "; ".join(problems) + f"\nThe logs are in {stack.layout.logs}; `make down` ends all."
        )


if __name__ == "__main__":
    main(prog_name="python -m deploy.demo")
