"""The channel as a real process, and the test's own ends of the wire."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pika
import pymongo
import pytest
from pymongo.database import Database

from broker import Link
from schemas.identifiers import new_session
from schemas.result import Result, StoredBatch, StoredResult
from schemas.topology import (
    CHANNEL_RESULTS,
    DEAD,
    DURABLE,
    RESULTS,
    SEEKER_STORED,
    STORED,
    result_key,
)
from tests.integration.channel.processes import ChannelProcess, Mongod


@pytest.fixture
def database_name(mongodb_url: str) -> Iterator[str]:
    name = f"test-{new_session()}"
    yield name
    with pymongo.MongoClient(mongodb_url) as client:
        client.drop_database(name)


@pytest.fixture
def database(mongodb_url: str, database_name: str) -> Iterator[Database[dict[str, Any]]]:
    """What lies there, seen past the service."""
    with pymongo.MongoClient(mongodb_url) as client:
        yield client[database_name]


@pytest.fixture
async def mongod(tmp_path: Path) -> AsyncIterator[Mongod]:
    data = tmp_path / "mongod"
    data.mkdir()
    process = Mongod(tmp_path, data)
    await process.start()
    yield process
    process.end()


@pytest.fixture
def make_channel(
    tmp_path_factory: pytest.TempPathFactory,
    broker_url: str,
    mongodb_url: str,
    database_name: str,
) -> Iterator[Callable[..., ChannelProcess]]:
    """Makes services, not started yet, on the test's broker and database; they end with it."""
    made: list[ChannelProcess] = []

    def make(mongodb: str = mongodb_url) -> ChannelProcess:
        folder = tmp_path_factory.mktemp("channel")
        process = ChannelProcess(folder, broker_url, mongodb, database_name)
        made.append(process)
        return process

    yield make
    for process in made:
        process.end()


@pytest.fixture
async def channel(make_channel: Callable[..., ChannelProcess]) -> ChannelProcess:
    process = make_channel()
    await process.start()
    return process


class Wire:
    """Sends results as givers do, and hears what the seeker hears."""

    def __init__(self, url: str) -> None:
        self._url = url
        self.link = Link(url, name="test", topology=DURABLE)
        self.publisher = self.link.publisher()
        self._stored = self.link.consumer(queue=lambda _: SEEKER_STORED, decode=StoredBatch.decode)

    async def send(self, results: Iterable[Result]) -> None:
        confirms = [
            await self.publisher.send(
                exchange=RESULTS.name,
                routing_key=result_key(result.giver_id, result.task_id),
                body=result.encode(),
                message_id=result.result_id,
            )
            for result in results
        ]
        for confirm in confirms:
            await confirm

    async def send_raw(self, body: bytes, routing_key: str) -> None:
        await self.publisher.publish(
            exchange=RESULTS.name, routing_key=routing_key, body=body, message_id="raw"
        )

    async def told(self) -> list[StoredResult]:
        """The next summaries, however many."""
        batch = await self._stored.take()
        self._stored.ack(batch)
        return [result for delivery in batch for result in delivery.message.results]

    async def told_of_all(self, results: Iterable[Result]) -> list[StoredResult]:
        """Summaries, until each of `results` was named."""
        missing = {result.result_id for result in results}
        heard: list[StoredResult] = []
        while missing:
            news = await self.told()
            heard += news
            missing -= {each.result_id for each in news}
        return heard

    def waiting(self) -> int:
        """Results in the queue that no consumer holds."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            declared = connection.channel().queue_declare(CHANNEL_RESULTS.name, passive=True)
            return int(declared.method.message_count)

    def dead(self) -> list[tuple[dict[str, Any], bytes]]:
        """Headers and bodies in quarantine, which is empty then."""
        found = []
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            amqp_channel = connection.channel()
            while True:
                method, properties, body = amqp_channel.basic_get(DEAD.name, auto_ack=True)
                if method is None:
                    return found
                found.append((properties.headers, body))

    def unbind_stored(self) -> None:
        """Summaries reach nobody any more."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            connection.channel().queue_unbind(SEEKER_STORED.name, STORED.name, "#")


@pytest.fixture
async def wire(broker_url: str) -> AsyncIterator[Wire]:
    wire = Wire(broker_url)
    await wire.link.start(30)
    yield wire
    await wire.link.stop()
