"""What the command lines share: exit codes, error messages, `--json`.

Exit codes: 0 success, 1 the task or job failed, 2 wrong use, 3 a service cannot be reached, as it
does not answer or as nobody said where it is.
"""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec, TypeVar

import click

from runtime.settings import SettingsError, SettingsMissing

P = ParamSpec("P")
T = TypeVar("T")

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_UNREACHABLE = 3


class UserError(click.ClickException):
    """Wrong use: the message names the thing, the value and the remedy."""

    exit_code = EXIT_USAGE


class Unreachable(click.ClickException):
    """A service does not answer: the message names it, its address and what to look at; or the
    setting that would have its address."""

    exit_code = EXIT_UNREACHABLE


class Failed(click.ClickException):
    """The task or the job did not succeed."""

    exit_code = EXIT_FAILED


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document.")
json_lines_option = click.option(
    "--json", "as_json", is_flag=True, help="Print a JSON document in a line for each change."
)


def print_json(document: Any) -> None:
    """`document` holds only what `json` can encode; others are written as text."""
    click.echo(json.dumps(document, default=str, ensure_ascii=False))


def async_command(function: Callable[P, Coroutine[Any, Any, T]]) -> Callable[P, T]:
    """Run a coroutine as a click command; a wrong setting becomes wrong use, a missing one a
    service that cannot be reached."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> T:
        try:
            return asyncio.run(function(*args, **kwargs))
        except SettingsMissing as error:
            raise Unreachable(str(error)) from error
        except SettingsError as error:
            raise UserError(str(error)) from error
        except KeyboardInterrupt:
            sys.exit(130)

    return wrapper
