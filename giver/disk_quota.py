"""What a container may write to its own root, where that is granted.

Most of Docker's storage drivers set no limit there, so its size is looked at now and then. What is
written between two looks is more than allowed, and goes with the container.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from giver.engine import Container, Engine, EngineError

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 1.0


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
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            try:
                if await self._engine.written_bytes(container) > self._most_bytes:
                    return self._on_excess(f"its root holds more than {self._most_bytes} bytes")
            except EngineError as error:
                log.warning(
                    "written_bytes_unknown",
                    assignment_id=container.assignment_id,
                    reason=str(error),
                )
