"""A Docker engine: one that is there, or a private one.

Private engines stand side by side because nothing of theirs is shared: data, sockets, containerd,
and neither bridge nor packet filter (containers here have no network or the host's).
"""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterable, Mapping
from pathlib import Path

import docker
import docker.errors

from deploy.local.errors import NotReady
from deploy.local.layout import Layout
from deploy.local.packages import find_program
from deploy.local.privilege import Privilege
from deploy.local.service import Service, bare_environment
from deploy.local.state import write_atomically

SYSTEM_SOCKET = "unix:///var/run/docker.sock"

_CONTAINERD_CONFIG = """version = 2
root = "{data}/containerd"
state = "{run}/containerd"
disabled_plugins = ["io.containerd.grpc.v1.cri"]

[grpc]
address = "{run}/containerd.sock"

[plugins."io.containerd.internal.v1.opt"]
path = "{data}/containerd-opt"
"""


def connect(host: str, timeout_s: int = 60) -> docker.DockerClient:
    """A client for `host`; TLS settings come from DOCKER_TLS_VERIFY and DOCKER_CERT_PATH."""
    return docker.from_env(timeout=timeout_s, environment={**os.environ, "DOCKER_HOST": host})


def problem(host: str) -> str | None:
    """Why the engine at `host` cannot be used, or `None`."""
    try:
        if host.startswith("unix://"):
            # docker-py says it in three lines, and leaves its socket open.
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
                probe.connect(host.removeprefix("unix://"))
        with contextlib.closing(connect(host, timeout_s=5)) as client:
            client.ping()
    except OSError as error:
        return error.strerror or str(error)
    except docker.errors.DockerException as error:
        return str(error)
    return None


def remove_containers(host: str, labels: Iterable[str] | None) -> None:
    """Remove the containers, in whatever state, that have one of `labels`; `None`: all."""
    with contextlib.closing(connect(host)) as client:
        for label in [None] if labels is None else labels:
            for container in client.containers.list(
                all=True, ignore_removed=True, filters={"label": label} if label else None
            ):
                # Gone, or just being removed by somebody else.
                with contextlib.suppress(docker.errors.NotFound, docker.errors.APIError):
                    container.remove(force=True, v=True)


class Containerd(Service):
    """Our own even where the system runs one: dockerd would otherwise join that."""

    name = "containerd"
    privileged = True
    at_once = True

    def __init__(self, layout: Layout) -> None:
        self._data = layout.data("docker")
        self._run = layout.run_dir
        self._config = layout.data("docker.conf") / "containerd.toml"

    def prepare(self) -> None:
        # By us, as root would let nobody look how much room is left there.
        self._data.mkdir(parents=True, exist_ok=True)
        text = _CONTAINERD_CONFIG.format(data=self._data, run=self._run)
        write_atomically(self._config, text)

    def command(self) -> list[str]:
        program = find_program("containerd") or "containerd"
        return [program, "--config", str(self._config), "--log-level", "warn"]

    def environment(self) -> Mapping[str, str]:
        return bare_environment("/root")

    def check(self) -> None:
        if not (self._run / "containerd.sock").is_socket():
            raise NotReady("its socket is not there yet")


class Dockerd(Service):
    name = "dockerd"
    privileged = True
    grace_s = 30.0

    def __init__(self, layout: Layout) -> None:
        self._data = layout.data("docker")
        self._run = layout.run_dir
        self._config = layout.data("docker.conf") / "daemon.json"
        self.url = f"unix://{self._run}/docker.sock"

    @property
    def address(self) -> str:
        return self.url

    def prepare(self) -> None:
        # Keeps /etc/docker/daemon.json out.
        write_atomically(self._config, "{}\n")

    def command(self) -> list[str]:
        return [
            find_program("dockerd") or "dockerd",
            f"--config-file={self._config}",
            f"--host={self.url}",
            f"--group={os.getegid()}",
            f"--containerd={self._run}/containerd.sock",
            f"--data-root={self._data}/root",
            f"--exec-root={self._run}/docker",
            f"--pidfile={self._run}/docker.pid",
            "--bridge=none",
            "--iptables=false",
            "--ip-forward=false",
            "--ip-masq=false",
            "--userland-proxy=false",
            "--log-level=warn",
        ]

    def environment(self) -> Mapping[str, str]:
        return bare_environment("/root")

    def check(self) -> None:
        if not (self._run / "docker.sock").is_socket():
            raise NotReady("its socket is not there yet")
        trouble = problem(self.url)
        if trouble:
            raise NotReady(trouble)


def unmount_all(folders: Iterable[Path], privilege: Privilege) -> None:
    """What a killed engine left mounted (overlays, network namespaces), innermost first."""
    prefixes = tuple(f"{folder}/" for folder in folders)
    mounts = [
        line.split()[4].encode().decode("unicode_escape")
        for line in Path("/proc/self/mountinfo").read_text().splitlines()
    ]
    for mount in reversed([mount for mount in mounts if mount.startswith(prefixes)]):
        privilege.run(["umount", "--lazy", mount])
