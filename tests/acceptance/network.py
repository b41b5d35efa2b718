"""A network of its own for one process, which a test cuts without either end being told.

A network namespace with a cable to this one and no other way out. What listens on loopback only,
here or there, is reached over the cable through relays.
"""

from __future__ import annotations

import contextlib
import os
import random
import secrets
import socket
import socketserver
import subprocess
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

Address = tuple[str, int]

_CONNECT_S = 5.0


class OwnNetwork:
    def __init__(self) -> None:
        mark = secrets.token_hex(4)
        self._name = f"seekgive-{mark}"
        self._near_end, self._far_end = f"sg{mark}n", f"sg{mark}f"
        # From the range set aside for tests of networks (RFC 2544), which nobody routes.
        net = f"198.{random.choice((18, 19))}.{random.randrange(256)}.{4 * random.randrange(64)}"
        prefix, _, last = net.rpartition(".")
        self.here, self.there = f"{prefix}.{int(last) + 1}", f"{prefix}.{int(last) + 2}"
        self._relays = contextlib.ExitStack()

    @classmethod
    @contextlib.contextmanager
    def made(cls) -> Iterator[OwnNetwork]:
        """Skips the test where this user may not make one; removed in the end."""
        if os.geteuid() != 0:
            pytest.skip("needs root, to make a network namespace")
        network = cls()
        try:
            network._make()
            yield network
        finally:
            network._remove()

    def inside(self, command: Sequence[str]) -> list[str]:
        """The command that runs `command` in there. Only the network is another one."""
        return ["nsenter", f"--net=/run/netns/{self._name}", *command]

    def cut(self) -> None:
        """From now on every packet is lost, both ways; no connection is closed by that."""
        _run("ip", "link", "set", self._near_end, "down")

    def mend(self) -> None:
        _run("ip", "link", "set", self._near_end, "up")

    @contextlib.contextmanager
    def cut_off(self) -> Iterator[None]:
        self.cut()
        try:
            yield
        finally:
            self.mend()

    def relay(self, listen: Address, to: Address) -> None:
        """Pass on connections until the network is removed. Listens and connects from here."""
        relay = self._relays.enter_context(_Relay(listen, to))
        threading.Thread(target=relay.serve_forever, args=(0.1,), daemon=True).start()
        self._relays.callback(relay.shutdown)

    def _make(self) -> None:
        try:
            _run("ip", "netns", "add", self._name)
        except PermissionError as error:
            pytest.skip(f"may not make a network namespace: {error}")
        inside = ("ip", "-netns", self._name)
        _run("ip", "link", "add", self._near_end, "type", "veth",
             "peer", "name", self._far_end, "netns", self._name)  # fmt: skip
        _run("ip", "address", "add", f"{self.here}/30", "dev", self._near_end)
        _run("ip", "link", "set", self._near_end, "up")
        _run(*inside, "address", "add", f"{self.there}/30", "dev", self._far_end)
        _run(*inside, "link", "set", self._far_end, "up")
        _run(*inside, "link", "set", "lo", "up")

    def _remove(self) -> None:
        self._relays.close()
        # The cable goes at once, as a process may keep the namespace alive for a while.
        for what, name in (("link", self._near_end), ("netns", self._name)):
            there = Path("/sys/class/net" if what == "link" else "/run/netns", name)
            if there.exists():
                _run("ip", what, "delete", name)


class _Relay(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, listen: Address, to: Address) -> None:
        super().__init__(listen, _Passage)
        self.to = to


class _Passage(socketserver.BaseRequestHandler):
    server: _Relay

    def handle(self) -> None:
        with (
            contextlib.suppress(OSError),
            socket.create_connection(self.server.to, timeout=_CONNECT_S) as onward,
        ):
            onward.settimeout(None)
            back = threading.Thread(target=_pump, args=(onward, self.request), daemon=True)
            back.start()
            _pump(self.request, onward)
            back.join()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    """Until the source ends, which is then told to the sink."""
    with contextlib.suppress(OSError):
        while data := source.recv(65536):
            sink.sendall(data)
    with contextlib.suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


def _run(*command: str) -> None:
    """
    Raises:
        PermissionError: not even root may, in here.
    """
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if "not permitted" in done.stderr:
        raise PermissionError(done.stderr.strip())
    assert done.returncode == 0, f"{' '.join(command)}: {done.stderr}"
