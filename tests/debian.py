"""A Debian tree, where no image can be pulled: made once in a checkout, for whoever needs one.

RabbitMQ's image is made of it, and so is the machine with a systemd of its own.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import platform
import shutil
import signal
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

from deploy.local.layout import CHECKOUT

PACKAGES = (
    "rabbitmq-server",
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "ca-certificates"),
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
TREE = CHECKOUT / ".local" / "debian"

_child: list[subprocess.Popen[bytes]] = []
"""Whoever makes the tree for us now."""


def missing() -> str:
    """Why it cannot be had here; empty if it can."""
    if os.geteuid() != 0:
        return "making a Debian tree takes root"
    absent = [tool for tool in ("debootstrap", "tar") if shutil.which(tool) is None]
    return f"{' and '.join(absent)} not installed" if absent else ""


@contextlib.contextmanager
def alone() -> Iterator[None]:
    """Of all test processes in this checkout."""
    TREE.parent.mkdir(exist_ok=True)
    with TREE.with_name("debian.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def tree() -> Path:
    """Not to be changed: others will have it, too. Takes a minute or two the first time.

    Raises:
        CalledProcessError: debootstrap failed.
    """
    with alone():
        if not TREE.is_dir():
            draft = TREE.with_name("debian.new")
            shutil.rmtree(draft, ignore_errors=True)
            _run(
                *("debootstrap", "--variant=minbase"),
                f"--arch={ARCHITECTURES[platform.machine()]}",
                f"--include={','.join(PACKAGES)}",
                *("bookworm", str(draft)),
            )
            for archive in (draft / "var/cache/apt/archives").glob("*.deb"):
                archive.unlink()
            draft.rename(TREE)
    return TREE


def begin() -> None:
    """So that it is there when it is asked for; what goes wrong is told then."""

    def make() -> None:
        with contextlib.suppress(OSError, subprocess.CalledProcessError):
            tree()

    if not missing():
        threading.Thread(target=make, name="debian", daemon=True).start()


def give_up() -> None:
    """Nobody will ask for it any more."""
    for child in _child:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGTERM)
        child.wait()


def _run(*command: str) -> None:
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, start_new_session=True)
    _child.append(child)
    if child.wait() != 0:
        raise subprocess.CalledProcessError(child.returncode, command)
    _child.remove(child)
