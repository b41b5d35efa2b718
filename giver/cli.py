"""`giver`: runs containers on this host for seekers."""

from __future__ import annotations

import click

from runtime.lazy_commands import LazyGroup

COMMANDS = {
    "run": "giver.run:run",
    "doctor": "giver.doctor_command:doctor",
    "info": "giver.owner_commands:info",
    "status": "giver.owner_commands:status",
    "config": "giver.owner_commands:config",
    "pause": "giver.owner_commands:pause",
    "resume": "giver.owner_commands:resume",
    "drain": "giver.owner_commands:drain",
}


@click.group(
    cls=LazyGroup,
    commands_at=COMMANDS,
    context_settings={"help_option_names": ["-h", "--help"]},
)
@click.version_option(package_name="seekgive")
def main() -> None:
    """Run containers on this host for seekers.

    Settings come from options, GIVER_* variables, or .local/env of a local stack.
    """


if __name__ == "__main__":
    main()
