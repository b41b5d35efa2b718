"""Consuming from a real RabbitMQ: batches, exact acknowledgements, coming back after any loss."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import suppress

import pytest

from broker import Consumer, Delivery, Link, LinkStopped, Publisher, Refused, Unroutable
from schemas.base import MalformedMessage
from schemas.identifiers import new_session
from schemas.topology import DEAD, Exchange, Queue
from tests.containers import RabbitMq
from tests.contract.conftest import Witness


def decode(body: bytes) -> int:
    try:
        return int(json.loads(body)["n"])
    except (ValueError, KeyError) as error:
        raise MalformedMessage(f"Number: {error!r}") from error


def encode(n: int) -> bytes:
    return json.dumps({"n": n}).encode()


async def take(consumer: Consumer[int], count: int) -> list[Delivery[int]]:
    """Exactly `count` deliveries, in batches as they come."""
    deliveries: list[Delivery[int]] = []
    async with asyncio.timeout(20):
        while len(deliveries) < count:
            deliveries += await consumer.take()
    assert len(deliveries) == count
    return deliveries


def numbers(deliveries: list[Delivery[int]]) -> list[int]:
    return [delivery.message for delivery in deliveries]


async def start(link: Link, queue: Queue, **settings: object) -> Consumer[int]:
    consumer = link.consumer(queue=lambda _: queue, decode=decode, **settings)  # type: ignore[arg-type]
    await link.start(timeout_s=10)
    return consumer


async def publish_as_soon_as_taken(publisher: Publisher, routing_key: str, n: int) -> None:
    """A queue that is just going refuses, one that is gone is no route."""
    async with asyncio.timeout(10):
        while True:
            with suppress(Unroutable, Refused):
                await publisher.publish(
                    exchange="", routing_key=routing_key, body=encode(n), message_id=str(n)
                )
                return


async def test_what_waits_is_handed_over_in_batches_in_order(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    witness.put(queue, *map(encode, range(300)))
    link = make_link()
    consumer = await start(link, queue, prefetch=300, batch_max=50)

    batches = []
    async with asyncio.timeout(10):
        while sum(map(len, batches)) < 300:
            batches.append(await consumer.take())

    assert max(map(len, batches)) == 50
    flat = [delivery for batch in batches for delivery in batch]
    assert numbers(flat) == list(range(300))
    first = flat[0]
    assert (first.body, first.message_id, first.routing_key) == (encode(0), "0", queue.name)
    assert not first.redelivered


async def test_acknowledged_batches_leave_the_queue_and_prefetch_makes_room(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    witness.put(queue, *map(encode, range(500)))
    link = make_link()
    consumer = await start(link, queue, prefetch=100)

    seen = []
    async with asyncio.timeout(10):
        while len(seen) < 500:
            batch = await consumer.take()
            assert len(batch) <= 100
            seen += numbers(batch)
            consumer.ack(batch)
    await link.stop()

    assert seen == list(range(500))
    assert witness.drain(queue.name) == []


async def test_exactly_the_given_deliveries_are_acknowledged(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    witness.put(queue, *map(encode, range(20)))
    link = make_link()
    consumer = await start(link, queue)
    deliveries = await take(consumer, 20)

    consumer.ack(deliveries[:5])
    consumer.ack([deliveries[n] for n in (16, 12, 8)])
    consumer.ack(deliveries[:9])  # Again, and those between.
    await link.stop()

    left = {int(properties.message_id) for properties, _ in witness.drain(queue.name)}
    assert left == {9, 10, 11, 13, 14, 15, 17, 18, 19}


async def test_acknowledgements_of_a_lost_connection_are_dropped_and_the_messages_come_again(
    make_link: Callable[..., Link], queue: Queue, witness: Witness, rabbitmq: RabbitMq
) -> None:
    witness.put(queue, *map(encode, range(10)))
    link = make_link()
    consumer = await start(link, queue)
    stale = await take(consumer, 10)

    await asyncio.to_thread(rabbitmq.ctl, "close_all_connections", "test")
    again = await take(consumer, 10)
    epoch = link.epoch
    consumer.ack(stale)  # The tags are valid on the new channel, but mean other messages there.
    consumer.ack(again[:4])
    await link.stop()

    assert epoch == 2
    assert numbers(again) == list(range(10))
    assert all(delivery.redelivered for delivery in again)
    assert len(witness.drain(queue.name)) == 6


@pytest.mark.usefixtures("empty_dead_queue")
async def test_a_malformed_body_is_quarantined_once_with_its_reason_while_the_rest_flows(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    witness.put(queue, encode(0), b"\xff not json", encode(2), b'{"m": 1}', encode(4))
    link = make_link()
    consumer = await start(link, queue, prefetch=2)

    seen = []
    async with asyncio.timeout(10):
        while len(seen) < 3:
            batch = await consumer.take()
            seen += numbers(batch)
            consumer.ack(batch)
    dead = []
    async with asyncio.timeout(10):
        while len(dead) < 2:
            dead += await asyncio.to_thread(witness.drain, DEAD.name)
    await link.stop()

    assert seen == [0, 2, 4]
    assert [body for _, body in dead] == [b"\xff not json", b'{"m": 1}']
    headers = dead[1][0].headers
    assert headers["x-error"] == "Number: KeyError('n')"
    assert headers["x-queue"] == queue.name
    assert headers["x-exchange"] == ""
    assert headers["x-routing-key"] == queue.name
    assert dead[1][0].message_id == "3"
    assert witness.drain(DEAD.name) == []
    assert witness.drain(queue.name) == [], "acknowledged once they were safe"


@pytest.mark.usefixtures("empty_dead_queue")
async def test_a_decoder_that_breaks_quarantines_the_message_and_goes_on(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    def broken(body: bytes) -> int:
        return 1 // int(body)

    witness.put(queue, b"0", b"1")
    link = make_link()
    consumer = link.consumer(queue=lambda _: queue, decode=broken)
    await link.start(timeout_s=10)

    (delivery,) = await take(consumer, 1)
    assert delivery.message == 1
    dead = []
    async with asyncio.timeout(10):
        while not dead:
            dead = await asyncio.to_thread(witness.drain, DEAD.name)
    assert dead[0][0].headers["x-error"].startswith("ZeroDivisionError")


@pytest.mark.usefixtures("empty_dead_queue")
async def test_without_quarantine_a_malformed_body_is_dropped(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    witness.put(queue, b"bad", encode(1))
    link = make_link()
    consumer = await start(link, queue, quarantine=False)

    consumer.ack(await take(consumer, 1))
    await link.stop()

    assert witness.drain(queue.name) == []
    assert witness.drain(DEAD.name) == []


async def test_a_deleted_queue_is_made_and_consumed_again(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    link = make_link()
    publisher = link.publisher()
    consumer = await start(link, queue)
    session = link.session
    await publisher.publish(exchange="", routing_key=queue.name, body=encode(1), message_id="1")
    held = await take(consumer, 1)

    await asyncio.to_thread(witness.delete, queue.name)
    await publish_as_soon_as_taken(publisher, queue.name, 2)
    (delivery,) = await take(consumer, 1)
    consumer.ack(held)
    consumer.ack([delivery])
    await link.stop()

    assert delivery.message == 2
    assert link.session == session, "the connection itself was not touched"
    assert witness.drain(queue.name) == []


@pytest.fixture
async def hasty_broker(rabbitmq: RabbitMq) -> AsyncIterator[None]:
    """Closes an amqp channel that keeps a delivery for half a second."""
    hasty = (
        "application:set_env(rabbit, consumer_timeout, 500), "
        "application:set_env(rabbit, channel_tick_interval, 200)."
    )
    usual = (
        "application:set_env(rabbit, consumer_timeout, 1800000), "
        "application:set_env(rabbit, channel_tick_interval, 60000)."
    )
    await asyncio.to_thread(rabbitmq.ctl, "eval", hasty)
    yield
    await asyncio.to_thread(rabbitmq.ctl, "eval", usual)


@pytest.mark.usefixtures("hasty_broker")
async def test_an_amqp_channel_closed_by_the_broker_is_opened_again_alone(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    witness.put(queue, encode(1))
    link = make_link()
    consumer = await start(link, queue)
    session = link.session
    held = await take(consumer, 1)

    again = await take(consumer, 1)  # Comes once the broker has lost its patience.
    consumer.ack(held)
    consumer.ack(again)
    await link.stop()

    assert numbers(again) == [1]
    assert again[0].epoch != held[0].epoch
    assert link.session == session, "the connection itself was not touched"
    assert witness.drain(queue.name) == []


async def test_session_queues_get_a_new_name_on_every_connect(
    make_link: Callable[..., Link], rabbitmq: RabbitMq
) -> None:
    base = new_session()
    link = make_link()
    publisher = link.publisher()
    consumer = link.consumer(
        queue=lambda session: Queue(name=f"{base}.{session}", exclusive=True), decode=decode
    )
    connects = asyncio.Queue[str]()
    link.on_connect(lambda: connects.put_nowait(link.session))
    await link.start(timeout_s=10)
    first = await connects.get()

    await asyncio.to_thread(rabbitmq.ctl, "close_all_connections", "test")
    async with asyncio.timeout(10):
        second = await connects.get()

    assert first != second
    with pytest.raises(Unroutable):
        await publisher.publish(
            exchange="", routing_key=f"{base}.{first}", body=encode(1), message_id="1"
        )
    await publisher.publish(
        exchange="", routing_key=f"{base}.{second}", body=encode(2), message_id="2"
    )
    assert numbers(await take(consumer, 1)) == [2]


async def test_readers_bound_to_a_fanout_each_get_their_copy(
    make_link: Callable[..., Link],
) -> None:
    fanout = Exchange(name=f"test.{new_session()}", kind="fanout")
    links = [make_link(), make_link()]
    readers = [
        link.consumer(
            queue=lambda session: Queue(name=f"copy.{session}", exclusive=True),
            decode=decode,
            bind_to=(fanout,),
            auto_ack=True,
        )
        for link in links
    ]
    publisher = links[0].publisher()
    for link in links:
        await link.start(timeout_s=10)

    for n in range(3):
        await publisher.publish(
            exchange=fanout.name, routing_key="any", body=encode(n), message_id=str(n)
        )

    for reader in readers:
        assert numbers(await take(reader, 3)) == [0, 1, 2]


async def test_whoever_waits_for_messages_is_released_when_the_link_stops(
    make_link: Callable[..., Link], queue: Queue
) -> None:
    link = make_link()
    consumer = await start(link, queue)
    waiting = asyncio.create_task(consumer.take())
    await asyncio.sleep(0)

    await link.stop()

    with pytest.raises(LinkStopped):
        await waiting
