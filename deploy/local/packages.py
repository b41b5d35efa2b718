"""What the distribution must supply, and its installation by apt."""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from deploy.local.errors import MissingRight, StackError
from deploy.local.privilege import Privilege
from deploy.local.progress import Detail

RABBITMQ_SCRIPTS = "/usr/lib/rabbitmq"
"""Holds `lib/rabbitmq_server-VERSION/sbin` (Debian) or links to it."""

_INSTALL = """
set -e
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
    # Nothing of the system's own starts beside the private ones (or fails to, in a container).
    trap 'rm -f $policy' EXIT
    trap 'exit 1' INT TERM HUP
    printf '#!/bin/sh\nexit 101\n' >$policy
    chmod 755 $policy
fi
apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 update
apt-get -o Acquire::Retries=3 -o DPkg::Lock::Timeout=300 \
    install -y --no-install-recommends "$@"
"""


@dataclass(frozen=True, slots=True)
class Package:
    name: str
    present: Callable[[], bool]


def find_program(name: str) -> str | None:
    """Also where a user's own PATH does not look."""
    return shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin")


def rabbitmq_server() -> Path | None:
    """The server's script itself: Debian's wrapper insists on its own user and folders."""
    found = sorted(Path(RABBITMQ_SCRIPTS).glob("lib/*/sbin/rabbitmq-server"))
    return found[-1] if found else None


def static_busybox() -> Path | None:
    """A busybox that runs where there is nothing else."""
    for candidate in ("/bin/busybox", "/usr/bin/busybox"):
        path = Path(candidate)
        if path.is_file() and not _is_dynamic(path):
            return path
    return None


def _is_dynamic(program: Path) -> bool:
    # PT_INTERP holds the loader's path, near the start of the file.
    return b"/ld-" in program.read_bytes()[:4096]


def _loads(library: str) -> bool:
    try:
        ctypes.CDLL(library)
    except OSError:
        return False
    return True


def program(name: str) -> Package:
    """`PACKAGE`, called like the program in it, or `PACKAGE=PROGRAM`."""
    package, _, program = name.partition("=")
    return Package(package, lambda: find_program(program or package) is not None)


DOCKER = (
    Package("docker.io", lambda: find_program("dockerd") is not None),
    program("iptables"),
)
RABBITMQ = (Package("rabbitmq-server", lambda: rabbitmq_server() is not None),)
MONGODB = (Package("libcurl4", lambda: _loads("libcurl.so.4")),)
PLAYGROUND = (Package("busybox-static", lambda: static_busybox() is not None),)


def missing(packages: Sequence[Package]) -> list[str]:
    return [package.name for package in packages if not package.present()]


def install(names: Sequence[str], privilege: Privilege, log: Path, detail: Detail) -> None:
    """
    Raises:
        MissingRight: the message has the command for an administrator.
        StackError: apt failed; the message has its last lines.
    """
    by_hand = "sudo apt-get update && sudo apt-get install -y --no-install-recommends " + " ".join(
        names
    )
    if not privilege.granted:
        raise MissingRight(
            f"{', '.join(names)} must be installed, and this user is neither root nor may use "
            f"sudo without a password. Type this, then try again:\n\n    {by_hand}\n"
        )
    if shutil.which("apt-get") is None:
        raise StackError(
            f"there is no apt-get here: install what Debian calls {', '.join(names)} "
            "by the means of this system, then try again"
        )
    lines: list[str] = []
    command = [*privilege.prefix, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C.UTF-8"]
    with (
        log.open("a") as record,
        subprocess.Popen(
            [*command, "sh", "-c", _INSTALL, "sh", *names],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
        ) as apt,
    ):
        assert apt.stdout is not None
        for line in apt.stdout:
            record.write(line)
            lines.append(line.rstrip())
            detail(line.strip())
    if apt.returncode != 0:
        tail = "\n".join(f"    {line}" for line in lines[-12:])
        raise StackError(
            f"apt-get failed (exit code {apt.returncode}), its last lines:\n{tail}\n"
            f"Try by hand:\n\n    {by_hand}\n"
        )
