"""Arguments that several commands take, checked as they are read."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from schemas import identifiers
from seeker.client import Client
from seeker.settings import SeekerSettings


def client() -> Client:
    return Client(SeekerSettings.load())


def work_argument(name: str = "identifier", *, required: bool = True) -> Callable[[Any], Any]:
    """The id of a job or of a task."""
    return click.argument(name, required=required, callback=_work, metavar="JOB|TASK")


def job_argument() -> Callable[[Any], Any]:
    return click.argument("job", callback=_job)


def giver_argument() -> Callable[[Any], Any]:
    return click.argument("giver_id", callback=_giver, metavar="GIVER")


def pairs(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, str]:
    """The callback of a repeatable NAME=VALUE."""
    found = {}
    for value in values:
        name, separator, text = value.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"{value!r} is not of the form NAME=VALUE")
        found[name] = text
    return found


def _work(_: click.Context, __: click.Parameter, value: str | None) -> str | None:
    if value is None or identifiers.is_job_id(value) or identifiers.is_task_id(value):
        return value
    raise click.BadParameter(
        f"{value!r} is neither a job id (26 characters) nor a task id (JOB-INDEX)"
    )


def _job(context: click.Context, parameter: click.Parameter, value: str) -> str:
    _work(context, parameter, value)
    if not identifiers.is_job_id(value):
        raise click.BadParameter(f"{value} is a task: name its job {identifiers.job_of(value)}")
    return value


def _giver(_: click.Context, __: click.Parameter, value: str) -> str:
    if identifiers.is_giver_id(value):
        return value
    raise click.BadParameter(
        f"{value!r} is no giver id (small letters, digits, dashes; `seeker givers` lists them)"
    )
