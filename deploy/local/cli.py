"""The command line of the local stack."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from types import FrameType
from typing import NoReturn

import click
from rich.console import Console
from rich.table import Table

from deploy.local.endpoints import VARIABLES
from deploy.local.errors import StackError, UnknownService
from deploy.local.progress import OnConsole
from deploy.local.stack import Stack
from runtime.command_line import Failed, UserError, json_option, print_json

_STYLES = {"running": "green", "dead": "red", "foreign": "cyan"}

_TRY = """
Try:
  . {activate}
  seeker givers
  seeker enqueue busybox:local -- sh -c 'wc -c < /etc/hostname'
  seeker result ID                     what it printed, once it is done
  channel results ID                   every answer to it
  seeker --help
Results by REST: {channel}   Logs: {logs}
"""


class _Group(click.Group):
    """Errors of the stack become messages; the variables are told in `--help`."""

    def invoke(self, ctx: click.Context) -> object:
        try:
            return super().invoke(ctx)
        except UnknownService as error:
            raise UserError(str(error)) from error
        except StackError as error:
            raise Failed(str(error)) from error

    def format_epilog(self, _: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Environment"):
            formatter.write_dl(list(VARIABLES.items()))


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """A stack on this machine: Docker, RabbitMQ, MongoDB and our services on them.

    Everything is kept in .local/ of this clone; .local/env has what the stack is reached by.
    """


@main.command()
@click.option(
    "--givers", type=click.IntRange(1, 50), help="How many.  [default: as before, at first 3]"
)
def up(givers: int | None) -> None:
    """Start what does not run yet."""
    stack = Stack()
    stack.up(OnConsole(), givers)
    activate = stack.layout.root / ".venv" / "bin" / "activate"
    click.echo(
        _TRY.format(
            activate=activate, channel=stack.env["CHANNEL_URL"] + "/docs", logs=stack.layout.logs
        )
    )


@main.command()
@click.option(
    "--package",
    "packages",
    multiple=True,
    metavar="NAME",
    help="A program to install when missing; PACKAGE=PROGRAM where their names differ.",
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
def infra(packages: tuple[str, ...], command: tuple[str, ...]) -> None:
    """Start Docker, RabbitMQ and MongoDB only.

    With COMMAND (after --), run it with the variables of .local/env, then take down what was
    started for it; the exit code is COMMAND's.
    """
    stack = Stack()
    if not command:
        stack.infra(OnConsole(), packages)
        return
    signal.signal(signal.SIGTERM, _exit_on_signal)
    was_up = stack.is_up
    try:
        stack.infra(OnConsole(), packages)
        code = _run(command, {**os.environ, **stack.env})
    finally:
        if not was_up:
            stack.down(OnConsole())
    sys.exit(code)


def _exit_on_signal(number: int, _frame: FrameType | None) -> NoReturn:
    sys.exit(128 + number)


def _run(command: tuple[str, ...], environment: dict[str, str]) -> int:
    with subprocess.Popen(command, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # The terminal has told the command too; it cleans up in its own time.
                continue
            except SystemExit:
                process.terminate()
                process.wait()
                raise


@main.command()
def down() -> None:
    """Stop everything that was started here; data stay."""
    Stack().down(OnConsole())


@main.command()
def clean() -> None:
    """Remove the data of a stack that is down."""
    Stack().clean()


@main.command()
@json_option
def status(as_json: bool) -> None:
    """What runs, and where. Exit code 1 when something died."""
    services = Stack().status()
    if as_json:
        print_json(
            [
                {"name": s.name, "state": s.state, "pid": s.pid, "address": s.address, "log": s.log}
                for s in services
            ]
        )
    elif not services:
        click.echo("the stack is not up: start it with `make up`")
    else:
        table = Table("service", "state", "pid", box=None)
        table.add_column("address", overflow="fold")
        for s in services:
            state = f"[{_STYLES[s.state]}]{s.state}[/]"
            table.add_row(s.name, state, str(s.pid or ""), s.address)
        Console().print(table)
    if any(s.state == "dead" for s in services):
        sys.exit(1)


@main.command()
@click.argument("service")
def start(service: str) -> None:
    """Start one SERVICE and wait until it is ready."""
    Stack().start(service, OnConsole())


@main.command()
@click.argument("service")
def stop(service: str) -> None:
    """Stop one SERVICE (SIGTERM)."""
    Stack().stop(service)


@main.command()
@click.argument("service")
def restart(service: str) -> None:
    """Stop one SERVICE (SIGTERM), then start it."""
    Stack().restart(service, OnConsole())


@main.command()
@click.argument("service")
def kill(service: str) -> None:
    """Kill one SERVICE (SIGKILL), as in a crash."""
    Stack().kill(service)
