"""`giver run`: the service."""

from __future__ import annotations

from typing import Any

import click

from broker import BrokerError
from giver.api import create_app
from giver.engine import Engine
from giver.identity import IdentityError
from giver.journal import JournalError
from giver.service import GiverService
from giver.settings import GiverSettings
from runtime import lifecycle
from runtime.command_line import Unreachable, UserError, async_command
from runtime.http import AddressInUse, HttpServer
from runtime.logs import configure_logging


@click.command()
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


def _labels(pairs: tuple[str, ...]) -> dict[str, str] | None:
    labels = {}
    for pair in pairs:
        name, separator, value = pair.partition("=")
        if not name or not separator:
            raise UserError(f"--label {pair!r} does not fit: give it as NAME=VALUE")
        labels[name] = value
    return labels or None
