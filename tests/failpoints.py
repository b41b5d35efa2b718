"""`python -m tests.failpoints NAME`: `giver run` that kills itself at the worst moment, once.

The moments are between two steps that a reader of the code would like to think of as one.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from typing import Any, NoReturn

from giver import cli
from giver.docker_engine import DockerEngine
from giver.outbox import Outbox


def die(*_: Any) -> NoReturn:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError("unreachable")


def after_create() -> None:
    """Docker has made the container, and it is not started."""
    DockerEngine.follow = die  # type: ignore[assignment]


def while_creating() -> None:
    """Docker has made the container, and the giver has not heard of it."""
    create = DockerEngine._create

    def created(self: DockerEngine, *arguments: Any) -> NoReturn:
        create(self, *arguments)
        die()

    DockerEngine._create = created  # type: ignore[assignment]


def after_publish() -> None:
    """The broker has confirmed the result, and nobody has written that down."""
    settled = Outbox._settled

    def confirmed(self: Outbox, results: Any, confirm: asyncio.Future[None]) -> None:
        if not confirm.cancelled() and confirm.exception() is None:
            die()
        settled(self, results, confirm)

    Outbox._settled = confirmed  # type: ignore[method-assign]


FAILPOINTS = {each.__name__: each for each in (after_create, while_creating, after_publish)}

if __name__ == "__main__":
    FAILPOINTS[sys.argv[1]]()
    cli.main(["run"])
