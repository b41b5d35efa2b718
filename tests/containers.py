"""Containers that tests run real services in.

They share the host's network on ports of their own, as a private Docker daemon may have no bridge.
"""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import tempfile
from pathlib import Path

import docker
from docker.errors import APIError, ImageNotFound, NotFound
from docker.models.containers import Container
from testcontainers.core.config import testcontainers_config
from testcontainers.core.container import DockerContainer
from testcontainers.core.wait_strategies import LogMessageWaitStrategy

from tests import debian

OFFICIAL_IMAGE = "rabbitmq:3.13"
BUILT_IMAGE = "seekgive-test-rabbitmq:bookworm"
"""Made where no image can be pulled: Debian's own RabbitMQ."""

OWNER_LABEL = "seekgive.test.pid"
"""Names the test process that a container belongs to."""

START_TIMEOUT_S = 90


class RabbitMq:
    """A RabbitMQ node in a container, which tests freeze, kill and start again."""

    def __init__(self, data: Path | None = None) -> None:
        """`data`: a folder of this host, for anybody to write, where it keeps what must last."""
        self.port, distribution_port, epmd_port = free_ports(3)
        self.url = f"amqp://tester:secret@127.0.0.1:{self.port}/"
        # A port mapper of its own, so that no other node on this host depends on this one's.
        self._definition = (
            DockerContainer(rabbitmq_image())
            .with_envs(
                RABBITMQ_NODENAME=f"test-{self.port}@localhost",
                RABBITMQ_NODE_IP_ADDRESS="127.0.0.1",
                RABBITMQ_NODE_PORT=str(self.port),
                RABBITMQ_DIST_PORT=str(distribution_port),
                ERL_EPMD_PORT=str(epmd_port),
                RABBITMQ_DEFAULT_USER="tester",
                RABBITMQ_DEFAULT_PASS="secret",
                # To the console, where the wait strategy looks for it.
                RABBITMQ_LOGS="-",
                LANG="C.UTF-8",
            )
            .with_kwargs(network_mode="host", labels={OWNER_LABEL: str(os.getpid())})
            .waiting_for(
                LogMessageWaitStrategy("Server startup complete").with_startup_timeout(
                    START_TIMEOUT_S
                )
            )
        )
        if data is not None:
            self._definition.with_volume_mapping(str(data), "/var/lib/rabbitmq/mnesia", "rw")

    def start(self) -> None:
        self._definition.start()

    def remove(self) -> None:
        with contextlib.suppress(NotFound):
            self._definition.stop()

    def kill(self) -> None:
        """SIGKILL: nothing is written or said any more."""
        self._container.kill()
        self._container.wait()

    def start_again(self) -> None:
        """Returns at once; whoever needs the broker waits for it."""
        self._container.start()

    def freeze(self) -> None:
        """Connections stay open and nothing answers, as under SIGSTOP."""
        self._container.pause()

    def thaw(self) -> None:
        self._container.unpause()

    def ctl(self, *arguments: str) -> str:
        """Run `rabbitmqctl`."""
        code, output = self._container.exec_run(["rabbitmqctl", "--quiet", *arguments])
        text = output.decode()
        if code != 0:
            raise RuntimeError(f"rabbitmqctl {' '.join(arguments)} ended with {code}: {text}")
        return text

    def keep_registrations(self) -> None:
        """RabbitMQ 3.10 keeps the registration of a new quorum queue in memory at first. A node
        killed before that is on disk starts the queue anew, empty and without a leader, whatever it
        had confirmed. No client can mend that.
        """
        self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")

    @property
    def _container(self) -> Container:
        return self._definition.get_wrapped_container()


def rabbitmq_image() -> str:
    """TEST_RABBITMQ_IMAGE, or the official image, or where that cannot be pulled, one made here."""
    client = docker.from_env()
    try:
        if named := os.environ.get("TEST_RABBITMQ_IMAGE"):
            return named
        for image in (OFFICIAL_IMAGE, BUILT_IMAGE):
            with contextlib.suppress(ImageNotFound):
                client.images.get(image)
                return image
        try:
            client.images.pull(OFFICIAL_IMAGE)
        except APIError:
            _build_rabbitmq_image(client)
            return BUILT_IMAGE
        return OFFICIAL_IMAGE
    finally:
        client.close()


def _build_rabbitmq_image(client: docker.DockerClient) -> None:
    if trouble := debian.missing():
        raise RuntimeError(
            f"{OFFICIAL_IMAGE} cannot be pulled, and none can be built here ({trouble}): run"
            " as root with debootstrap installed, or name an image in TEST_RABBITMQ_IMAGE"
        )
    tree = debian.tree()
    with debian.alone(), tempfile.TemporaryDirectory(prefix="rabbitmq-image-") as folder:
        with contextlib.suppress(ImageNotFound):  # Another process made it meanwhile.
            client.images.get(BUILT_IMAGE)
            return
        archive = Path(folder, "root.tar")
        subprocess.run(
            [
                "tar",
                f"--directory={tree}",
                "--exclude=./proc/*",
                "--exclude=./sys/*",
                f"--file={archive}",
                "--create",
                ".",
            ],
            check=True,
        )
        repository, _, tag = BUILT_IMAGE.partition(":")
        client.api.import_image_from_file(
            str(archive), repository=repository, tag=tag, changes=['CMD ["rabbitmq-server"]']
        )


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now; all different."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [each.getsockname()[1] for each in sockets]
    for each in sockets:
        each.close()
    return ports


def prepare() -> None:
    """Remove what test processes left that were killed before they could."""
    # Its own cleaner is one more image to pull, and needs a bridge.
    testcontainers_config.ryuk_disabled = True
    client = docker.from_env()
    try:
        for container in client.containers.list(all=True, filters={"label": OWNER_LABEL}):
            if not Path("/proc", container.labels[OWNER_LABEL]).exists():
                with contextlib.suppress(NotFound):
                    container.remove(force=True, v=True)
    finally:
        client.close()
