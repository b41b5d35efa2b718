"""Broker, database and Docker of a run: those of the local stack, with names of the run's own."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import httpx
import pika
import psutil
import pymongo
from pymongo.read_concern import ReadConcern

from benchmarks.processes import listening_on
from deploy.local.errors import StackError
from deploy.local.progress import OnConsole
from deploy.local.stack import Stack
from runtime.command_line import Failed
from schemas.identifiers import new_session

Collection = pymongo.collection.Collection[dict[str, Any]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Infrastructure:
    broker_url: str
    """A virtual host of the run's own."""
    mongodb_url: str
    docker_url: str | None
    """`None`: as the docker command line finds it."""
    name: str
    """Begins the name of each of its databases."""
    folder: Path
    """For logs and states; removed at the end."""
    client: pymongo.MongoClient[dict[str, Any]]
    broker: psutil.Process | None
    database: psutil.Process | None
    """`None`: not to be seen from here."""

    def versions(self) -> dict[str, str]:
        parameters = pika.URLParameters(self.broker_url)
        with contextlib.closing(pika.BlockingConnection(parameters)) as connection:
            broker = connection._impl.server_properties["version"]
        return {
            "rabbitmq": broker if isinstance(broker, str) else broker.decode(),
            "mongodb": self.client.server_info()["version"],
        }

    def database_name(self, owner: str) -> str:
        return f"{self.name}_{owner}"

    def collection(self, owner: str, name: str) -> Collection:
        """Read as a majority has it."""
        return self.client.get_database(
            self.database_name(owner), read_concern=ReadConcern("majority")
        )[name]

    def database_url(self, owner: str, **options: str) -> str:
        """The URL with a database in its path, and these options."""
        parts = urlsplit(self.mongodb_url)
        query = {**dict(parse_qsl(parts.query)), **options}
        return urlunsplit(
            parts._replace(path=f"/{self.database_name(owner)}", query=urlencode(query))
        )


@contextlib.contextmanager
def infrastructure() -> Iterator[Infrastructure]:
    """All of it is gone afterwards, but for what was there before.

    Raises:
        Failed: it cannot be started or reached.
    """
    stack = Stack()
    was_up = stack.is_up
    try:
        stack.infra(OnConsole())
        with _named(stack) as found:
            yield found
    except StackError as error:
        raise Failed(str(error)) from error
    finally:
        if not was_up:
            stack.down(OnConsole())


@contextlib.contextmanager
def _named(stack: Stack) -> Iterator[Infrastructure]:
    env = stack.env
    management_url = env.get("LOCAL_RABBITMQ_MANAGEMENT_URL")
    if management_url is None:
        raise Failed(
            "LOCAL_BROKER_URL names a broker, but not where its management answers: set "
            "LOCAL_RABBITMQ_MANAGEMENT_URL, or unset LOCAL_BROKER_URL to get a private broker"
        )
    name = f"bench_{new_session()[-12:]}"
    mongodb_url = env["LOCAL_MONGODB_URL"]
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(mongodb_url)
    with (
        TemporaryDirectory(prefix="seekgive-bench-") as folder,
        contextlib.closing(client),
        _virtual_host(env["LOCAL_BROKER_URL"], management_url, name) as broker_url,
    ):
        host, port = client.primary or client.address or ("", 0)
        try:
            yield Infrastructure(
                broker_url=broker_url,
                mongodb_url=mongodb_url,
                docker_url=env.get("DOCKER_HOST"),
                name=name,
                folder=Path(folder),
                client=client,
                broker=_process(urlsplit(broker_url).hostname, urlsplit(broker_url).port or 5672),
                database=_process(host, port),
            )
        finally:
            for database in client.list_database_names():
                if database.startswith(name):
                    client.drop_database(database)


@contextlib.contextmanager
def _virtual_host(broker_url: str, management_url: str, name: str) -> Iterator[str]:
    user = urlsplit(broker_url).username or "guest"
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    base = f"{management_url.rstrip('/')}/api"
    try:
        with httpx.Client(base_url=base, timeout=60, trust_env=False) as http:
            http.put(f"/vhosts/{name}").raise_for_status()
            try:
                http.put(f"/permissions/{name}/{user}", json=everything).raise_for_status()
                yield urlunsplit(urlsplit(broker_url)._replace(path=f"/{name}"))
            finally:
                http.delete(f"/vhosts/{name}")
    except httpx.HTTPError as error:
        raise Failed(f"RabbitMQ's management does not do as told: {error}") from error


def _process(host: str | None, port: int) -> psutil.Process | None:
    return listening_on(port) if host in ("127.0.0.1", "localhost", "::1") else None
