"""`channel serve`: the service."""

from __future__ import annotations

import click

from channel import service
from channel.settings import ChannelSettings
from runtime.command_line import UserError, async_command
from runtime.http import AddressInUse
from runtime.logs import configure_logging


@click.command()
@async_command
async def serve() -> None:
    """Run the service: store results, answer over HTTP."""
    settings = ChannelSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    try:
        await service.serve(settings)
    except AddressInUse as error:
        raise UserError(str(error)) from error
