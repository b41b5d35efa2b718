"""An ASGI application served inside the service's own event loop."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from typing import Any

import structlog
import uvicorn

log = structlog.get_logger(__name__)


class AddressInUse(OSError):
    """Another process listens there; the message names the address and the setting to change."""


class _Server(uvicorn.Server):
    """Leaves the signals to the service."""

    @contextlib.contextmanager
    def capture_signals(self) -> Any:
        yield


class HttpServer:
    """A `Component` that serves `app`; port 0 takes a free one, told by `port` once started."""

    def __init__(self, app: Any, host: str, port: int, setting: str) -> None:
        """`setting` names the variable that an operator changes when the address is taken."""
        self._app = app
        self._host = host
        self._setting = setting
        self.port = port
        self._server: _Server | None = None
        self._serving: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """
        Raises:
            AddressInUse: the port is taken.
        """
        family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((self._host, self.port))
            listener.listen()
        except OSError as error:
            listener.close()
            raise AddressInUse(
                f"cannot listen on {self._host}:{self.port} ({error.strerror}): "
                f"set {self._setting} to a free port, or 0 for any"
            ) from error
        self.port = listener.getsockname()[1]
        self._server = _Server(
            uvicorn.Config(
                self._app,
                log_config=None,
                access_log=False,
                lifespan="off",
                timeout_graceful_shutdown=5,
            )
        )
        self._serving = asyncio.create_task(self._server.serve(sockets=[listener]), name="http")
        log.info("http_listening", host=self._host, port=self.port)

    async def stop(self) -> None:
        if self._server is not None and self._serving is not None:
            self._server.should_exit = True
            await self._serving
