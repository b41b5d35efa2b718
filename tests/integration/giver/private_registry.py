"""A registry on the loopback that asks for a password, and a narrow way to it."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import docker
import httpx

from tests.containers import free_ports

PROGRAM = "docker-registry"
USER, PASSWORD = "tester", "secret"
HTPASSWD = "tester:$2b$05$abcdefghijklmnopqrstuuOQiyCxlgf/oeuTqixKmWdcYUh4Hjl0a\n"
"""What bcrypt makes of the password."""
START_S = 15.0


def missing() -> str:
    return "" if shutil.which(PROGRAM) else f"{PROGRAM} is not installed"


def docker_config(folder: Path, *registries: str, password: str = PASSWORD) -> Path:
    """As `docker login` writes it."""
    auth = base64.b64encode(f"{USER}:{password}".encode()).decode()
    file = folder / "config.json"
    file.write_text(json.dumps({"auths": {name: {"auth": auth} for name in registries}}))
    return file


class Registry:
    def __init__(self, folder: Path) -> None:
        (port,) = free_ports(1)
        self.name = f"127.0.0.1:{port}"
        (folder / "htpasswd").write_text(HTPASSWD)
        values = {
            "version": 0.1,
            "log": {"level": "error", "accesslog": {"disabled": True}},
            "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
            "http": {"addr": self.name, "relativeurls": True},
            "auth": {"htpasswd": {"realm": "test", "path": str(folder / "htpasswd")}},
        }
        config = folder / "registry.yaml"
        config.write_text(json.dumps(values))
        self._process = subprocess.Popen(
            [PROGRAM, "serve", str(config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        give_up_at = time.monotonic() + START_S
        while not self._answers():
            assert time.monotonic() < give_up_at, f"{PROGRAM} does not answer at {self.name}"
            time.sleep(0.05)

    def push(self, client: docker.APIClient, image: str, name: str) -> str:
        """Under `name`; the digest."""
        repository, _, tag = f"{self.name}/{name}".rpartition(":")
        client.tag(image, repository, tag)
        try:
            auth = {"username": USER, "password": PASSWORD}
            digest = ""
            for event in client.push(repository, tag, stream=True, decode=True, auth_config=auth):
                assert "error" not in event, event
                digest = event.get("aux", {}).get("Digest", digest)
        finally:
            client.remove_image(f"{repository}:{tag}")
        assert digest
        return digest

    def freeze(self) -> None:
        self._process.send_signal(signal.SIGSTOP)

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"http://{self.name}/v2/", trust_env=False).status_code == 401
        return False


class NarrowWay:
    """To a registry, for so many bytes; then nothing comes any more."""

    def __init__(self, registry: Registry, most: int) -> None:
        self._target = registry.name
        self._left = most
        self._server: asyncio.Server | None = None
        self._pumps: set[asyncio.Task[Any]] = set()
        self.name = ""

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.name = f"127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        assert self._server is not None
        self._server.close()
        for pump in list(self._pumps):
            pump.cancel()
        await asyncio.gather(*self._pumps, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._pumps.add(task)
        host, _, port = self._target.partition(":")
        there, back = await asyncio.open_connection(host, int(port))
        try:
            await asyncio.gather(self._ask(reader, back), self._answer(there, writer))
        except (OSError, asyncio.CancelledError):
            pass
        finally:
            self._pumps.discard(task)
            for each in (writer, back):
                each.transport.abort()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 16):
            writer.write(data)
            await writer.drain()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(1 << 14):
            self._left -= len(data)
            if self._left < 0:
                await asyncio.Event().wait()
            writer.write(data)
            await writer.drain()


def noise(size: int) -> bytes:
    """That no registry packs any smaller."""
    return os.urandom(size)
