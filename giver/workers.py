"""Blocking calls off the loop.

Unlike those of `concurrent.futures`, these threads are daemons: a call stuck in a hung Docker
does not keep the process from ending.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable
from typing import Any, TypeVar

T = TypeVar("T")


class _Job:
    __slots__ = ("call", "future", "loop")

    def __init__(self, call: Callable[[], Any]) -> None:
        self.call = call
        self.loop = asyncio.get_running_loop()
        self.future: asyncio.Future[Any] = self.loop.create_future()


class Workers:
    """At most `limit` threads, made when needed."""

    def __init__(self, name: str, limit: int) -> None:
        self._name = name
        self._limit = limit
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads = 0
        self._idle = 0
        self._lock = threading.Lock()

    async def run(self, call: Callable[[], T]) -> T:
        """The call's result or error. Cancelling leaves the call running in its thread."""
        job = _Job(call)
        self._jobs.put(job)
        with self._lock:
            if self._idle > 0:
                self._idle -= 1
            elif self._threads < self._limit:
                self._threads += 1
                threading.Thread(
                    target=self._work, name=f"{self._name}-{self._threads}", daemon=True
                ).start()
        value: T = await job.future
        return value

    def close(self) -> None:
        """Idle threads end now, busy ones after their call."""
        for _ in range(self._threads):
            self._jobs.put(None)

    def _work(self) -> None:
        while (job := self._jobs.get()) is not None:
            value: Any = None
            error: BaseException | None = None
            try:
                value = job.call()
            except BaseException as caught:  # Handed over whatever it is: the caller must not hang.
                error = caught
            with self._lock:
                self._idle += 1
            try:
                job.loop.call_soon_threadsafe(_settle, job.future, value, error)
            except RuntimeError:
                return  # The loop is closed: nobody waits any more.


def _settle(future: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if future.cancelled():
        return
    if error is not None:
        future.set_exception(error)
    else:
        future.set_result(value)
