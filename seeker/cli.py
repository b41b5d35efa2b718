"""The `seeker` command."""

from __future__ import annotations

import click

from runtime.lazy_commands import LazyGroup
from runtime.logs import silence_logging

COMMANDS = {
    "run": "seeker.commands.run:run",
    "enqueue": "seeker.commands.enqueue:enqueue",
    "plan": "seeker.commands.explain:plan",
    "status": "seeker.commands.follow:status",
    "watch": "seeker.commands.follow:watch",
    "wait": "seeker.commands.follow:wait",
    "logs": "seeker.commands.logs:logs",
    "result": "seeker.commands.result:result",
    "fetch": "seeker.commands.fetch:fetch",
    "votes": "seeker.commands.result:votes",
    "explain": "seeker.commands.explain:explain",
    "cancel": "seeker.commands.follow:cancel",
    "retry": "seeker.commands.enqueue:retry",
    "givers": "seeker.commands.givers:givers",
}


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="seekgive")
def main() -> None:
    """Give containers to givers, and say which result to believe.

    Settings come from SEEKER_* variables, or from .local/env of a local stack.
    """
    silence_logging()
