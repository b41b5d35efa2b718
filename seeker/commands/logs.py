"""What a task writes: while it runs, and what was kept of it afterwards."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import click

from runtime.command_line import Failed, UserError, async_command
from schemas import identifiers
from schemas.logs import LogChunk
from schemas.states import AssignmentState, TaskState
from seeker.catalogue import Catalogue
from seeker.client import Client
from seeker.commands.arguments import client, work_argument
from seeker.commands.result import only_task
from seeker.documents import Document
from seeker.log_reader import LogReader

_LOOK_S = 0.5
_LAST_WORDS_S = 3.0
"""For what is still on its way when the task has ended."""
_SNAPSHOT_S = 5.0
_ON_THE_WAY = (
    AssignmentState.PLACED.value,
    AssignmentState.ACCEPTED.value,
    AssignmentState.PULLING.value,
    AssignmentState.RUNNING.value,
)


@dataclass
class _Lines:
    """Writes chunks; of several tries, each line begins with its giver."""

    prefixed: bool
    _open: dict[tuple[str, str], bool] = field(default_factory=dict)
    """Whether the last line of a giver's stream has not ended yet."""

    def write(self, giver_id: str, stream: str, text: str) -> None:
        target = sys.stderr if stream == "stderr" else sys.stdout
        if self.prefixed:
            text = "".join(self._prefixed(giver_id, stream, text))
        target.write(text)
        target.flush()

    def _prefixed(self, giver_id: str, stream: str, text: str) -> Iterator[str]:
        for line in text.splitlines(keepends=True):
            if not self._open.get((giver_id, stream)):
                yield f"{giver_id} | "
            self._open[giver_id, stream] = not line.endswith("\n")
            yield line


@click.command()
@work_argument()
@click.option("-f", "--follow", is_flag=True, help="Go on until the task has ended.")
@click.option("--giver", help="Only what this giver's try writes.  [default: all, each named]")
@click.option(
    "-n",
    "--lines",
    default=1000,
    show_default=True,
    type=click.IntRange(0, 1_000_000),
    help="Of those written before, while it runs.",
)
@async_command
async def logs(identifier: str, follow: bool, giver: str | None, lines: int) -> None:
    """What a task writes, live while it runs, else what was kept of it.

    The task of a job that has only one may be named by the job.
    """
    seeker = client()
    async with seeker.store() as store:
        if identifiers.is_job_id(identifier):
            identifier = await only_task(seeker, store, identifier)
        task = await seeker.task(store, identifier)
        shown = False
        if not TaskState(task["state"]).final:
            if not follow and not _tries(task, giver, _ON_THE_WAY):
                raise Failed(
                    f"task {identifier} is {task['state']} and nothing of it runs: "
                    "`seeker explain` says why it waits, `-f` waits with it"
                )
            shown = await _live(seeker, store, task, giver, lines, follow)
            task = await seeker.task(store, identifier)
        if not shown:
            await _kept(seeker, task, giver)


async def _live(
    seeker: Client,
    store: Catalogue,
    task: Document,
    giver: str | None,
    lines: int,
    follow: bool,
) -> bool:
    """Until nothing more will come; whether there was something to show."""
    loop = asyncio.get_running_loop()
    out = _Lines(prefixed=giver is None and len(_tries(task, None, _ON_THE_WAY)) > 1)
    ended: set[str] = set()
    shown = False
    over_at: float | None = None if follow else loop.time() + _SNAPSHOT_S
    async with LogReader(seeker, lines, follow) as reader:
        while True:
            tries = _tries(task, giver, _ON_THE_WAY)
            asked = [a for a in tries if a["assignment_id"] not in ended]
            out.prefixed = out.prefixed or (giver is None and len(tries) > 1)
            for assignment in asked:
                document = await store.giver(assignment["giver_id"])
                session = document["session"] if document else None
                if session is not None:
                    await reader.ask(assignment["assignment_id"], assignment["giver_id"], session)
            for chunk in await reader.take(_LOOK_S):
                shown = _show(chunk, out) or shown
                if chunk.end:
                    ended.add(chunk.assignment_id)
            task = await seeker.task(store, task["_id"])
            if not follow and all(a["assignment_id"] in ended for a in asked):
                return True
            if TaskState(task["state"]).final:
                over_at = over_at or loop.time() + _LAST_WORDS_S
                if reader.asked <= ended:
                    return shown
            if over_at is not None and loop.time() > over_at:
                return shown


def _show(chunk: LogChunk, out: _Lines) -> bool:
    if chunk.dropped_bytes:
        click.echo(f"[… {chunk.dropped_bytes} bytes left out …]", err=True)
    out.write(chunk.giver_id, chunk.stream, chunk.text)
    return bool(chunk.text)


def _tries(task: Document, giver: str | None, states: tuple[str, ...]) -> list[Document]:
    found = [a for a in task["assignments"] if a["state"] in states]
    if giver is None:
        return found
    if all(a["giver_id"] != giver for a in task["assignments"]) and task["assignments"]:
        given = ", ".join(dict.fromkeys(a["giver_id"] for a in task["assignments"]))
        raise UserError(f"task {task['_id']} was never at giver {giver}: it was at {given}")
    return [a for a in found if a["giver_id"] == giver]


async def _kept(seeker: Client, task: Document, giver: str | None) -> None:
    """From the channel: of the result that is believed, or of every one."""
    tries = _tries(task, giver, (AssignmentState.REPORTED.value,))
    results = [
        identifiers.result_id(assignment["assignment_id"], assignment["giver_id"])
        for assignment in tries
    ]
    if giver is None and task["chosen"] is not None:
        results = [task["chosen"]]
    if not results:
        raise Failed(f"nothing is kept of what task {task['_id']} wrote: {task['reason']}")
    out = _Lines(prefixed=len(results) > 1)
    for result_id in results:
        found = await seeker.result(result_id)
        for name in ("stdout", "stderr"):
            text = _text(found[name], found[f"{name}_stream"])
            if text:
                out.write(found["giver_id"], name, text)


def _text(head: str, about: dict[str, Any]) -> str:
    parts = [head, about["tail"]]
    if about["encoding"] == "base64":
        parts = [base64.b64decode(part).decode(errors="replace") for part in parts]
    gap = f"\n[… {about['bytes']} bytes in all …]\n" if about["truncated"] else ""
    return gap.join(parts)
