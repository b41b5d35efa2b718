"""Why a task goes where it goes: `seeker explain`, and `seeker plan` before there is a task."""

from __future__ import annotations

import time
from collections.abc import Collection, Sequence
from datetime import UTC, datetime
from typing import Any

import click

from runtime.command_line import async_command, json_option, print_json
from schemas import identifiers
from schemas.job import JobSpec
from schemas.states import TaskState
from seeker import comparing, documents, explanation, view
from seeker.catalogue import Catalogue
from seeker.commands.arguments import client, work_argument
from seeker.commands.job_options import job_options, spec_of
from seeker.explanation import Explanation
from seeker.model import Job, Now, Task
from seeker.placement import Demand
from seeker.tables import facts

NOBODY_LEADS = "no seeker leads now: start `seeker run`; below, what the last one wrote down"


@click.command()
@work_argument()
@json_option
@async_command
async def explain(identifier: str, as_json: bool) -> None:
    """Say why a task goes where it goes, giver by giver.

    Of a job, its next task is meant. Lower scores are better. States and pauses are as
    the seeker wrote them down, at the most some seconds ago.
    """
    seeker = client()
    async with seeker.store() as store:
        document = await seeker.job(store, identifiers.job_of(identifier))
        job = documents.job_from(document)
        if identifier == job.id and job.spec.count == 1:
            identifier = identifiers.task_id(job.id, job.spec.first_index)
        shown = await seeker.task(store, identifier) if identifier != job.id else None
        task = documents.task_from(shown, job) if shown is not None else _next_task(job)
        # What has ended could go anywhere again.
        groups = () if task.state.final else task.groups
        found = await _explain(store, job.spec, groups)
        blocking = await _blocking(store, job)
        led = (await store.lease()).valid
    # A job whose last task is placed has no next one.
    any_left = shown is not None or document["counts"][TaskState.PENDING.value] > 0
    waits = any_left and explanation.waits(task) and not job.state.final
    remedy = _remedy(found, blocking, led=led) if waits else ""
    comparison = next(iter(comparing.job_ids([task])), None)
    if comparison is not None and led:
        remedy = f"none: its results are being compared, see `seeker explain {comparison}`"
    item = view.task(shown) if shown is not None else None
    if as_json:
        about = item or {"job_id": job.id, "state": job.state, "reason": job.waiting_reason}
        print_json({**about, "remedy": remedy or None, **found.document()})
        return
    if item is None:
        facts(job=job.id, state=view.coloured(job.state), why=job.waiting_reason, remedy=remedy)
    else:
        state = view.coloured(item["state"])
        facts(task=item["task_id"], state=state, why=item["reason"], remedy=remedy)
        if item["assignments"]:
            click.echo()
            view.print_tries(item["assignments"])
    click.echo(f"\n{_heading(item)}")
    view.print_explanation(found)


@click.command()
@job_options
@json_option
@async_command
async def plan(as_json: bool, **options: Any) -> None:
    """Say where a job would go, without submitting it.

    Takes what `seeker enqueue` takes. Lower scores are better.
    """
    spec = spec_of(options)
    seeker = client()
    await seeker.check_awaited(spec.after)
    async with seeker.store() as store:
        found = await _explain(store, spec, ())
        led = (await store.lease()).valid
    first = [] if found.short else found.first(spec.agreement.replicas)
    remedy = "" if found.offers and led and not found.short else _remedy(found, (), led=led)
    if as_json:
        document = {"tasks": spec.count, "first": first, "remedy": remedy or None}
        print_json({**document, **found.document()})
        return
    missing = spec.agreement.replicas - len(first)
    goes_to = ", ".join(first) or "nobody"
    facts(
        tasks=str(spec.count),
        first=f"to {goes_to}" + (f"; {missing} replicas would wait" if first and missing else ""),
        remedy=remedy,
    )
    click.echo()
    view.print_explanation(found)


async def _explain(store: Catalogue, spec: JobSpec, groups: Collection[str]) -> Explanation:
    now = Now(time.monotonic(), datetime.now(UTC))
    givers = [documents.giver_as_seen(document, now) for document in await store.givers()]
    explanation.load(givers, await store.live_assignments())
    return explanation.explain(givers, Demand.of(spec), groups, now)


def _next_task(job: Job) -> Task:
    """A task that nobody has tried."""
    return Task(job=job, index=job.next_index, withdrawn=job.withdrawn)


async def _blocking(store: Catalogue, job: Job) -> list[str]:
    """What the job waits for."""
    states = await store.job_states(job.spec.after)
    return [other for other in job.spec.after if states.get(other) is not TaskState.SUCCEEDED]


def _remedy(found: Explanation, blocking: Sequence[str], *, led: bool) -> str:
    if not led:
        return NOBODY_LEADS
    if blocking:
        return f"it begins when job {', '.join(blocking)} has succeeded"
    return found.remedy


def _heading(item: dict[str, Any] | None) -> str:
    if item is None:
        return "for a further task of the job, now:"
    if TaskState(item["state"]).final:
        return "if it were to be placed now:"
    return "for a further try, now:" if item["assignments"] else "now:"
