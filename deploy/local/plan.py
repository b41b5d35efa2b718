"""Which services a stack consists of, given its state. Starts nothing."""

from __future__ import annotations

from collections.abc import Mapping

from deploy.local import ports
from deploy.local.docker_engine import SYSTEM_SOCKET, Containerd, Dockerd
from deploy.local.errors import StackError
from deploy.local.layout import Layout
from deploy.local.mongodb import Mongod
from deploy.local.rabbitmq import Epmd, RabbitMQ
from deploy.local.service import Service
from deploy.local.services import Channel, Giver, Seeker, giver_name
from deploy.local.state import StackState

PORTS_OF = {
    "epmd": ("epmd",),
    "rabbitmq": ("amqp", "management", "prometheus", "distribution"),
    "mongodb": ("mongodb",),
    "channel": ("channel",),
}


class Plan:
    def __init__(self, layout: Layout, state: StackState) -> None:
        self._layout = layout
        self._state = state

    def port(self, name: str) -> int:
        """The one it had before, or a free one; the caller saves the state."""
        taken = self._state.ports
        if name not in taken:
            taken[name] = ports.choose(taken.values())
        return taken[name]

    def ports_of(self, service: str) -> tuple[str, ...]:
        return PORTS_OF.get(service, (service,) if service.startswith("giver-") else ())

    @property
    def dockerd(self) -> Dockerd:
        return Dockerd(self._layout)

    @property
    def rabbitmq(self) -> RabbitMQ:
        chosen = {name: self.port(name) for name in PORTS_OF["rabbitmq"]}
        return RabbitMQ(self._layout, self._epmd, chosen)

    @property
    def mongod(self) -> Mongod:
        return Mongod(self._layout, self.port("mongodb"))

    @property
    def _epmd(self) -> Epmd:
        return Epmd(self._layout, self.port("epmd"))

    def infra(self) -> dict[str, Service]:
        """In starting order."""
        state = self._state
        found: list[Service] = []
        if state.docker is not None and state.docker.private:
            found += [Containerd(self._layout), self.dockerd]
        if state.broker is not None and state.broker.private:
            found += [self._epmd, self.rabbitmq]
        if state.mongodb is not None and state.mongodb.private:
            found.append(self.mongod)
        return {service.name: service for service in found}

    def givers(self) -> dict[str, Giver]:
        of = self._state.givers
        shared = self.variables() if of else {}
        return {
            giver_name(number): Giver(
                number, of, self._layout, self.port(giver_name(number)), shared
            )
            for number in range(1, of + 1)
        }

    def own(self) -> dict[str, Service]:
        """In starting order; empty while only the infrastructure is up."""
        if not self._state.givers:
            return {}
        shared = self.variables()
        return {"channel": Channel(shared), "seeker": Seeker(shared), **self.givers()}

    def all(self) -> dict[str, Service]:
        return {**self.infra(), **self.own()}

    def variables(self, management_url: str | None = None) -> Mapping[str, str]:
        """What the stack is reached by: the contents of `.local/env`.

        Args:
            management_url: of a broker that is not ours.

        Raises:
            StackError: the stack is not up.
        """
        state = self._state
        if state.broker is None or state.mongodb is None or state.docker is None:
            raise StackError("the local stack is not up: start it with `make up`")
        channel = self.port("channel")
        url = f"http://127.0.0.1:{channel}"
        variables = {
            "SEEKER_BROKER_URL": state.broker.url,
            "SEEKER_MONGODB_URL": state.mongodb.url,
            "SEEKER_DATABASE": "seeker",
            "SEEKER_CHANNEL_URL": url,
            "GIVER_BROKER_URL": state.broker.url,
            "SEEKER_ARTIFACTS_KEY": state.artifacts_key,
            "CHANNEL_ARTIFACTS_KEY": state.artifacts_key,
            "CHANNEL_BROKER_URL": state.broker.url,
            "CHANNEL_MONGODB_URL": state.mongodb.url,
            "CHANNEL_DATABASE": "channel",
            "CHANNEL_HTTP_PORT": str(channel),
            "CHANNEL_URL": url,
            "LOCAL_BROKER_URL": state.broker.url,
            "LOCAL_MONGODB_URL": state.mongodb.url,
        }
        if state.givers:
            variables["GIVER_URL"] = f"http://127.0.0.1:{self.port(giver_name(1))}"
        if state.docker.url != SYSTEM_SOCKET:
            variables["DOCKER_HOST"] = variables["GIVER_DOCKER_HOST"] = state.docker.url
        if state.broker.private:
            management_url = self.rabbitmq.management_url
            variables["LOCAL_RABBITMQ_PROMETHEUS_URL"] = self.rabbitmq.prometheus_url
        if management_url:
            variables["LOCAL_RABBITMQ_MANAGEMENT_URL"] = management_url
        return variables
