"""A host with a systemd of its own: a Debian tree, booted in a container of systemd's."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

from deploy.local.layout import CHECKOUT
from tests import debian

TOOLS = ("systemd-nspawn", "nsenter")
INSTALLED = (
    *("schemas", "runtime", "broker", "seeker", "giver", "channel", "deploy"),
    *("setup.cfg", "pyproject.toml", "constraints.txt", "README.md", "LICENSE"),
)
BOOT_S = 60.0
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
NOT_HERE = ("rabbitmq-server.service", "epmd.service", "epmd.socket")
"""Of the tree: ports of this host are theirs no less."""


def missing() -> str:
    """Why such a host cannot be had here; empty if it can."""
    if trouble := debian.missing():
        return trouble
    absent = [tool for tool in TOOLS if shutil.which(tool) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


class Machine:
    """Shares the network with this host. `close` ends all that runs in it."""

    def __init__(self, root: Path, docker_socket: Path) -> None:
        self._root = root
        self.docker_socket = docker_socket
        self._container: subprocess.Popen[bytes] | None = None
        self._leader = 0

    def make(self) -> None:
        """The tree, with this checkout in `/src`."""
        subprocess.run(["cp", "--archive", debian.tree(), self._root], check=True)
        for unit in NOT_HERE:
            (self._root / "etc/systemd/system" / unit).symlink_to("/dev/null")
        for name in INSTALLED:
            source, target = CHECKOUT / name, self._root / "src" / name
            target.parent.mkdir(exist_ok=True)
            if source.is_dir():
                shutil.copytree(source, target, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(source, target)
        # As this host reaches the package index, so does that one.
        shutil.copy(CERTIFICATES, self._root / CERTIFICATES.relative_to("/"))
        resolv = self._root / "etc/resolv.conf"
        resolv.unlink(missing_ok=True)
        shutil.copy("/etc/resolv.conf", resolv)
        group = str(self.docker_socket.stat().st_gid)
        command = ["chroot", str(self._root), "groupadd", "--non-unique", "--gid", group, "docker"]
        subprocess.run(command, check=True)

    def boot(self) -> None:
        folder = self.docker_socket.parent
        command = ["systemd-nspawn", "--quiet", "--boot", f"--directory={self._root}"]
        command += ["--register=no", "--keep-unit", "--resolv-conf=off", f"--bind={folder}"]
        wheels = os.environ.get("PIP_FIND_LINKS", "")
        if wheels and Path(wheels).is_dir():
            command.append(f"--bind-ro={wheels}")
        self._container = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        until = time.monotonic() + BOOT_S
        while self._state() not in ("running", "degraded"):
            if time.monotonic() > until or self._container.poll() is not None:
                raise RuntimeError(f"the tree did not boot: {self._state() or 'no systemd'}")
            time.sleep(0.2)

    def run(self, *command: str, check: bool = True) -> str:
        """What a command there prints; its errors are among that."""
        enter = ["nsenter", "--target", str(self._leader), "--all", "env", "-i", *self._env()]
        ended = subprocess.run(
            [*enter, *command],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if check and ended.returncode != 0:
            line = " ".join(command)
            raise AssertionError(f"{line} ended with {ended.returncode}: {ended.stdout}")
        return ended.stdout

    def write(self, path: str, text: str) -> None:
        target = self._root / path.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)

    def close(self) -> None:
        if self._container is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.kill(self._leader or self._container.pid, signal.SIGKILL)
        self._container.kill()
        self._container.wait()

    def _state(self) -> str:
        assert self._container is not None
        children = Path(f"/proc/{self._container.pid}/task/{self._container.pid}/children")
        with contextlib.suppress(OSError):
            found = children.read_text().split()
            self._leader = int(found[0]) if found else 0
        if not self._leader:
            return ""
        return self.run("systemctl", "is-system-running", check=False).strip()

    def _env(self) -> list[str]:
        env = {name: value for name, value in os.environ.items() if name.startswith("PIP_")}
        env["PIP_CERT"] = str(CERTIFICATES)
        env |= {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/root", "LANG": "C.UTF-8"}
        return [f"{name}={value}" for name, value in env.items()]
