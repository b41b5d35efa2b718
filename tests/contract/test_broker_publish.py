"""Publishing against a real RabbitMQ: every message ends in a confirm or a telling error."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

import pytest

from broker import Link, Publisher, Refused, Unroutable
from schemas.topology import Queue
from tests.contract.conftest import Witness


async def outcomes(futures: list[asyncio.Future[None]]) -> list[BaseException | None]:
    return await asyncio.gather(*futures, return_exceptions=True)


@pytest.fixture
async def publisher(make_link: Callable[..., Link], queue: Queue) -> Publisher:
    link = make_link(topology=(queue,))
    publisher = link.publisher(deadline_s=10)
    await link.start(timeout_s=10)
    return publisher


async def test_a_published_message_is_in_the_queue_once_it_is_confirmed(
    publisher: Publisher, queue: Queue, witness: Witness
) -> None:
    await publisher.publish(
        exchange="", routing_key=queue.name, body=b"{}", message_id="one", headers={"x-a": "b"}
    )

    ((properties, body),) = witness.drain(queue.name)
    assert body == b"{}"
    assert properties.message_id == "one"
    assert properties.user_id == "tester"
    assert properties.delivery_mode == 2
    assert properties.headers["x-a"] == "b"
    assert publisher.pending == 0


async def test_a_stream_in_one_window_arrives_whole_and_in_order(
    publisher: Publisher, queue: Queue, witness: Witness
) -> None:
    futures = [
        await publisher.send(exchange="", routing_key=queue.name, body=b"{}", message_id=str(n))
        for n in range(1000)
    ]

    assert set(await outcomes(futures)) == {None}
    assert witness.ids(queue.name) == [str(n) for n in range(1000)]


async def test_a_message_no_queue_takes_is_unroutable_and_says_where_it_went(
    publisher: Publisher,
) -> None:
    with pytest.raises(Unroutable, match=r"'one'.*routing key 'tasks\.nobody'.*NO_ROUTE"):
        await publisher.publish(
            exchange="", routing_key="tasks.nobody", body=b"{}", message_id="one"
        )


async def test_only_the_returned_messages_fail_though_all_have_the_same_id(
    publisher: Publisher, queue: Queue, witness: Witness
) -> None:
    keys = ["nobody" if n % 5 == 0 else queue.name for n in range(200)]
    futures = [
        await publisher.send(exchange="", routing_key=key, body=b"{}", message_id="same")
        for key in keys
    ]

    failed = [isinstance(outcome, Unroutable) for outcome in await outcomes(futures)]
    assert failed == [key == "nobody" for key in keys]
    assert len(witness.drain(queue.name)) == 160


async def test_an_unroutable_message_that_need_not_arrive_is_confirmed(
    publisher: Publisher,
) -> None:
    await publisher.publish(
        exchange="", routing_key="nobody", body=b"{}", message_id="one", mandatory=False
    )


async def test_a_message_the_queue_has_no_room_for_is_refused(
    make_link: Callable[..., Link], queue: Queue
) -> None:
    short = Queue(name=queue.name, arguments={"x-max-length": 1, "x-overflow": "reject-publish"})
    link = make_link(topology=(short,))
    publisher = link.publisher()
    await link.start(timeout_s=10)

    await publisher.publish(exchange="", routing_key=short.name, body=b"{}", message_id="one")
    with pytest.raises(Refused, match="'two'"):
        await publisher.publish(exchange="", routing_key=short.name, body=b"{}", message_id="two")


async def test_a_message_that_makes_the_broker_close_the_channel_fails_alone(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    link = make_link(topology=(queue,))
    publisher = link.publisher(deadline_s=10)
    await link.start(timeout_s=10)
    session = link.session
    futures = [
        await publisher.send(
            exchange="no-such-exchange" if n == 10 else "",
            routing_key=queue.name,
            body=b"{}",
            message_id=str(n),
        )
        for n in range(20)
    ]

    results = await outcomes(futures)

    culprit = results.pop(10)
    assert isinstance(culprit, Refused)
    assert "no-such-exchange" in str(culprit)
    assert set(results) == {None}
    assert set(witness.ids(queue.name)) == {str(n) for n in range(20) if n != 10}
    assert link.session == session, "the connection itself was not touched"


async def test_a_message_that_cannot_be_encoded_is_refused_and_the_next_goes_through(
    publisher: Publisher, queue: Queue, witness: Witness
) -> None:
    with pytest.raises(Refused, match="cannot be encoded"):
        await publisher.publish(exchange="", routing_key="k" * 300, body=b"{}", message_id="one")
    await publisher.publish(exchange="", routing_key=queue.name, body=b"{}", message_id="two")

    assert witness.ids(queue.name) == ["two"]


async def test_giving_up_on_a_message_does_not_use_up_the_window(
    make_link: Callable[..., Link], queue: Queue
) -> None:
    link = make_link(topology=(queue,))
    publisher = link.publisher(window=1, deadline_s=10)
    await link.start(timeout_s=10)

    for n in range(3):
        future = await publisher.send(
            exchange="", routing_key=queue.name, body=b"{}", message_id=str(n)
        )
        future.cancel()
        with suppress(asyncio.CancelledError):
            await future
    await publisher.publish(exchange="", routing_key=queue.name, body=b"{}", message_id="last")
