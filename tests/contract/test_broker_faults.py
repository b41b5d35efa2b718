"""The broker frozen, short of memory, and killed: deadlines fire, and nothing is lost."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from itertools import count
from pathlib import Path

import pytest

from broker import ConfirmTimeout, Link, Publisher
from schemas.topology import Queue
from tests.containers import RabbitMq
from tests.contract.conftest import Witness
from tests.small_disk import MIB, small_disk


async def publish(publisher: Publisher, queue: Queue, message_id: str) -> None:
    await publisher.publish(exchange="", routing_key=queue.name, body=b"{}", message_id=message_id)


async def until(condition: Callable[[], bool], within_s: float) -> None:
    async with asyncio.timeout(within_s):
        while not condition():  # noqa: ASYNC110 - the link tells nobody when it is lost
            await asyncio.sleep(0.02)


@pytest.fixture
async def frozen_on_demand(rabbitmq: RabbitMq) -> AsyncIterator[RabbitMq]:
    """Thawed at the end whatever happened."""
    frozen = False

    class OnDemand:
        def freeze(self) -> None:
            nonlocal frozen
            rabbitmq.freeze()
            frozen = True

        def thaw(self) -> None:
            nonlocal frozen
            rabbitmq.thaw()
            frozen = False

    on_demand = OnDemand()
    yield on_demand  # type: ignore[misc]
    if frozen:
        rabbitmq.thaw()


async def test_a_frozen_broker_lets_the_deadline_fire_and_the_publisher_works_again_after(
    make_link: Callable[..., Link], queue: Queue, frozen_on_demand: RabbitMq
) -> None:
    link = make_link(topology=(queue,))
    publisher = link.publisher(deadline_s=1)
    await link.start(timeout_s=10)

    frozen_on_demand.freeze()
    began = time.monotonic()
    with pytest.raises(ConfirmTimeout, match=r"within 1 s for message 'one'.*does not answer"):
        await publish(publisher, queue, "one")
    assert 0.9 < time.monotonic() - began < 5

    frozen_on_demand.thaw()
    await publish(publisher, queue, "two")


async def test_a_full_window_holds_the_sender_back_until_there_is_room(
    make_link: Callable[..., Link], queue: Queue, frozen_on_demand: RabbitMq, witness: Witness
) -> None:
    link = make_link(topology=(queue,))
    publisher = link.publisher(window=5, deadline_s=20)
    await link.start(timeout_s=10)
    frozen_on_demand.freeze()
    handed_over = 0

    async def send_all() -> list[asyncio.Future[None]]:
        nonlocal handed_over
        futures = []
        for n in range(12):
            futures.append(
                await publisher.send(
                    exchange="", routing_key=queue.name, body=b"{}", message_id=str(n)
                )
            )
            handed_over += 1
        return futures

    sending = asyncio.create_task(send_all())
    await until(lambda: handed_over == 5, within_s=5)
    await asyncio.wait([sending], timeout=0.3)
    assert (handed_over, publisher.pending) == (5, 5)

    frozen_on_demand.thaw()
    await asyncio.gather(*await sending)
    assert witness.ids(queue.name) == [str(n) for n in range(12)]


async def test_a_sender_that_waits_for_room_in_vain_is_told_after_a_deadline(
    make_link: Callable[..., Link], queue: Queue, frozen_on_demand: RabbitMq
) -> None:
    link = make_link(topology=(queue,))
    publisher = link.publisher(window=1, deadline_s=1)
    await link.start(timeout_s=10)
    frozen_on_demand.freeze()
    sends = [asyncio.create_task(publish(publisher, queue, str(n))) for n in range(3)]

    async with asyncio.timeout(4):
        results = await asyncio.gather(*sends, return_exceptions=True)

    assert all(isinstance(result, ConfirmTimeout) for result in results)


async def test_a_frozen_broker_counts_as_lost_and_is_found_again_when_it_thaws(
    make_link: Callable[..., Link],
    queue: Queue,
    frozen_on_demand: RabbitMq,
    rabbitmq: RabbitMq,
    witness: Witness,
) -> None:
    link = make_link(url=rabbitmq.url + "?heartbeat=1", topology=(queue,))
    publisher = link.publisher()
    await link.start(timeout_s=10)

    frozen_on_demand.freeze()
    sending = asyncio.create_task(publish(publisher, queue, "one"))
    await until(lambda: not link.connected, within_s=15)
    frozen_on_demand.thaw()
    async with asyncio.timeout(20):
        await sending

    assert link.epoch == 2
    assert set(witness.ids(queue.name)) == {"one"}


async def test_a_memory_alarm_ends_publishing_by_deadline_while_another_link_consumes_on(
    make_link: Callable[..., Link], queue: Queue, rabbitmq: RabbitMq, witness: Witness
) -> None:
    witness.put(queue, b"1", b"2", b"3")
    out, into = make_link(topology=(queue,)), make_link()
    publisher = out.publisher(deadline_s=1)
    consumer = into.consumer(queue=lambda _: queue, decode=bytes, prefetch=1)
    await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "absolute", "1")
    try:
        await out.start(timeout_s=10)
        with pytest.raises(ConfirmTimeout, match="short of memory or disk"):
            await publish(publisher, queue, "blocked")
        assert out.blocked

        await into.start(timeout_s=10)
        async with asyncio.timeout(10):
            for expected in (b"1", b"2", b"3"):
                (delivery,) = await consumer.take()
                assert delivery.body == expected
                consumer.ack([delivery])
        assert not into.blocked
    finally:
        await asyncio.to_thread(rabbitmq.ctl, "set_vm_memory_high_watermark", "0.4")

    await until(lambda: not out.blocked, within_s=10)
    await publish(publisher, queue, "after")


@pytest.mark.parametrize("left_mib", [20, 0])
async def test_a_full_disk_ends_publishing_by_deadline_and_what_was_confirmed_is_there_after(
    make_link: Callable[..., Link], queue: Queue, tmp_path: Path, left_mib: int
) -> None:
    with small_disk(tmp_path / "small", megabytes=256) as disk:
        disk.folder.chmod(0o777)
        node = RabbitMq(data=disk.folder)
        try:
            await asyncio.to_thread(node.start)
            link = make_link(url=node.url, topology=(queue,))
            publisher = link.publisher(deadline_s=2)
            await link.start(timeout_s=10)
            await asyncio.to_thread(node.keep_registrations)
            confirmed: list[str] = []

            async def publish_until_refused() -> None:
                for number in count():
                    try:
                        await publish(publisher, queue, str(number))
                        confirmed.append(str(number))
                    except ConfirmTimeout as error:
                        # It looks at its disk every now and then, and until then only says nothing.
                        if "short of memory or disk" in str(error):
                            return

            publishing = asyncio.create_task(publish_until_refused())
            await until(lambda: len(confirmed) > 100, within_s=10)
            disk.fill(leave=left_mib * MIB)
            async with asyncio.timeout(60):
                await publishing
            disk.make_room()
            if left_mib == 0:
                # Its alarm came too late: the log of its quorum queues has ended, and it does not
                # begin another one by itself.
                await asyncio.to_thread(node.kill)
                await asyncio.to_thread(node.start_again)
                await until(lambda: not link.connected, within_s=30)
            await until(lambda: link.connected and not link.blocked, within_s=60)
            await publish(publisher, queue, "after")
            assert set(Witness(node.url).ids(queue.name)) >= {*confirmed, "after"}
        finally:
            await asyncio.to_thread(node.remove)


async def test_killing_the_broker_in_the_middle_of_ten_thousand_messages_loses_none(
    make_link: Callable[..., Link], queue: Queue, rabbitmq: RabbitMq
) -> None:
    count, kill_at = 10_000, 3_000
    sender, receiver = make_link(topology=(queue,)), make_link()
    publisher = sender.publisher(window=500, deadline_s=60)
    consumer = receiver.consumer(queue=lambda _: queue, decode=bytes, prefetch=500)
    await sender.start(timeout_s=10)
    await receiver.start(timeout_s=10)
    await asyncio.to_thread(rabbitmq.keep_registrations)
    confirmed: set[str] = set()
    received: set[str] = set()
    halfway = asyncio.Event()

    def on_confirm(future: asyncio.Future[None], message_id: str) -> None:
        if future.exception() is None:
            confirmed.add(message_id)
        if len(confirmed) == kill_at:
            halfway.set()

    async def send() -> None:
        futures = []
        for n in range(count):
            future = await publisher.send(
                exchange="", routing_key=queue.name, body=b"{}", message_id=str(n)
            )
            future.add_done_callback(lambda done, n=n: on_confirm(done, str(n)))  # type: ignore[misc]
            futures.append(future)
        await asyncio.gather(*futures)

    async def receive() -> None:
        while len(received) < count:
            batch = await consumer.take()
            received.update(str(delivery.message_id) for delivery in batch)
            consumer.ack(batch)

    async def strike() -> None:
        await halfway.wait()
        await asyncio.to_thread(rabbitmq.kill)
        assert len(confirmed) < count, "killed too late to prove anything"
        await asyncio.to_thread(rabbitmq.start_again)

    async with asyncio.timeout(90):
        await asyncio.gather(send(), receive(), strike())

    assert sender.epoch >= 2
    assert receiver.epoch >= 2
    everything = {str(n) for n in range(count)}
    assert confirmed == everything
    assert received == everything
