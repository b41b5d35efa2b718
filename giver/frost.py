"""A container that stands still for a while, and a deadline that stands still with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import structlog

from giver.engine import Container, Engine, EngineError

log = structlog.get_logger(__name__)

_AGAIN_S = 1.0


class Deadline:
    """Counts down from `start`, but not while halted."""

    def __init__(self, loop: asyncio.AbstractEventLoop, due: Callable[[], None]) -> None:
        self._loop = loop
        self._due = due
        self._timer: asyncio.TimerHandle | None = None
        self._left_s: float | None = None

    @property
    def running(self) -> bool:
        """Started, be it halted."""
        return self._timer is not None or self._left_s is not None

    def start(self, left_s: float) -> None:
        self._left_s = None
        self._timer = self._loop.call_later(left_s, self._due)

    def halt(self) -> None:
        if self._timer is not None:
            self._left_s = max(0.0, self._timer.when() - self._loop.time())
            self._timer.cancel()
            self._timer = None

    def go_on(self) -> None:
        if self._left_s is not None:
            self.start(self._left_s)

    def cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()


class Frost:
    """Freezes and thaws one container, whatever the order in which it is asked for."""

    def __init__(self, engine: Engine, deadline: Deadline, frozen: bool | None) -> None:
        """`frozen`: whether the container stands still now; `None`: not known."""
        self._engine = engine
        self._deadline = deadline
        self._frozen = frozen
        self._wanted = False
        self._over = False
        self._container: Container | None = None
        self._following: asyncio.Task[None] | None = None

    @property
    def wanted(self) -> bool:
        """It is to stand still."""
        return self._wanted

    def started(self, container: Container) -> None:
        """It runs from now on."""
        self._container = container
        self._follow()

    def freeze(self) -> None:
        if not self._over:
            self._wanted = True
            self._follow()

    def thaw(self) -> None:
        self._wanted = False
        self._follow()

    async def melt(self) -> None:
        """Thaw it for good, as often as that takes: what stands still hears no signal."""
        self._over = True
        self.thaw()
        if self._following is not None:
            await self._following

    def close(self) -> None:
        if self._following is not None:
            self._following.cancel()

    def _follow(self) -> None:
        if self._container is None or self._frozen is self._wanted:
            return
        if self._following is None or self._following.done():
            self._following = asyncio.create_task(self._until_as_wanted(self._container))

    async def _until_as_wanted(self, container: Container) -> None:
        while self._frozen is not self._wanted:
            wanted = self._wanted
            try:
                if wanted:
                    await self._engine.pause(container)
                    self._deadline.halt()
                else:
                    await self._engine.resume(container)
                    self._deadline.go_on()
                self._frozen = wanted
            except EngineError as error:
                log.warning(
                    "container_not_frozen" if wanted else "container_not_thawed",
                    assignment_id=container.assignment_id,
                    reason=str(error),
                )
                await asyncio.sleep(_AGAIN_S)
