"""The broker suite's links and queues, each of its own test."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pika
import pytest

from broker import Link
from schemas.identifiers import new_session
from schemas.topology import DEAD, Queue
from tests.containers import RabbitMq


@pytest.fixture
async def make_link(rabbitmq: RabbitMq) -> AsyncIterator[Callable[..., Link]]:
    """Makes links to the node, which end with the test."""
    links: list[Link] = []

    def make(*, url: str = rabbitmq.url, **settings: Any) -> Link:
        link = Link(url, name="test", **settings)
        links.append(link)
        return link

    yield make
    for link in links:
        await link.stop()


@pytest.fixture
def queue() -> Queue:
    """A durable queue of its own, not declared yet."""
    return Queue(name=f"test.{new_session()}", arguments={"x-queue-type": "quorum"})


class Witness:
    """Looks into the broker by other means than the code under test."""

    def __init__(self, url: str) -> None:
        self._url = url

    def drain(self, queue: str) -> list[tuple[pika.BasicProperties, bytes]]:
        """All messages of a queue, taken out of it."""
        messages = []
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            amqp_channel = connection.channel()
            while True:
                method, properties, body = amqp_channel.basic_get(queue, auto_ack=True)
                if method is None:
                    return messages
                messages.append((properties, body))

    def ids(self, queue: str) -> list[str]:
        return [properties.message_id for properties, _ in self.drain(queue)]

    def put(self, queue: Queue, *bodies: bytes) -> None:
        """Declare the queue and publish to it."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            amqp_channel = connection.channel()
            amqp_channel.queue_declare(queue.name, durable=True, arguments=queue.arguments)
            amqp_channel.confirm_delivery()
            for number, body in enumerate(bodies):
                amqp_channel.basic_publish(
                    "", queue.name, body, pika.BasicProperties(message_id=str(number))
                )

    def delete(self, queue: str) -> None:
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            connection.channel().queue_delete(queue)


@pytest.fixture
def witness(rabbitmq: RabbitMq) -> Witness:
    return Witness(rabbitmq.url)


@pytest.fixture
def empty_dead_queue(witness: Witness) -> Iterator[None]:
    witness.put(DEAD)
    witness.drain(DEAD.name)
    yield
    witness.drain(DEAD.name)
