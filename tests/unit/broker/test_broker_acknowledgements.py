"""Which deliveries an acknowledgement covers, judged by a model of the broker's rule."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from pika.spec import BasicProperties

from broker import Consumer, Delivery
from schemas.topology import Queue


class Broker:
    """An amqp channel as the broker keeps it: `multiple` covers all up to the tag."""

    def __init__(self) -> None:
        self.raw = self
        self.lost = None
        self.is_open = True
        self.unacked: set[int] = set()
        self.frames = 0

    async def call(self, method: str, *_: Any, **__: Any) -> None: ...

    def add_on_cancel_callback(self, callback: Any) -> None: ...

    def basic_ack(self, tag: int, multiple: bool = False) -> None:
        self.frames += 1
        covered = {each for each in self.unacked if each <= tag} if multiple else {tag}
        assert covered & self.unacked, f"the broker closes the channel: unknown tag {tag}"
        self.unacked -= covered


async def delivered(count: int) -> tuple[Consumer[bytes], Broker, list[Delivery[bytes]]]:
    consumer = Consumer(
        "test",
        queue=lambda _: Queue(name="q"),
        decode=bytes,
        bind_to=(),
        binding_key="#",
        prefetch=count,
        batch_max=count,
        auto_ack=False,
        dead_letters=None,
    )
    broker = Broker()
    await consumer._set_up(broker, "session")  # type: ignore[arg-type]
    for tag in range(1, count + 1):
        broker.unacked.add(tag)
        method = SimpleNamespace(delivery_tag=tag, redelivered=False, exchange="", routing_key="q")
        consumer._receive(None, method, BasicProperties(), b"")
    return consumer, broker, await consumer.take()


@given(st.lists(st.lists(st.integers(0, 19), max_size=20), max_size=10))
async def test_exactly_the_given_deliveries_are_covered_in_any_order_and_repeatedly(
    batches: list[list[int]],
) -> None:
    consumer, broker, deliveries = await delivered(20)
    given_so_far: set[int] = set()

    for batch in batches:
        consumer.ack([deliveries[n] for n in batch])
        given_so_far |= {deliveries[n].tag for n in batch}
        assert broker.unacked == set(range(1, 21)) - given_so_far


async def test_a_whole_batch_takes_one_acknowledgement() -> None:
    consumer, broker, deliveries = await delivered(500)

    consumer.ack(deliveries[:200])
    consumer.ack(deliveries[200:])

    assert (broker.frames, broker.unacked) == (2, set())
