"""What a container may write to its own root, where that is granted.

Most of Docker's storage drivers set no limit there, so what it holds is looked at now and then.
What is written between two looks is more than allowed, and goes with the container.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from giver.engine import Container, Engine, EngineError
from schemas.data import MOST_ENTRIES

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0
UNTOLD_LOOKS = 3
"""In a row: once may be by chance, more is by design of the task."""


class DiskQuota:
    def __init__(self, engine: Engine, most_bytes: int, on_excess: Callable[[str], None]) -> None:
        """`on_excess` is called once with the reason, when more than that was written."""
        self._engine = engine
        self._most_bytes = most_bytes
        self._on_excess = on_excess
        self._watching: asyncio.Task[None] | None = None

    def start(self, container: Container) -> None:
        """It runs from now on; that it does may be said again."""
        if self._watching is None:
            self._watching = asyncio.create_task(self._watch(container))

    def close(self) -> None:
        if self._watching is not None:
            self._watching.cancel()

    async def _watch(self, container: Container) -> None:
        untold = 0
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                written = await self._engine.written(container, MOST_ENTRIES)
                untold = 0 if written else untold + 1
                if untold > UNTOLD_LOOKS:
                    return self._on_excess("its root is such that Docker cannot measure it")
                if written is None:
                    continue
                if written.size_bytes > self._most_bytes:
                    return self._on_excess(f"its root holds more than {self._most_bytes} bytes")
                if written.entries > MOST_ENTRIES:
                    return self._on_excess(
                        f"its root holds more than {MOST_ENTRIES} new files and folders"
                    )
            except EngineError as error:
                log.warning(
                    "written_unknown",
                    assignment_id=container.assignment_id,
                    reason=str(error),
                )
