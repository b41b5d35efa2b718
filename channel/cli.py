"""`channel`: the service, and looking up what it keeps."""

from __future__ import annotations

from typing import Any

import click

from channel import rendering
from channel.client import ChannelClient
from channel.settings import ClientSettings
from runtime.command_line import UserError, async_command, json_option, print_json
from runtime.lazy_commands import LazyGroup
from schemas import identifiers


@click.group(
    cls=LazyGroup,
    commands_at={"serve": "channel.serve:serve"},
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="seekgive")
def main() -> None:
    """Keep every result, and answer for them.

    All but `serve` ask the running service at CHANNEL_URL.
    """


@main.command()
@click.argument("task", required=False)
@click.option("--job", help="All results of a job instead.")
@click.option("--giver", help="All results of a giver instead.")
@click.option("--limit", type=click.IntRange(min=1), help="Only so many, the oldest.")
@json_option
@async_command
async def results(
    task: str | None, job: str | None, giver: str | None, limit: int | None, as_json: bool
) -> None:
    """Show all results of TASK, the oldest first."""
    listed_by, value = _what(task, job, giver)
    async with _client() as client:
        found = await client.results(listed_by, value, limit)
    if as_json:
        print_json(found)
    elif found:
        rendering.print_results(found)
    else:
        click.echo(
            f"no results of {listed_by[:-1]} {value} are stored (yet); what the system knows of "
            "it, tells `seeker status`",
            err=True,
        )


@main.command()
@click.argument("result")
@json_option
@async_command
async def get(result: str, as_json: bool) -> None:
    """Show all of one RESULT."""
    _check_result_id(result)
    async with _client() as client:
        found = await client.result(result)
    if found is None:
        raise UserError(
            f"no result {result} is stored; `channel results "
            f"{identifiers.task_of(result.partition('@')[0])}` lists those of its task"
        )
    if as_json:
        print_json(found)
    else:
        rendering.print_result(found)


@main.command()
@json_option
@async_command
async def givers(as_json: bool) -> None:
    """List every giver that was ever heard."""
    async with _client() as client:
        found = await client.givers()
    if as_json:
        print_json(found)
    elif found:
        rendering.print_givers(found)
    else:
        click.echo("no giver was heard yet; start one with `giver run`", err=True)


def _client() -> ChannelClient:
    return ChannelClient(ClientSettings.load().url)


def _what(task: str | None, job: str | None, giver: str | None) -> tuple[str, str]:
    """The list that is asked for, as the API names it, and whose."""
    given: list[tuple[str, str, Any]] = [
        (listed_by, value, fits)
        for listed_by, value, fits in (
            ("tasks", task, identifiers.is_task_id),
            ("jobs", job, identifiers.is_job_id),
            ("givers", giver, identifiers.is_giver_id),
        )
        if value is not None
    ]
    if len(given) != 1:
        raise UserError("name one of TASK, --job JOB and --giver GIVER")
    listed_by, value, fits = given[0]
    if not fits(value):
        hint = ""
        if listed_by == "tasks" and identifiers.is_job_id(value):
            hint = f": it is a job; its results: `channel results --job {value}`, or name a task, "
            hint += f"such as {identifiers.task_id(value, 0)}"
        raise UserError(f"{value!r} is no {listed_by[:-1]} id{hint}")
    return listed_by, value


def _check_result_id(result: str) -> None:
    assignment, _, giver = result.partition("@")
    task, _, number = assignment.rpartition("-")
    if not (identifiers.is_task_id(task) and number.isdecimal() and identifiers.is_giver_id(giver)):
        raise UserError(
            f"{result!r} is no result id: one looks like JOB-0-1@GIVER, and "
            "`channel results TASK` lists them"
        )
