"""The `seeker` command."""

from __future__ import annotations

import asyncio
import base64
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from runtime import lifecycle
from runtime.command_line import (
    EXIT_FAILED,
    Failed,
    UserError,
    async_command,
    json_option,
    print_json,
)
from runtime.logs import configure_logging, silence_logging
from schemas import identifiers
from schemas.job import JobSpec
from schemas.states import TaskState
from seeker import jobfile, view
from seeker.client import Client
from seeker.service import SeekerService
from seeker.settings import SeekerSettings
from seeker.store import Store, StoreError

POLL_S = 0.2


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seekgive")
def main() -> None:
    """Give containers to givers, and say which result to believe.

    Settings come from SEEKER_* variables, or from .local/env of a local stack.
    """
    silence_logging()


def client() -> Client:
    return Client(SeekerSettings.load())


@main.command()
@async_command
async def run() -> None:
    """Run the seeker: one leads, others stand by."""
    settings = SeekerSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    guard = lifecycle.TaskGuard()
    try:
        service = SeekerService(settings, guard)
    except StoreError as error:
        raise UserError(str(error)) from error
    await lifecycle.run([service], guard)


def _pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    pairs = {}
    for value in values:
        name, separator, text = value.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE")
        pairs[name] = text
    return pairs


def _range(_: click.Context, __: click.Parameter, value: str | None) -> dict[str, int]:
    if value is None:
        return {}
    first, separator, last = value.partition("-")
    if not (separator and first.isdigit() and last.isdigit() and int(first) <= int(last)):
        raise click.BadParameter(f"{value!r} is no range: write it as FIRST-LAST, e.g. 1-100")
    return {"first_index": int(first), "count": int(last) - int(first) + 1}


@main.command(context_settings={"ignore_unknown_options": False})
@click.argument("image", required=False)
@click.argument("command", nargs=-1)
@click.option("-f", "--file", "path", type=click.Path(path_type=Path), help="A job file (YAML).")
@click.option("--name", help="For people; need not be unique.")
@click.option("--cpus", type=float, help="CPU cores, fractions allowed.  [default: 1]")
@click.option("--memory", help="Memory and swap, e.g. 512MiB.  [default: 256MiB]")
@click.option("--disk", help="Disk, e.g. 2GiB.  [default: 1GiB]")
@click.option("--pids", type=int, help="Processes and threads.  [default: 256]")
@click.option("--timeout", help="Longest run, e.g. 90s, 10m, 1h30m.  [default: 1h]")
@click.option("-e", "--env", multiple=True, callback=_pairs, help="NAME=VALUE; repeatable.")
@click.option("--workdir", help="Folder to start in, absolute.")
@click.option("--entrypoint", help="Instead of the image's own.")
@click.option("--replicas", type=int, help="Givers to ask.  [default: the quorum]")
@click.option("--quorum", type=int, help="Equal results that decide.  [default: 1]")
@click.option("--max-attempts", type=int, help="Tries at one task at the most.")
@click.option("--priority", type=int, help="Higher goes first.  [default: 0]")
@click.option(
    "--array",
    callback=_range,
    metavar="FIRST-LAST",
    help="One task for each index; {{index}} and $TASK_INDEX tell which.",
)
@json_option
@async_command
async def enqueue(
    image: str | None,
    command: tuple[str, ...],
    path: Path | None,
    entrypoint: str | None,
    array: dict[str, int],
    as_json: bool,
    **options: Any,
) -> None:
    """Submit a job: IMAGE [-- COMMAND…], or a job file; options override the file.

    \b
      seeker enqueue busybox:local -- sh -c 'echo hello'
      seeker enqueue -f job.yaml --replicas 3 --quorum 2
    """
    resources = {name: options.pop(name) for name in ("cpus", "memory", "disk", "pids")}
    given: dict[str, Any] = {
        **{name: value for name, value in options.items() if value not in (None, {})},
        **array,
    }
    if image is not None:
        given["image"] = image
    if command:
        given["command"] = command
    if entrypoint is not None:
        given["entrypoint"] = (entrypoint,)
    try:
        values = jobfile.read(path) if path is not None else {}
        if "env" in given and isinstance(values.get("env"), dict):
            given["env"] = {**values["env"], **given["env"]}
        chosen = {name: value for name, value in resources.items() if value is not None}
        if chosen:
            written = values.get("resources")
            given["resources"] = {**(written if isinstance(written, dict) else {}), **chosen}
        values.update(given)
        if "image" not in values:
            raise UserError("no image: name one, or a job file with -f (see --help)")
        spec = jobfile.build(values, str(path) if path is not None else "the job")
    except jobfile.JobFileError as error:
        raise UserError(str(error)) from error
    submission = await client().submit(spec)
    task_ids = [
        identifiers.task_id(submission.job_id, spec.first_index + i) for i in range(spec.count)
    ]
    if as_json:
        print_json({"job_id": submission.job_id, "task_ids": task_ids})
        return
    click.echo(f"job   {submission.job_id}")
    for task_id in task_ids[:3]:
        click.echo(f"task  {task_id}")
    if len(task_ids) > 3:
        click.echo(f"      … {len(task_ids)} tasks, the last {task_ids[-1]}")


