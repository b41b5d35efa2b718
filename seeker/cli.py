"""The `seeker` command."""

from __future__ import annotations

import click

from runtime import lifecycle
from runtime.command_line import async_command
from runtime.logs import configure_logging, silence_logging
from seeker.commands.enqueue import enqueue, retry
from seeker.commands.explain import explain, plan
from seeker.commands.fetch import fetch
from seeker.commands.follow import cancel, status, wait, watch
from seeker.commands.givers import givers
from seeker.commands.logs import logs
from seeker.commands.result import result, votes
from seeker.service import SeekerService
from seeker.settings import SeekerSettings


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="seekgive")
def main() -> None:
    """Give containers to givers, and say which result to believe.

    Settings come from SEEKER_* variables, or from .local/env of a local stack.
    """
    silence_logging()


@main.command()
@async_command
async def run() -> None:
    """Run the seeker: one leads, others stand by."""
    settings = SeekerSettings.load()
    configure_logging(settings.log_level, settings.log_format)
    guard = lifecycle.TaskGuard()
    service = SeekerService(settings, guard)
    await lifecycle.run([service], guard, service.status)


for command in (
    *(enqueue, plan, status, watch, wait, logs, result, fetch, votes),
    *(explain, cancel, retry, givers),
):
    main.add_command(command)
