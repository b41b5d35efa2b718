"""A way to Docker that a test can cut and mend, as a restarted or frozen daemon would be seen."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

DOCKER = os.environ.get("DOCKER_HOST", "unix:///var/run/docker.sock").removeprefix("unix://")
"""The socket of the Docker engine that the tests use."""


class DockerProxy:
    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self._path = path
        self._server: asyncio.Server | None = None
        self._writers: set[asyncio.StreamWriter] = set()
        self._flowing = asyncio.Event()
        self._flowing.set()

    async def start(self) -> None:
        self._server = await asyncio.start_unix_server(self._serve, self._path)

    async def cut(self) -> None:
        """The daemon is gone: connections break, new ones are refused."""
        assert self._server is not None
        self._server.close()
        self._path.unlink(missing_ok=True)
        for writer in list(self._writers):
            writer.transport.abort()
        self._flowing.set()
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._server.wait_closed(), 2)

    def freeze(self) -> None:
        """Connections are accepted and nothing is ever said."""
        self._flowing.clear()

    def thaw(self) -> None:
        self._flowing.set()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        docker_reader, docker_writer = await asyncio.open_unix_connection(DOCKER)
        self._writers |= {writer, docker_writer}
        try:
            await asyncio.gather(
                self._pump(reader, docker_writer), self._pump(docker_reader, writer)
            )
        finally:
            self._writers -= {writer, docker_writer}

    async def _pump(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._flowing.wait()
                writer.write(data)
                await writer.drain()
        writer.close()
        with contextlib.suppress(OSError):
            await writer.wait_closed()
