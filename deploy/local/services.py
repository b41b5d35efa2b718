"""Our own services as background processes, started as an operator would: by their commands."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

import httpx
import pika
import pika.exceptions

from deploy.local.errors import NotReady
from deploy.local.layout import Layout
from deploy.local.service import Service
from schemas.topology import SUBMISSIONS

GIVER_LABEL = "seekgive.giver"
"""On each container of a giver; its value is the giver's id."""


class OwnService(Service):
    def __init__(self, name: str, shared: Mapping[str, str]) -> None:
        """`shared`: the stack's variables, which win over those of our own environment."""
        self.name = name
        self._shared = shared

    def environment(self) -> Mapping[str, str]:
        return {**os.environ, **self._shared}

    def prepare(self) -> None:
        """Nothing: all is in the environment."""


class Channel(OwnService):
    def __init__(self, shared: Mapping[str, str]) -> None:
        super().__init__("channel", shared)

    @property
    def address(self) -> str:
        return self._shared["CHANNEL_URL"]

    def command(self) -> list[str]:
        return [console_script("channel"), "serve"]

    def check(self) -> None:
        healthy(self._shared["CHANNEL_URL"])


class Seeker(OwnService):
    def __init__(self, shared: Mapping[str, str]) -> None:
        super().__init__("seeker", shared)

    def command(self) -> list[str]:
        return [console_script("seeker"), "run"]

    def check(self) -> None:
        """It has no address of its own: it is ready when it takes submissions."""
        parameters = pika.URLParameters(self._shared["SEEKER_BROKER_URL"])
        parameters.socket_timeout = parameters.stack_timeout = 5
        try:
            connection = pika.BlockingConnection(parameters)
            try:
                queue = connection.channel().queue_declare(SUBMISSIONS.name, passive=True)
            finally:
                if connection.is_open:
                    connection.close()
        except (pika.exceptions.AMQPError, OSError) as error:
            raise NotReady(f"queue {SUBMISSIONS.name}: {error!r}") from error
        if queue.method.consumer_count == 0:
            raise NotReady(f"nobody reads the queue {SUBMISSIONS.name} yet")


class Giver(OwnService):
    grace_s = 20.0

    def __init__(
        self, number: int, of: int, layout: Layout, port: int, shared: Mapping[str, str]
    ) -> None:
        """One of `of` givers, which share the host's CPUs and memory evenly."""
        super().__init__(giver_name(number), shared)
        # The clone is part of the id: givers of two clones may share one Docker engine.
        self.giver_id = f"{self.name}-{layout.stack_id}"
        self.url = f"http://127.0.0.1:{port}"
        self._port = port
        self._of = of
        self._state = layout.data(self.name)

    @property
    def address(self) -> str:
        return self.url

    def command(self) -> list[str]:
        return [console_script("giver"), "run"]

    def environment(self) -> Mapping[str, str]:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        return {
            "GIVER_CPUS": str(max(1, (os.cpu_count() or 1) // self._of)),
            "GIVER_MEMORY": str(memory // (self._of + 1)),
            **super().environment(),
            "GIVER_ID": self.giver_id,
            "GIVER_STATE_DIR": str(self._state),
            "GIVER_HTTP_PORT": str(self._port),
        }

    def prepare(self) -> None:
        self._state.mkdir(parents=True, exist_ok=True)

    def check(self) -> None:
        healthy(self.url)


def giver_name(number: int) -> str:
    return f"giver-{number}"


def console_script(name: str) -> str:
    """From the virtual environment that we run in, whether or not it is in PATH."""
    return str(Path(sys.executable).parent / name)


def healthy(url: str) -> None:
    """
    Raises:
        NotReady: `/healthz` does not answer 200.
    """
    try:
        httpx.get(f"{url}/healthz", timeout=5, trust_env=False).raise_for_status()
    except httpx.HTTPError as error:
        raise NotReady(str(error).partition("\n")[0]) from error
