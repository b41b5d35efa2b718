"""Connecting: in time or an error that helps."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

import pytest

from broker import BrokerUnreachable, DeclarationRefused, Link
from runtime.settings import SettingsError
from schemas.topology import DURABLE, Queue
from tests.containers import RabbitMq, free_ports
from tests.contract.conftest import Witness


async def test_without_a_broker_start_gives_up_in_time_and_says_where_and_why() -> None:
    (port,) = free_ports(1)
    link = Link(f"amqp://tester:secret@127.0.0.1:{port}/", name="test")
    began = time.monotonic()

    with pytest.raises(BrokerUnreachable) as caught:
        await link.start(timeout_s=1.5)

    assert 1.4 < time.monotonic() - began < 6
    text = str(caught.value)
    assert f"amqp://tester:***@127.0.0.1:{port}/" in text
    assert "secret" not in text
    assert "Connection refused" in text
    assert "see that RabbitMQ runs there" in text


async def test_a_broker_that_accepts_but_never_answers_does_not_hold_start_up() -> None:
    # The kernel accepts for a listener that never does.
    server = socket.create_server(("127.0.0.1", 0))
    port = server.getsockname()[1]
    link = Link(f"amqp://127.0.0.1:{port}/", name="test")
    began = time.monotonic()

    with pytest.raises(BrokerUnreachable, match="within 1 s: no answer"):
        await link.start(timeout_s=1)

    assert time.monotonic() - began < 6
    server.close()


async def test_a_wrong_password_is_reported_at_once(rabbitmq: RabbitMq) -> None:
    link = Link(rabbitmq.url.replace("secret", "guess"), name="test")
    began = time.monotonic()

    with pytest.raises(BrokerUnreachable, match="refuses this user and password") as caught:
        await link.start(timeout_s=20)

    assert time.monotonic() - began < 8
    assert caught.value.permanent
    assert "guess" not in str(caught.value)


async def test_a_missing_virtual_host_is_named(rabbitmq: RabbitMq) -> None:
    link = Link(rabbitmq.url + "elsewhere", name="test")

    with pytest.raises(BrokerUnreachable, match=r"virtual host .*elsewhere.* create it") as caught:
        await link.start(timeout_s=20)

    assert caught.value.permanent


async def test_a_queue_with_other_settings_is_named_with_the_remedy(
    make_link: Callable[..., Link], queue: Queue, witness: Witness
) -> None:
    witness.put(queue)
    link = make_link(topology=(Queue(name=queue.name, arguments={"x-max-length": 5}),))

    with pytest.raises(DeclarationRefused, match=f"queue '{queue.name}'.*other settings"):
        await link.start(timeout_s=20)


@pytest.mark.parametrize("url", ["rabbit.example", "http://rabbit/", "amqp://host:port/"])
def test_what_is_no_broker_url_is_a_wrong_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="amqp://user:password@host:5672/vhost"):
        Link(url, name="test")


async def test_the_whole_durable_topology_can_be_declared_again_and_again(
    make_link: Callable[..., Link],
) -> None:
    for _ in range(2):
        await make_link(topology=DURABLE).start(timeout_s=20)


async def test_a_link_is_known_by_name_session_and_user(make_link: Callable[..., Link]) -> None:
    link = make_link()
    assert (link.connected, link.epoch, link.user) == (False, 0, "tester")
    calls = []
    link.on_connect(lambda: calls.append(link.session))

    await link.start()
    await link.wait_connected()

    assert (link.connected, link.epoch, link.blocked) == (True, 1, False)
    assert calls == [link.session]
    assert link.session
    await link.stop()
    assert not link.connected
