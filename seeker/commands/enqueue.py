"""Jobs submitted: `seeker enqueue`, and `seeker retry` for what failed of one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from runtime.command_line import UserError, async_command, json_option, print_json
from schemas import identifiers
from schemas.job import JobSpec, Submission
from schemas.states import TaskState
from seeker import registries, sweep
from seeker.artifacts import Artifacts
from seeker.catalogue import Catalogue
from seeker.client import Client
from seeker.commands.arguments import client, work_argument
from seeker.commands.job_options import job_of, job_options
from seeker.settings import SeekerSettings
from seeker.sources import Source

RETRY_OF = "retry of "
LONGEST_NAME = 200


@click.command()
@job_options
@json_option
@async_command
async def enqueue(as_json: bool, **options: Any) -> None:
    """Submit a job.

    That is IMAGE [-- COMMAND…], or a job file named with -f; options override the file.

    \b
      seeker enqueue busybox:local -- sh -c 'echo hello'
      seeker enqueue -f job.yaml --replicas 3 --quorum 2
      seeker enqueue --matrix size=1,2,4 --matrix seed=1..10 busybox:local \\
          -- echo '{{size}} {{seed}}'
    """
    spec, inputs, with_registry_auth = job_of(options)
    if with_registry_auth:
        spec = _with_registry_auth(spec)
    seeker = client()
    await seeker.check_awaited(spec.after)
    if spec.container.inputs or spec.container.outputs:
        spec = await _with_inputs(spec, inputs)
    announce(await seeker.submit(spec), as_json)


def _with_registry_auth(spec: JobSpec) -> JobSpec:
    try:
        auth = registries.credentials(spec.container.image)
    except registries.NoCredentials as error:
        raise UserError(str(error)) from error
    container = spec.container.model_copy(update={"registry_auth": auth})
    return spec.model_copy(update={"container": container})


async def _with_inputs(spec: JobSpec, sources: Sequence[Source]) -> JobSpec:
    """With their contents, which are with the channel now."""
    artifacts = Artifacts(SeekerSettings.load())
    most_bytes = spec.container.resources.disk_bytes
    brought = await artifacts.bring(sources, most_bytes, lambda line: click.echo(line, err=True))
    container = spec.container.model_copy(update={"inputs": brought})
    return spec.model_copy(update={"container": container})


@click.command()
@work_argument()
@json_option
@async_command
async def retry(identifier: str, as_json: bool) -> None:
    """Submit what failed once more, as a new job.

    That is all failed tasks of JOB, or the one TASK. What has ended stays as it is. The new tasks
    get the parameters and the index of the old ones.
    """
    seeker = client()
    job_id = identifiers.job_of(identifier)
    async with seeker.store() as store:
        job = await seeker.job(store, job_id)
        if identifier == job_id:
            chosen = await store.failed_indices(job)
            if not chosen:
                counts = ", ".join(f"{n} {state}" for state, n in job["counts"].items() if n)
                raise UserError(f"no task of job {job_id} has failed: {counts}")
        else:
            chosen = [await _failed_index(seeker, store, identifier)]
    spec = JobSpec.model_validate_json(job["spec"])
    base = spec.name or job_id
    name = base if base.startswith(RETRY_OF) else f"{RETRY_OF}{base}"[:LONGEST_NAME]
    fields = {**dict(spec), "name": name, **sweep.part_of(spec, chosen)}
    announce(await seeker.submit(JobSpec.model_validate(fields)), as_json)


async def _failed_index(seeker: Client, store: Catalogue, task_id: str) -> int:
    task = await seeker.task(store, task_id)
    if task["state"] != TaskState.FAILED:
        ended = TaskState(task["state"]).final
        remedy = "only failed tasks are retried" if ended else f"`seeker wait {task_id}` first"
        raise UserError(f"task {task_id} is {task['state']}: {remedy}")
    return identifiers.index_of(task_id)


def announce(submission: Submission, as_json: bool) -> None:
    """Print the ids that the job and its tasks have from now on."""
    spec, job_id = submission.spec, submission.job_id
    indices = range(spec.first_index, spec.first_index + spec.count)
    if as_json:
        task_ids = [identifiers.task_id(job_id, index) for index in indices]
        print_json({"job_id": job_id, "task_ids": task_ids})
        return
    click.echo(f"job   {job_id}")
    for index in indices[:3]:
        click.echo(f"task  {identifiers.task_id(job_id, index)}")
    if len(indices) > 3:
        last = identifiers.task_id(job_id, indices[-1])
        click.echo(f"      … {len(indices)} tasks, the last {last}")
