"""`seeker run`: the service."""

from __future__ import annotations

import click

from runtime import lifecycle
from runtime.command_line import async_command
from runtime.logs import configure_logging
from seeker.service import SeekerService
from seeker.settings import SeekerSettings


@click.command()
@async_command
async def run() -> None:
    """Run the seeker: one leads, others stand by."""
    settings = SeekerSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    guard = lifecycle.TaskGuard()
    service = SeekerService(settings, guard)
    await lifecycle.run([service], guard, service.status)
