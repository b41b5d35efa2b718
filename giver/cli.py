"""`giver`: runs containers on this host for seekers."""

from __future__ import annotations

import sys
from typing import Any

import click

from broker import BrokerError
from giver.api import create_app
from giver.doctor import examine
from giver.engine import Engine
from giver.identity import IdentityError
from giver.journal import JournalError
from giver.owner_commands import config, drain, info, pause, resume, status
from giver.service import GiverService
from giver.settings import GiverSettings
from runtime import lifecycle
from runtime.command_line import (
    EXIT_FAILED,
    Unreachable,
    UserError,
    async_command,
    json_option,
    print_json,
)
from runtime.http import AddressInUse, HttpServer
from runtime.logs import configure_logging, silence_logging
from runtime.settings import SettingsMissing

_NO_BROKER = "amqp://localhost"
"""Where a broker would be if nobody says so."""


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seekgive")
def main() -> None:
    """Run containers on this host for seekers.

    Settings come from options, GIVER_* variables, or .local/env of a local stack.
    """


@main.command()
@click.option("--broker-url", help="amqp://user:password@host:5672/vhost")
@click.option("--id", help="Instead of one made from the host's name.")
@click.option("--state-dir", help="Folder for the id and the journal.")
@click.option("--docker-host", help="As DOCKER_HOST, e.g. unix:///var/run/docker.sock.")
@click.option("--owner", help="Who answers for this host.")
@click.option("--label", "labels", multiple=True, metavar="NAME=VALUE", help="Repeatable.")
@click.option("--cpus", type=float, help="CPU cores to give.")
@click.option("--memory", help="To give, e.g. 8GiB or a number of bytes.")
@click.option("--disk", help="To give, e.g. 100GiB or a number of bytes.")
@click.option("--gpus", type=int, help="To give, those numbered from 0.  [default: none]")
@click.option("--containers", type=int, help="At a time.")
@click.option("--backlog", type=int, help="Assignments to hold waiting.")
@click.option("--heartbeat-interval", "heartbeat_interval_s", type=float, help="Seconds.")
@click.option("--http-port", type=int, help="0: any free one.")
@click.option("--log-level", type=click.Choice(["debug", "info", "warning", "error"]))
@async_command
async def run(labels: tuple[str, ...], **options: Any) -> None:
    """Join the broker and run what arrives, until SIGTERM or SIGINT."""
    settings = GiverSettings.load(labels=_labels(labels), **options)
    configure_logging(settings.log_level, settings.log_format)
    await serve(settings)


async def serve(settings: GiverSettings, engine: Engine | None = None) -> None:
    """The whole process; `engine` instead of Docker."""
    guard = lifecycle.TaskGuard()
    try:
        service = GiverService(settings, guard, engine)
        http = HttpServer(
            create_app(service), settings.http_host, settings.http_port, "GIVER_HTTP_PORT"
        )
        await lifecycle.run([service, http], guard, service.status)
    except (IdentityError, AddressInUse, JournalError) as error:
        raise UserError(str(error)) from error
    except BrokerError as error:
        raise Unreachable(str(error)) from error


@main.command()
@click.option("--image", help="For the test container.  [default: the first on this host]")
@json_option
@async_command
async def doctor(image: str | None, as_json: bool) -> None:
    """Check what a giver needs on this host, and say what to do where it is missing.

    Reads the same settings as `giver run`; exits with 1 if a check fails.
    """
    silence_logging()
    checks = await examine(_settings_to_examine(), image)
    if as_json:
        print_json([check.as_document() for check in checks])
    else:
        for check in checks:
            mark = {"ok": "✓", "warning": "!", "failed": "✗"}[check.verdict]
            click.echo(f"{mark} {check.name}: {check.found}")
            if check.remedy:
                click.echo(f"    {check.remedy}")
    if any(check.verdict == "failed" for check in checks):
        sys.exit(EXIT_FAILED)


def _settings_to_examine() -> GiverSettings:
    """Without a broker, the rest can be examined all the same."""
    try:
        return GiverSettings.load()
    except SettingsMissing as error:
        click.echo(str(error), err=True)
        return GiverSettings.load(broker_url=_NO_BROKER)


for command in (info, status, config, pause, resume, drain):
    main.add_command(command)


def _labels(pairs: tuple[str, ...]) -> dict[str, str] | None:
    labels = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not name or not separator:
            raise UserError(f"--label {pair!r} does not fit: give it as NAME=VALUE")
        labels[name] = value
    return labels or None


if __name__ == "__main__":
    main()
