from __future__ import annotations

import socket
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from channel.cli import main
from tests.unit.channel.builders import JOB

TASK = f"{JOB}-0"


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> str:
    """A CHANNEL_URL where nothing listens, and no local stack."""
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
    monkeypatch.setenv("CHANNEL_URL", url)
    for name in ("CHANNEL_BROKER_URL", "CHANNEL_MONGODB_URL"):
        monkeypatch.delenv(name, raising=False)
    return url


def channel(*arguments: str) -> Result:
    return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize(
    "arguments",
    [("results", TASK), ("results", "--job", JOB), ("get", f"{TASK}-1@giver-1"), ("givers",)],
)
def test_without_a_service_the_address_and_the_remedy_are_named(
    nowhere: str, arguments: tuple[str, ...]
) -> None:
    run = channel(*arguments, "--json")
    assert run.exit_code == 3
    assert run.stdout == ""
    assert nowhere in run.stderr
    assert "channel serve" in run.stderr
    assert "CHANNEL_URL" in run.stderr


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("results", "nonsense"), "'nonsense' is no task id"),
        (("results", JOB), f"channel results --job {JOB}"),
        (("results", "--job", TASK), "is no job id"),
        (("results", "--giver", "Not_A_Giver"), "is no giver id"),
        (("results",), "name one of TASK, --job JOB and --giver GIVER"),
        (("results", TASK, "--job", JOB), "name one of TASK, --job JOB and --giver GIVER"),
        (("results", TASK, "--limit", "0"), "0"),
        (("get", TASK), "is no result id"),
        (("get", f"{TASK}-1@"), "is no result id"),
        (("get", f"{TASK}-x@giver-1"), "is no result id"),
    ],
)
def test_wrong_use_is_told_apart_from_a_service_that_is_away(
    arguments: tuple[str, ...], said: str
) -> None:
    run = channel(*arguments)
    assert run.exit_code == 2
    assert said in run.stderr


def test_a_url_that_is_none_is_wrong_use(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_URL", "channel.example")
    run = channel("givers")
    assert run.exit_code == 2
    assert "CHANNEL_URL='channel.example'" in run.stderr


def test_serving_names_every_setting_that_is_missing() -> None:
    run = channel("serve")
    assert run.exit_code == 3
    assert "CHANNEL_BROKER_URL is not set" in run.stderr
    assert "CHANNEL_MONGODB_URL is not set" in run.stderr


def test_serving_refuses_a_database_url_that_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CHANNEL_BROKER_URL", "amqp://127.0.0.1/")
    monkeypatch.setenv("CHANNEL_MONGODB_URL", "postgres://me:secret@host/")
    run = channel("serve")
    assert run.exit_code == 2
    assert "CHANNEL_MONGODB_URL 'postgres://me:***@host/' does not fit" in run.stderr
