"""A Docker daemon of a test's own, which it may restart, freeze and fill up."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from tempfile import mkdtemp

import docker

from deploy.local.docker_engine import Containerd, Dockerd, unmount_all
from deploy.local.errors import NotReady
from deploy.local.layout import Layout
from deploy.local.packages import find_program
from deploy.local.privilege import Privilege
from deploy.local.service import Service

START_S = 30.0


def missing() -> str:
    """Why there can be none here; empty if there can."""
    if os.geteuid() != 0:
        return "a Docker daemon of one's own needs root"
    absent = [name for name in ("containerd", "dockerd") if find_program(name) is None]
    return f"{', '.join(absent)} not installed" if absent else ""


class OwnDocker:
    def __init__(self, live_restore: bool = True, disk: str = "") -> None:
        """`disk`: the size of one of its own, e.g. `64m`."""
        self._layout = Layout(Path(mkdtemp(prefix="own-docker-")))
        self._containerd = Containerd(self._layout)
        self._dockerd = Dockerd(self._layout)
        self._live_restore = live_restore
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self.url = self._dockerd.url
        self.data = self._layout.data("docker")
        self.data.mkdir(parents=True)
        if disk:
            mount = ["mount", "-t", "tmpfs", "-o", f"size={disk}", "tmpfs", str(self.data)]
            subprocess.run(mount, check=True)

    def start(self) -> None:
        self._layout.make()
        self._run(self._containerd)
        self.start_daemon()

    def start_daemon(self) -> None:
        self._run(self._dockerd)

    def stop_daemon(self) -> None:
        """As `systemctl stop docker` does."""
        self._end(self._dockerd)

    def freeze(self) -> None:
        self._processes[self._dockerd.name].send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._processes[self._dockerd.name].send_signal(signal.SIGCONT)

    def load(self, source: docker.APIClient, image: str) -> None:
        """An image that another Docker has."""
        with self._client() as client:
            client.load_image(b"".join(source.get_image(image)))

    def close(self) -> None:
        if self._dockerd.name in self._processes:
            self.thaw()
        with contextlib.suppress(docker.errors.DockerException), self._client() as client:
            for container in client.containers(all=True):
                client.remove_container(container["Id"], force=True)
        for service in (self._dockerd, self._containerd):
            if service.name in self._processes:
                self._end(service)
        folders = (self._layout.root, self._layout.run_dir)
        unmount_all(folders, Privilege(granted=True))
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)

    def _client(self) -> contextlib.closing[docker.APIClient]:
        return contextlib.closing(docker.APIClient(base_url=self.url, version="auto"))

    def _run(self, service: Service) -> None:
        service.prepare()
        if service is self._dockerd:
            # Over the one that every stack has.
            config = self._layout.data("docker.conf") / "daemon.json"
            config.write_text(json.dumps({"live-restore": self._live_restore}))
        with self._layout.log(service.name).open("ab") as log:
            self._processes[service.name] = subprocess.Popen(
                service.command(), env=dict(service.environment()), stdout=log, stderr=log
            )
        give_up_at = time.monotonic() + START_S
        while True:
            try:
                return service.check()
            except NotReady:
                if time.monotonic() > give_up_at:
                    raise
                time.sleep(0.05)

    def _end(self, service: Service) -> None:
        process = self._processes[service.name]
        process.terminate()
        process.wait(60)
