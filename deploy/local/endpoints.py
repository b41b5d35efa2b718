"""Whose Docker, broker and database a stack uses: somebody else's where allowed, else its own.

A Docker engine that runs on this machine is used without being named, as everybody's `docker`
does. A broker or a database never is: what is in them may be somebody's production.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import pika
import pika.exceptions
import pymongo
from pymongo.errors import PyMongoError

from deploy.local import docker_engine
from deploy.local.docker_engine import SYSTEM_SOCKET
from deploy.local.errors import MissingRight, StackError
from deploy.local.privilege import Privilege
from deploy.local.state import Endpoint
from runtime.urls import redact

VARIABLES = {
    "DOCKER_HOST": "A Docker engine to use. Without it, the one at /var/run/docker.sock if it "
    "answers, else a private one.",
    "LOCAL_DOCKER": "`private`: a private Docker engine, whatever else there is.",
    "LOCAL_BROKER_URL": "A RabbitMQ to use, amqp://USER:PASSWORD@HOST:PORT/VHOST. Without it, a "
    "private one.",
    "LOCAL_RABBITMQ_MANAGEMENT_URL": "The management API of that RabbitMQ.",
    "LOCAL_MONGODB_URL": "A MongoDB replica set to use, mongodb://HOST:PORT/?replicaSet=NAME. "
    "Without it, a private one.",
}
"""What a user may set, for `--help`."""


def docker(environ: Mapping[str, str], own_url: str, own_used: bool) -> Endpoint:
    """
    Args:
        own_used: the stack is up and has a private engine, be it alive or not.

    Raises:
        StackError: the engine named does not answer, or LOCAL_DOCKER is not understood.
    """
    own = Endpoint(private=True, url=own_url)
    wanted = environ.get("LOCAL_DOCKER", "")
    if wanted not in ("", "private"):
        raise StackError(f"LOCAL_DOCKER={wanted!r} does not fit: write `private` or leave it unset")
    named = environ.get("DOCKER_HOST")
    if wanted == "private":
        return own
    # The one named may be our own, from a `.local/env` that was sourced.
    if named and named != own_url:
        if trouble := docker_engine.problem(named):
            raise StackError(_wrong("DOCKER_HOST", named, "as Docker", trouble))
        return Endpoint(private=False, url=named)
    if own_used or docker_engine.problem(SYSTEM_SOCKET):
        return own
    return Endpoint(private=False, url=SYSTEM_SOCKET)


def broker(environ: Mapping[str, str], own_url: str) -> Endpoint:
    """
    Raises:
        StackError: the broker named cannot be used.
    """
    named = environ.get("LOCAL_BROKER_URL")
    if not named or named == own_url:
        return Endpoint(private=True, url=own_url)
    try:
        parameters = pika.URLParameters(named)
        parameters.socket_timeout = parameters.stack_timeout = 5
        pika.BlockingConnection(parameters).close()
    except (pika.exceptions.AMQPError, OSError, ValueError) as error:
        raise StackError(
            _wrong("LOCAL_BROKER_URL", redact(named), "as RabbitMQ", repr(error))
        ) from error
    return Endpoint(private=False, url=named)


def mongodb(environ: Mapping[str, str], own_url: str) -> Endpoint:
    """
    Raises:
        StackError: the database named cannot be used.
    """
    named = environ.get("LOCAL_MONGODB_URL")
    if not named or named == own_url:
        return Endpoint(private=True, url=own_url)
    try:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            named, serverSelectionTimeoutMS=5000
        )
        with contextlib.closing(client):
            hello = client.admin.command("hello")
    except PyMongoError as error:
        trouble = str(error).partition(" (configured")[0]
        raise StackError(
            _wrong("LOCAL_MONGODB_URL", redact(named), "as MongoDB", trouble)
        ) from error
    if "setName" not in hello:
        raise StackError(
            f"LOCAL_MONGODB_URL={redact(named)} is no replica set: start that mongod with --replSet"
        )
    return Endpoint(private=False, url=named)


def require_root(privilege: Privilege) -> None:
    """
    Raises:
        MissingRight: a private Docker engine cannot be started by this user.
    """
    if not privilege.granted:
        raise MissingRight(
            "No Docker engine can be used here: /var/run/docker.sock does not answer this user, "
            "and a private engine needs root or sudo without a password. Start Docker, and let "
            "this user use it:\n\n"
            "    sudo systemctl start docker && sudo usermod -aG docker $USER && newgrp docker\n\n"
            "or name another engine with DOCKER_HOST."
        )


def require_same(what: str, before: Endpoint | None, now: Endpoint) -> None:
    """
    Raises:
        StackError: a stack that is up would go on with another one than its services use.
    """
    if before is not None and before != now:
        old, new = ("a private one" if end.private else redact(end.url) for end in (before, now))
        raise StackError(
            f"the stack is up and uses {old} as {what}, and now would use {new}: take it down "
            "first with `make down`, or see that the same one answers"
        )


def _wrong(variable: str, value: str, as_what: str, trouble: str) -> str:
    return (
        f"{variable}={value} does not answer {as_what} ({trouble}): correct it, or unset it to "
        "get a private one"
    )
