"""A word to systemd: that the service is ready, what it is at, that its loop still turns.

The protocol is one datagram (sd_notify(3)); the libraries for it have not been kept for years, and
systemd's own manual recommends these few lines instead. Without `NOTIFY_SOCKET` all is silent.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
from collections.abc import Callable, Mapping

_STATUS_EVERY_S = 5.0
_STATUS_MAX = 500
_PINGS_WITHIN_LIMIT = 3
"""One or two may be late without harm."""


class Supervisor:
    """Notifies whoever started this process, if that is systemd with `Type=notify`."""

    def __init__(
        self,
        status: Callable[[], str] | None = None,
        environment: Mapping[str, str] = os.environ,
    ) -> None:
        """`status`: a line for `systemctl status`, asked for again and again."""
        self._status = status
        self._address = environment.get("NOTIFY_SOCKET", "")
        self._limit_s = _watchdog_limit_s(environment)
        self._told = ""

    async def keep_telling(self) -> None:
        """Until cancelled. Comes from the loop itself: one that hangs stops telling, and systemd
        starts the service again."""
        if not self._address:
            return
        every_s = _STATUS_EVERY_S
        if self._limit_s is not None:
            every_s = min(every_s, self._limit_s / _PINGS_WITHIN_LIMIT)
        while True:
            self._notify(*self._sign_of_life())
            await asyncio.sleep(every_s)

    def ready(self) -> None:
        """All is started."""
        self._notify("READY=1", *self._sign_of_life())

    def stopping(self) -> None:
        self._notify("STOPPING=1")

    def _sign_of_life(self) -> list[str]:
        lines = ["WATCHDOG=1"] if self._limit_s is not None else []
        status = self._status().replace("\n", " ")[:_STATUS_MAX] if self._status else ""
        if status != self._told:
            self._told = status
            lines.append(f"STATUS={status}")
        return lines

    def _notify(self, *lines: str) -> None:
        if not self._address or not lines:
            return
        # A leading @ stands for the abstract namespace.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with (
            contextlib.suppress(OSError),  # systemd is busy or going down: the next one says more.
            socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK) as sender,
        ):
            sender.connect(address)
            sender.sendall("\n".join(lines).encode())


def _watchdog_limit_s(environment: Mapping[str, str]) -> float | None:
    """`WATCHDOG_PID`: the variables are inherited, but meant for one process."""
    if environment.get("WATCHDOG_PID", str(os.getpid())) != str(os.getpid()):
        return None
    limit = environment.get("WATCHDOG_USEC", "")
    return int(limit) / 1e6 if limit.isdecimal() and int(limit) > 0 else None
