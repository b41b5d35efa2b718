"""What systemd hears of a service."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.lifecycle import TaskGuard, run
from runtime.supervisor import Supervisor


class Systemd:
    """The end that listens."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self.socket.bind(str(path))
        self.environment = {"NOTIFY_SOCKET": str(path)}

    def watch(self, limit_s: float, pid: int | None = None) -> None:
        self.environment["WATCHDOG_USEC"] = str(int(limit_s * 1e6))
        self.environment["WATCHDOG_PID"] = str(pid or os.getpid())

    async def hears(self) -> list[str]:
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(5):
            return (await loop.sock_recv(self.socket, 4096)).decode().splitlines()

    def heard(self) -> list[list[str]]:
        messages = []
        try:
            while True:
                messages.append(self.socket.recv(4096).decode().splitlines())
        except BlockingIOError:
            return messages


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    listening = Systemd(tmp_path / "notify")
    yield listening
    listening.socket.close()


class Server:
    def __init__(self) -> None:
        self.state = "starts"

    async def start(self) -> None:
        self.state = "runs"

    async def stop(self) -> None:
        self.state = "stopped"


async def test_a_service_says_that_it_is_ready_and_that_it_stops(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NOTIFY_SOCKET", systemd.environment["NOTIFY_SOCKET"])
    server = Server()
    running = asyncio.create_task(run([server], TaskGuard(), lambda: server.state))
    said: list[str] = []
    while "READY=1" not in said:
        assert not running.done()
        said += await systemd.hears()
    assert "STATUS=runs" in said
    os.kill(os.getpid(), signal.SIGTERM)
    await running
    assert systemd.heard()[-1] == ["STOPPING=1"]


async def test_a_service_that_could_not_start_is_never_ready(
    systemd: Systemd, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Broken(Server):
        async def start(self) -> None:
            raise OSError("no")

    monkeypatch.setenv("NOTIFY_SOCKET", systemd.environment["NOTIFY_SOCKET"])
    with pytest.raises(OSError, match="no"):
        await run([Broken()], TaskGuard())
    assert ["READY=1"] not in systemd.heard()


async def test_the_loop_itself_feeds_the_watchdog(systemd: Systemd) -> None:
    systemd.watch(0.06)
    telling = asyncio.create_task(Supervisor(None, systemd.environment).keep_telling())
    for _ in range(3):
        assert await systemd.hears() == ["WATCHDOG=1"]
    time.sleep(0.1)  # noqa: ASYNC251 - a loop that hangs
    assert len(systemd.heard()) <= 1
    telling.cancel()


async def test_another_process_is_not_watched(systemd: Systemd) -> None:
    systemd.watch(0.06, pid=os.getpid() + 1)
    supervisor = Supervisor(lambda: "well", systemd.environment)
    supervisor.ready()
    assert systemd.heard() == [["READY=1", "STATUS=well"]]


async def test_the_status_is_told_again_only_when_it_changed(systemd: Systemd) -> None:
    status = "a\nb"
    supervisor = Supervisor(lambda: status, systemd.environment)
    supervisor.ready()
    supervisor.ready()
    status = "c"
    supervisor.ready()
    assert systemd.heard() == [["READY=1", "STATUS=a b"], ["READY=1"], ["READY=1", "STATUS=c"]]


@pytest.mark.parametrize("address", ["", "/nowhere/at/all"])
async def test_without_systemd_nothing_happens(address: str) -> None:
    Supervisor(lambda: "well", {"NOTIFY_SOCKET": address}).ready()
