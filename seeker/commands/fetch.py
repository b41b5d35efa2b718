"""`seeker fetch`: the files that the believed results came with."""

from __future__ import annotations

from pathlib import Path

import click

from runtime.command_line import Failed, async_command, json_option, print_json
from schemas import identifiers
from seeker.artifacts import Artifacts
from seeker.commands.arguments import client, work_argument
from seeker.settings import SeekerSettings


@click.command()
@work_argument()
@click.option(
    "-o",
    "--output",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Folder to put them in; made when missing.",
)
@json_option
@async_command
async def fetch(identifier: str, folder: Path, as_json: bool) -> None:
    """Get the output files of the result that is believed.

    Of a JOB with many tasks each gets a folder of its own, named by its index.
    """
    artifacts = Artifacts(SeekerSettings.load())
    seeker = client()
    async with seeker.store() as store:
        if identifiers.is_job_id(identifier):
            chosen = await store.chosen(await seeker.job(store, identifier))
        else:
            chosen = {identifier: (await seeker.task(store, identifier))["chosen"]}
    made: list[Path] = []
    without = [task_id for task_id, result_id in chosen.items() if result_id is None]
    for task_id, result_id in chosen.items():
        if result_id is not None:
            place = folder / str(identifiers.index_of(task_id)) if len(chosen) > 1 else folder
            made += await artifacts.fetch(await seeker.result(result_id), place)
    if as_json:
        print_json([str(path) for path in made])
    else:
        for path in made:
            click.echo(path)
        if not made and not without:
            click.echo("there are no output files: ask for some with --output", err=True)
    if without:
        listed = ", ".join(without[:5]) + (" …" if len(without) > 5 else "")
        raise Failed(f"{len(without)} without a result that counts: {listed}")
