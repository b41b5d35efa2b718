"""Who plays what: three givers of the local stack, one dishonest, one to be killed."""

from __future__ import annotations

import sys
from collections.abc import Mapping

from deploy.local.progress import Progress
from deploy.local.stack import Stack

HONEST = "giver-1"
DOOMED = "giver-2"
LIAR = "giver-3"

HEARTBEAT_S = 1.0
"""Short, so that the purge is there to be seen; its strikes are the seeker's default."""

_LIAR_COMMAND = (sys.executable, "-m", "deploy.demo.liar")


def prepare(stack: Stack, progress: Progress) -> Mapping[str, str]:
    """Bring the stack up and its givers into their parts; returns the id of each giver.

    A stack that is up is used as it is, but for its givers: these are started anew.

    Raises:
        StackError: names the step that failed and the remedy.
    """
    if stack.is_up:
        progress.note("the stack is up: the demo uses it, and starts its givers anew")
    stack.up(progress, givers=3)
    for name in (HONEST, DOOMED, LIAR):
        stack.stop(name)
        stack.start(
            name,
            progress,
            environment={"GIVER_HEARTBEAT_INTERVAL_S": str(HEARTBEAT_S)},
            command=_LIAR_COMMAND if name == LIAR else None,
        )
    return stack.giver_ids


def fallen(stack: Stack) -> list[str]:
    """Services that are dead without having been killed here, with their logs."""
    return [
        f"{service.name} (see {service.log})"
        for service in stack.status()
        if service.state == "dead" and service.name != DOOMED
    ]
