"""A private Docker, RabbitMQ and MongoDB, beside whatever else runs on this machine."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

import pika
import pymongo
import pytest

from deploy.local import image, packages, processes
from deploy.local.docker_engine import connect
from deploy.local.privilege import Privilege
from deploy.local.stack import Stack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(os.geteuid() != 0, reason="a private Docker engine needs root"),
]


@pytest.fixture
def stack(tmp_path: Path) -> Iterator[Stack]:
    stack = Stack(tmp_path, environ={"LOCAL_DOCKER": "private"})
    yield stack
    stack.down()


def publish(url: str, body: bytes) -> None:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        amqp_channel = connection.channel()
        amqp_channel.confirm_delivery()
        amqp_channel.queue_declare("kept", durable=True)
        amqp_channel.basic_publish(
            "", "kept", body, pika.BasicProperties(delivery_mode=2), mandatory=True
        )


def fetch(url: str) -> bytes | None:
    with contextlib.closing(pika.BlockingConnection(pika.URLParameters(url))) as connection:
        body: bytes | None = connection.channel().basic_get("kept", auto_ack=True)[2]
        return body


def test_data_survive_and_processes_do_not(stack: Stack) -> None:
    stack.infra()
    env = stack.env
    publish(env["SEEKER_BROKER_URL"], b"a message")
    with pymongo.MongoClient[dict[str, object]](env["SEEKER_MONGODB_URL"]) as client:
        client["example"]["kept"].with_options(
            write_concern=pymongo.WriteConcern("majority")
        ).insert_one({"_id": 1})
    busybox = packages.static_busybox()
    assert busybox is not None
    image.build(env["DOCKER_HOST"], busybox)
    with contextlib.closing(connect(env["DOCKER_HOST"])) as docker:
        container = docker.containers.run(
            image.NAME, ["sh", "-c", "exit $((6*7))"], network_mode="none", detach=True
        )
        assert container.wait()["StatusCode"] == 42
        docker.containers.run(image.NAME, ["sleep", "600"], network_mode="none", detach=True)
    # The engine dies with a container running: nobody is left to end it but us.
    stack.kill("dockerd")
    assert {s.name for s in stack.status() if s.state == "dead"} == {"dockerd"}
    stack.kill("containerd")
    stack.down()

    mark, privilege = str(stack.layout.home), Privilege.of_this_user()
    assert processes.marked(mark, privilege) == []
    assert not stack.layout.run_dir.exists()
    assert mark not in Path("/proc/self/mountinfo").read_text()
    assert not stack.layout.env_file.exists()

    stack.infra()
    assert fetch(stack.env["SEEKER_BROKER_URL"]) == b"a message"
    with pymongo.MongoClient[dict[str, object]](stack.env["SEEKER_MONGODB_URL"]) as client:
        assert client["example"]["kept"].find_one() == {"_id": 1}
    with contextlib.closing(connect(stack.env["DOCKER_HOST"])) as docker:
        assert [found.tags for found in docker.images.list()] == [[image.NAME]]
