"""A Debian tree, where no image can be pulled: made once in a checkout, for whoever needs one.

RabbitMQ's image is made of it, and so is the machine with a systemd of its own.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import threading
from pathlib import Path

from deploy.local.layout import CHECKOUT

PACKAGES = (
    "rabbitmq-server",
    *("systemd", "systemd-sysv", "dbus", "python3", "python3-venv", "ca-certificates"),
)
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}
TREE = CHECKOUT / ".local" / "debian"

_making = threading.Lock()


def missing() -> str:
    """Why it cannot be had here; empty if it can."""
    if os.geteuid() != 0:
        return "making a Debian tree takes root"
    absent = [tool for tool in ("debootstrap", "tar") if shutil.which(tool) is None]
    return f"{' and '.join(absent)} not installed" if absent else ""


def tree() -> Path:
    """Not to be changed: others will have it, too. Takes a minute or two the first time."""
    with _making:
        if not TREE.is_dir():
            draft = TREE.with_name("debian.new")
            shutil.rmtree(draft, ignore_errors=True)
            draft.parent.mkdir(exist_ok=True)
            subprocess.run(
                [
                    "debootstrap",
                    "--variant=minbase",
                    f"--arch={ARCHITECTURES[platform.machine()]}",
                    f"--include={','.join(PACKAGES)}",
                    "bookworm",
                    str(draft),
                ],
                check=True,
                stdout=subprocess.DEVNULL,
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
