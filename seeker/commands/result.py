"""The answer that is believed, and the evidence for it: `seeker result`, `seeker votes`."""

from __future__ import annotations

import base64
import sys
from typing import Any

import click

from runtime.command_line import (
    EXIT_FAILED,
    Failed,
    UserError,
    async_command,
    json_option,
    print_json,
)
from schemas import identifiers
from schemas.job import JobSpec
from schemas.states import TaskState
from seeker.catalogue import Catalogue
from seeker.client import Client
from seeker.commands.arguments import client, work_argument
from seeker.documents import Document
from seeker.votes import evidence, print_evidence


@click.command()
@work_argument()
@json_option
@async_command
async def result(identifier: str, as_json: bool) -> None:
    """Print the result that is believed.

    The task of a job that has only one may be named by the job.
    """
    seeker = client()
    async with seeker.store() as store:
        if identifiers.is_job_id(identifier):
            identifier = await only_task(seeker, store, identifier)
        task = await seeker.task(store, identifier)
        review = await _review(seeker, store, task)
    if task["chosen"] is None:
        tried = " (`channel results` shows what each try brought)" if task["assignments"] else ""
        raise Failed(
            f"task {identifier} is {task['state']}, without a result that counts: "
            f"{task['reason']}{tried}"
        )
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
        if review is not None:
            click.echo(
                f"its giver was caught lying later, and this was run again by {review['task_id']}: "
                f"{review['finding']} (`seeker votes {identifier}`)",
                err=True,
            )
        if found["files"]:
            click.echo(
                f"{len(found['files'])} output files: `seeker fetch {identifier} -o FOLDER`",
                err=True,
            )
    if task["state"] != TaskState.SUCCEEDED:
        sys.exit(EXIT_FAILED)


@click.command()
@work_argument()
@json_option
@async_command
async def votes(identifier: str, as_json: bool) -> None:
    """Show each vote on a task, who agreed with whom, and why one of them is believed.

    The task of a job that has only one may be named by the job.
    """
    seeker = client()
    async with seeker.store() as store:
        if identifiers.is_job_id(identifier):
            identifier = await only_task(seeker, store, identifier)
        task = await seeker.task(store, identifier)
        found = await _evidence(seeker, store, task)
    print_json(found) if as_json else print_evidence(found)


async def _evidence(seeker: Client, store: Catalogue, task: Document) -> dict[str, Any]:
    job = await seeker.job(store, task["job_id"])
    review = await store.task(task["review"]) if task.get("review") else None
    return evidence(task, JobSpec.model_validate_json(job["spec"]), review)


async def _review(seeker: Client, store: Catalogue, task: Document) -> dict[str, Any] | None:
    """What others say of it, where they were asked."""
    if not task.get("review"):
        return None
    review: dict[str, Any] | None = (await _evidence(seeker, store, task))["review"]
    return review


async def only_task(seeker: Client, store: Catalogue, job_id: str) -> str:
    """
    Raises:
        UserError: there are more.
    """
    job = await seeker.job(store, job_id)
    if sum(job["counts"].values()) != 1:
        raise UserError(f"job {job_id} has many tasks: name one, as JOB-INDEX")
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
