"""Whose Docker, broker and database a stack uses."""

from __future__ import annotations

import pytest

from deploy.local import docker_engine, endpoints
from deploy.local.docker_engine import SYSTEM_SOCKET
from deploy.local.errors import MissingRight, StackError
from deploy.local.privilege import Privilege
from deploy.local.state import Endpoint

OWN = "unix:///run/example/docker.sock"
PRIVATE = Endpoint(private=True, url=OWN)


def answering(monkeypatch: pytest.MonkeyPatch, *hosts: str) -> None:
    monkeypatch.setattr(
        docker_engine, "problem", lambda host: None if host in hosts else "nobody there"
    )


@pytest.mark.parametrize(
    ("environ", "alive", "chosen"),
    [
        ({}, [SYSTEM_SOCKET], Endpoint(private=False, url=SYSTEM_SOCKET)),
        ({}, [], PRIVATE),
        ({"LOCAL_DOCKER": "private"}, [SYSTEM_SOCKET], PRIVATE),
        ({"DOCKER_HOST": OWN}, [SYSTEM_SOCKET, OWN], Endpoint(private=False, url=SYSTEM_SOCKET)),
        (
            {"DOCKER_HOST": "tcp://other:2375"},
            [SYSTEM_SOCKET, "tcp://other:2375"],
            Endpoint(private=False, url="tcp://other:2375"),
        ),
    ],
)
def test_docker_is_the_one_named_or_the_systems_or_a_private_one(
    environ: dict[str, str],
    alive: list[str],
    chosen: Endpoint,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, *alive)
    assert endpoints.docker(environ, OWN, own_used=False) == chosen


def test_a_stack_that_is_up_keeps_its_private_docker(monkeypatch: pytest.MonkeyPatch) -> None:
    answering(monkeypatch, SYSTEM_SOCKET)
    assert endpoints.docker({}, OWN, own_used=True) == PRIVATE


def test_a_docker_that_is_named_and_does_not_answer_is_not_replaced(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    answering(monkeypatch, SYSTEM_SOCKET)
    with pytest.raises(StackError, match=r"DOCKER_HOST=tcp://gone:1 .*nobody there.*unset it"):
        endpoints.docker({"DOCKER_HOST": "tcp://gone:1"}, OWN, own_used=False)


def test_an_unknown_wish_is_refused() -> None:
    with pytest.raises(StackError, match="LOCAL_DOCKER='public' does not fit"):
        endpoints.docker({"LOCAL_DOCKER": "public"}, OWN, own_used=False)


def test_a_broker_is_foreign_only_when_named() -> None:
    own = "amqp://guest:guest@127.0.0.1:20001/"
    assert endpoints.broker({}, own).private
    assert endpoints.broker({"LOCAL_BROKER_URL": own}, own).private


def test_a_broker_that_does_not_answer_is_named_without_its_password() -> None:
    environ = {"LOCAL_BROKER_URL": "amqp://me:secret@127.0.0.1:1/"}
    with pytest.raises(StackError, match=r"LOCAL_BROKER_URL=amqp://me:\*\*\*@127") as raised:
        endpoints.broker(environ, "amqp://own/")
    assert "secret" not in str(raised.value)


def test_services_that_run_are_not_left_with_another_docker() -> None:
    foreign = Endpoint(private=False, url=SYSTEM_SOCKET)
    endpoints.require_same("Docker", None, foreign)
    endpoints.require_same("Docker", foreign, foreign)
    with pytest.raises(StackError, match=r"uses a private one as Docker.*make down"):
        endpoints.require_same("Docker", PRIVATE, foreign)


def test_without_a_right_to_root_the_commands_to_type_are_told() -> None:
    endpoints.require_root(Privilege(granted=True))
    with pytest.raises(MissingRight, match="sudo usermod -aG docker"):
        endpoints.require_root(Privilege(granted=False))