def _identifier(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None or identifiers.is_job_id(value) or identifiers.is_task_id(value):
        return value
    raise click.BadParameter(
        f"{value!r} is neither a job id (26 characters) nor a task id (JOB-INDEX)"
    )


def _id_argument(name: str, required: bool = True) -> Callable[[Any], Any]:
    return click.argument(name, required=required, callback=_identifier)


@main.command()
@_id_argument("identifier", required=False)
@click.option("--limit", default=20, show_default=True, help="Jobs to list.")
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


@main.command()
@_id_argument("identifier", required=True)
@json_option
@async_command
async def result(identifier: str, as_json: bool) -> None:
    """Print the result that is believed; a job of one task may be named by the job."""
    seeker = client()
    async with seeker.store() as store:
        if identifiers.is_job_id(identifier):
            counts = (await seeker.job(store, identifier))["counts"]
            if sum(counts.values()) != 1:
                raise UserError(f"job {identifier} has many tasks: name one, as JOB-INDEX")
            identifier = await _only_task(seeker, store, identifier)
        task = await seeker.task(store, identifier)
    if task["chosen"] is None:
        raise Failed(f"task {identifier} is {task['state']}, without a result: {task['reason']}")
    found = await seeker.result(task["chosen"])
    if as_json:
        print_json(found)
    else:
        _write(sys.stdout, found["stdout"], found["stdout_stream"])
        _write(sys.stderr, found["stderr"], found["stderr_stream"])
        if found["reason"]:
            click.echo(f"{found['outcome']}: {found['reason']}", err=True)
        if task["disputed"]:
            click.echo(task["reason"], err=True)
    if task["state"] != TaskState.SUCCEEDED:
        sys.exit(EXIT_FAILED)


async def _only_task(seeker: Client, store: Store, job_id: str) -> str:
    job = await seeker.job(store, job_id)
    spec = JobSpec.model_validate_json(job["spec"])
    return identifiers.task_id(job_id, spec.first_index)


def _write(stream: Any, text: str, about: dict[str, Any]) -> None:
    """The bytes that the container wrote, with a note where some are missing."""
    parts = [text, about["tail"]]
    if about["encoding"] == "base64":
        raw = [base64.b64decode(part) for part in parts]
    else:
        raw = [part.encode() for part in parts]
    stream.buffer.write(raw[0])
    if about["truncated"]:
        stream.buffer.write(f"\n[… {about['bytes']} bytes in all …]\n".encode())
        stream.buffer.write(raw[1])
    stream.buffer.flush()


@main.command()
@_id_argument("identifier", required=True)
@click.option("--timeout", type=float, help="Seconds to wait at the most.")
@json_option
@async_command
async def wait(identifier: str, timeout: float | None, as_json: bool) -> None:
    """Wait until a job or a task has ended; exit 0 if it succeeded, 1 if not."""
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
    store: Store,
    identifier: str,
    timeout_s: float | None,
    progress: Callable[[dict[str, Any]], None],
) -> str:
    """Poll until final; `progress` is called with each document of a job."""
    loop = asyncio.get_running_loop()
    until = loop.time() + timeout_s if timeout_s is not None else None
    is_job = identifiers.is_job_id(identifier)
    while True:
        document = await (seeker.job if is_job else seeker.task)(store, identifier)
        progress(document)
        state = str(document["state"])
        if TaskState(state).final:
            return state
        if until is not None and loop.time() > until:
            raise Failed(f"{identifier} is still {state} after {timeout_s:g} seconds")
        await asyncio.sleep(POLL_S)


@main.command()
@_id_argument("job", required=True)
@async_command
async def watch(job: str) -> None:
    """Follow a job's progress until it ends; exit as `wait`."""
    if not identifiers.is_job_id(job):
        raise UserError(f"{job} is a task: watch its job {identifiers.job_of(job)}")
    seeker = client()
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[detail]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns) as bar:
        row = bar.add_task(job, total=None, detail="")

        def show(document: dict[str, Any]) -> None:
            counts = document["counts"]
            detail = f"{counts['active']} active, {counts['failed']} failed"
            if counts["pending"] and document["waiting_reason"] and not counts["active"]:
                detail = document["waiting_reason"]
            bar.update(
                row,
                total=sum(counts.values()),
                completed=view.finished(counts),
                detail=detail,
            )

        async with seeker.store() as store:
            state = await _wait(seeker, store, job, None, show)
    click.echo(state)
    if state != TaskState.SUCCEEDED:
        sys.exit(EXIT_FAILED)


@main.command()
@_id_argument("identifier", required=True)
@json_option
@async_command
async def cancel(identifier: str, as_json: bool) -> None:
    """Cancel a job or a task; it is cancelled once its containers are gone."""
    seeker = client()
    async with seeker.store() as store:
        look = seeker.job if identifiers.is_job_id(identifier) else seeker.task
        state = str((await look(store, identifier))["state"])
    if TaskState(state).final:
        raise UserError(f"{identifier} has ended already: it is {state}")
    await seeker.command("cancel", identifier)
    if as_json:
        print_json({"id": identifier, "cancel_requested": True})
    else:
        click.echo(f"cancel requested; `seeker wait {identifier}` tells when it is done")


@main.command()
@click.option("--all", "former", is_flag=True, help="Purged ones too.")
@json_option
@async_command
async def givers(former: bool, as_json: bool) -> None:
    """List the givers that are members."""
    async with client().store() as store:
        found = [view.giver(document) for document in await store.givers(former=former)]
    print_json(found) if as_json else view.print_givers(found)
