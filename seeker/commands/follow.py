"""What became of jobs: `seeker status`, `seeker wait`, `seeker watch`; and `seeker cancel`."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Callable, Iterator
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from runtime.command_line import (
    EXIT_FAILED,
    Failed,
    UserError,
    async_command,
    json_lines_option,
    json_option,
    print_json,
)
from schemas import identifiers
from schemas.states import TaskState
from seeker import view
from seeker.catalogue import Catalogue
from seeker.client import Client
from seeker.commands.arguments import client, job_argument, work_argument
from seeker.commands.leadership import warn_if_unled

POLL_S = 0.2
_TOLD = 3
"""Tasks whose progress is shown; there may be thousands."""

Show = Callable[[dict[str, Any]], None]
"""Of a document of a job or a task, as it is in the database."""


@click.command()
@work_argument(required=False)
@click.option(
    "--limit",
    default=20,
    show_default=True,
    type=click.IntRange(1, 10_000),
    help="Jobs to list.",
)
@json_option
@async_command
async def status(identifier: str | None, limit: int, as_json: bool) -> None:
    """Show a job, a task, or the latest jobs."""
    seeker = client()
    async with seeker.store() as store:
        if identifier is None:
            jobs = [view.job(document) for document in await store.jobs(limit)]
            print_json(jobs) if as_json else view.print_jobs(jobs)
        elif identifiers.is_job_id(identifier):
            job = view.job(await seeker.job(store, identifier))
            print_json(job) if as_json else view.print_job(job)
        else:
            task = view.task(await seeker.task(store, identifier))
            print_json(task) if as_json else view.print_task(task)
        await warn_if_unled(store)


@click.command()
@work_argument()
@click.option("--timeout", type=float, help="Seconds to wait at the most.")
@json_option
@async_command
async def wait(identifier: str, timeout: float | None, as_json: bool) -> None:
    """Wait until a job or a task has ended.

    Exits with 0 if it succeeded, with 1 if not.
    """
    seeker = client()
    async with seeker.store() as store:
        state = await _wait(seeker, store, identifier, timeout, lambda _: None)
    if as_json:
        print_json({"id": identifier, "state": state})
    else:
        click.echo(state)
    if state != TaskState.SUCCEEDED:
        sys.exit(EXIT_FAILED)


async def _wait(
    seeker: Client,
    store: Catalogue,
    identifier: str,
    timeout_s: float | None,
    show: Show,
    *,
    with_progress: bool = False,
) -> str:
    """Poll until final; `show` is called with each document found. `with_progress`: of a job, with
    what its tasks say of theirs."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s if timeout_s is not None else None
    is_job = identifiers.is_job_id(identifier)
    while True:
        document = await (seeker.job if is_job else seeker.task)(store, identifier)
        if with_progress:
            document["progress"] = await store.progress(identifier)
        show(document)
        state = str(document["state"])
        if TaskState(state).final:
            return state
        if until is not None and loop.time() > until:
            raise Failed(f"{identifier} is still {state} after {timeout_s:g} seconds")
        await asyncio.sleep(POLL_S)


@click.command()
@job_argument()
@json_lines_option
@async_command
async def watch(job: str, as_json: bool) -> None:
    """Follow a job's progress until it ends; exit as `wait`."""
    seeker = client()
    async with seeker.store() as store:
        if as_json:
            state = await _wait(seeker, store, job, None, _printer(), with_progress=True)
        else:
            with progress(job) as show:
                state = await _wait(seeker, store, job, None, show, with_progress=True)
            click.echo(state)
    if state != TaskState.SUCCEEDED:
        sys.exit(EXIT_FAILED)


def _printer() -> Show:
    """Prints what `seeker status JOB --json` would, and the progress that tasks tell of, whenever
    that has changed."""
    told: dict[str, Any] = {}

    def show(document: dict[str, Any]) -> None:
        nonlocal told
        found = view.job(document)
        if document.get("progress"):
            found["progress"] = document["progress"]
        if found != told:
            told = found
            print_json(found)

    return show


@contextlib.contextmanager
def progress(job: str) -> Iterator[Show]:
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        # It quotes jobs and givers: a bracket there is no markup.
        TextColumn("{task.fields[detail]}", markup=False),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as bar:
        row = bar.add_task(job, total=None, detail="")

        def show(document: dict[str, Any]) -> None:
            counts = document["counts"]
            detail = f"{counts['active']} active, {counts['failed']} failed"
            if counts["pending"] and document["waiting_reason"] and not counts["active"]:
                detail = document["waiting_reason"]
            said = document.get("progress") or []
            if said:
                detail += "; " + "; ".join(view.progress(each) for each in said[:_TOLD])
            bar.update(
                row,
                total=sum(counts.values()),
                completed=view.finished(counts) + sum(each["fraction"] for each in said),
                detail=detail,
            )

        yield show


@click.command()
@work_argument()
@json_option
@async_command
async def cancel(identifier: str, as_json: bool) -> None:
    """Cancel a job or a task.

    It is cancelled once its containers are gone. Cancelling it again is no error; cancelling what
    has succeeded or failed is.
    """
    seeker = client()
    async with seeker.store() as store:
        look = seeker.job if identifiers.is_job_id(identifier) else seeker.task
        state = str((await look(store, identifier))["state"])
    cancelled = state == TaskState.CANCELLED
    if TaskState(state).final and not cancelled:
        raise UserError(f"{identifier} has ended already: it is {state}")
    if not cancelled:
        await seeker.command("cancel", identifier)
    if as_json:
        print_json({"id": identifier, "state": state, "cancel_requested": not cancelled})
    elif cancelled:
        click.echo(f"{identifier} is cancelled already")
    else:
        click.echo(f"cancel requested; `seeker wait {identifier}` tells when it is done")
