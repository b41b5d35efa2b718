"""One shape for everything that starts and stops.

A component stops its intake, finishes its work, then closes its I/O. A background task that dies
stops the whole service loudly; systemd starts it again.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Protocol

import structlog

from runtime.supervisor import Supervisor

log = structlog.get_logger(__name__)

GC_THRESHOLDS = (50_000, 20, 100)
"""A service holds thousands of live objects and makes hundreds for each batch; at Python's default
thresholds it spends a sixth of its CPU looking for cycles among them, of which there are few."""


class Component(Protocol):
    """Both methods are called once, `stop` also after a failed `start`."""

    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class TaskGuard:
    """Background tasks of a service, watched: the first that dies decides `failed`."""

    def __init__(self, expected: tuple[type[Exception], ...] = ()) -> None:
        """`expected`: errors that end a service by design; whoever waits for it tells of them."""
        self._expected = expected
        self._tasks: set[asyncio.Task[Any]] = set()
        self.failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def spawn(self, work: Coroutine[Any, Any, Any], name: str) -> asyncio.Task[Any]:
        task = asyncio.create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if task.cancelled() or task.exception() is None:
            return
        error = task.exception()
        if not isinstance(error, self._expected):
            log.error("background_task_died", task=task.get_name(), exc_info=error)
        if not self.failed.done():
            self.failed.set_exception(error or RuntimeError(task.get_name()))

    async def cancel(self) -> None:
        """End all that still run and wait until they have."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError, Exception):
                await task
        if self.failed.done() and not self.failed.cancelled():
            self.failed.exception()  # Retrieved: `run` has reported it already.


async def run(
    components: Sequence[Component], guard: TaskGuard, status: Callable[[], str] | None = None
) -> None:
    """Start in order, run until SIGTERM, SIGINT or a dead background task, stop in reverse order.

    Systemd, if it is there, is told of all that, and that the loop turns. `status`: a line for it.

    Raises:
        Exception: whatever ended a background task or a `start`.
    """
    gc.set_threshold(*GC_THRESHOLDS)
    loop = asyncio.get_running_loop()
    asked_to_stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked_to_stop.set)
    stopping = asyncio.create_task(asked_to_stop.wait())
    supervisor = Supervisor(status)
    telling = guard.spawn(supervisor.keep_telling(), "supervisor")
    started: list[Component] = []
    try:
        for component in components:
            started.append(component)
            start = asyncio.create_task(component.start())
            await _first_of(start, stopping, guard.failed)
            if not start.done():
                start.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await start
                break
            start.result()
        if not asked_to_stop.is_set():
            supervisor.ready()
            await _first_of(stopping, guard.failed)
        if guard.failed.done():
            guard.failed.result()
    finally:
        supervisor.stopping()
        stopping.cancel()
        for component in reversed(started):
            try:
                await component.stop()
            except Exception:
                log.exception("stop_failed", component=type(component).__name__)
        telling.cancel()
        await guard.cancel()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(number)


async def _first_of(*futures: asyncio.Future[Any]) -> None:
    await asyncio.wait(futures, return_when=asyncio.FIRST_COMPLETED)
