"""A RabbitMQ node of our own, on loopback only, beside whatever else runs here."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Mapping

import httpx

from deploy.local.errors import NotReady
from deploy.local.layout import Layout
from deploy.local.packages import find_program, rabbitmq_server
from deploy.local.service import Service, bare_environment
from deploy.local.state import write_atomically

_CONFIG = """listeners.tcp.local = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {management}
prometheus.tcp.ip = 127.0.0.1
prometheus.tcp.port = {prometheus}
log.console.level = info
"""


class Epmd(Service):
    """Erlang's port mapper. Started apart, since one started by the node would outlive it."""

    name = "epmd"
    at_once = True
    grace_s = 5.0

    def __init__(self, layout: Layout, port: int) -> None:
        self._home = layout.data("rabbitmq")
        self.port = port

    def prepare(self) -> None:
        self._home.mkdir(parents=True, exist_ok=True)

    def command(self) -> list[str]:
        program = find_program("epmd") or "epmd"
        return [program, "-port", str(self.port), "-address", "127.0.0.1"]

    def environment(self) -> Mapping[str, str]:
        return bare_environment(str(self._home))

    def check(self) -> None:
        answers(self.port)


class RabbitMQ(Service):
    name = "rabbitmq"
    patience_s = 120.0
    grace_s = 30.0

    def __init__(self, layout: Layout, epmd: Epmd, ports: Mapping[str, int]) -> None:
        """`ports`: amqp, management, prometheus, distribution."""
        self._home = layout.data("rabbitmq")
        self._node = f"seekgive-{layout.stack_id}@localhost"
        self._epmd = epmd
        self._ports = ports
        self.url = f"amqp://guest:guest@127.0.0.1:{ports['amqp']}/"
        self.management_url = f"http://guest:guest@127.0.0.1:{ports['management']}"
        self.prometheus_url = f"http://127.0.0.1:{ports['prometheus']}/metrics"

    @property
    def address(self) -> str:
        return self.url

    def prepare(self) -> None:
        write_atomically(self._home / "rabbitmq.conf", _CONFIG.format_map(self._ports))
        write_atomically(
            self._home / "enabled_plugins", "[rabbitmq_management,rabbitmq_prometheus].\n"
        )
        # Keeps /etc/rabbitmq/rabbitmq-env.conf out.
        write_atomically(self._home / "rabbitmq-env.conf", "")

    def command(self) -> list[str]:
        return [str(rabbitmq_server() or "rabbitmq-server")]

    def environment(self) -> Mapping[str, str]:
        home = self._home
        return {
            **bare_environment(str(home)),
            "RABBITMQ_NODENAME": self._node,
            "RABBITMQ_DIST_PORT": str(self._ports["distribution"]),
            "RABBITMQ_CONF_ENV_FILE": str(home / "rabbitmq-env.conf"),
            "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
            "RABBITMQ_ADVANCED_CONFIG_FILE": str(home / "advanced.config"),
            "RABBITMQ_GENERATED_CONFIG_DIR": str(home / "generated"),
            "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
            "RABBITMQ_MNESIA_BASE": str(home / "data"),
            "RABBITMQ_LOG_BASE": str(home / "log"),
            "RABBITMQ_LOGS": "-",
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_PORT": str(self._epmd.port),
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            # The script then becomes the node instead of watching over it: one process, one pid.
            "RUNNING_UNDER_SYSTEMD": "true",
        }

    def check(self) -> None:
        answers(self._ports["amqp"])
        try:
            httpx.get(
                f"{self.management_url}/api/whoami", timeout=2, trust_env=False
            ).raise_for_status()
        except httpx.HTTPError as error:
            raise NotReady(f"its management does not answer yet ({error})") from error


def answers(port: int) -> None:
    """
    Raises:
        NotReady: nobody listens there.
    """
    try:
        with contextlib.closing(socket.create_connection(("127.0.0.1", port), timeout=2)):
            return
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise NotReady(f"port {port}: {reason}") from error
