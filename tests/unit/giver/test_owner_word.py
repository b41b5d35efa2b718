"""Who may tell a giver what to do, and how it is told."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, cast

import httpx
import pytest
from click.testing import CliRunner

from giver import control_token
from giver.api import create_app
from giver.cli import main
from giver.owner import Word
from giver.owner_commands import GiverDesk
from giver.settings import GiverSettings

HERE = ("127.0.0.1", 1)
ELSEWHERE = ("192.0.2.7", 1)


class Service:
    """What the endpoint needs of a giver."""

    def __init__(self, folder: Path) -> None:
        self.control_token = control_token.make(folder)
        self.steward = self
        self.said: list[Word] = []

    def say(self, word: Word) -> None:
        self.said.append(word)

    def standing(self) -> dict[str, Any]:
        return {"asked": self.said[-1].asked if self.said else "open"}


@pytest.fixture
def service(tmp_path: Path) -> Service:
    return Service(tmp_path)


async def put(
    service: Service, headers: dict[str, str], client: tuple[str, int] = HERE
) -> httpx.Response:
    transport = httpx.ASGITransport(create_app(cast(Any, service)), client=client)
    async with httpx.AsyncClient(transport=transport, base_url="http://giver") as http:
        return await http.put("/word", json={"asked": "pause", "for_s": 60}, headers=headers)


async def test_whoever_shows_the_token_is_obeyed(service: Service) -> None:
    answer = await put(service, {"Authorization": f"Bearer {service.control_token}"})
    assert (answer.status_code, answer.json()) == (200, {"asked": "pause"})
    assert service.said[0].until is not None


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer x"}, {"Cookie": "a=b"}])
async def test_without_the_token_nothing_happens(service: Service, headers: dict[str, str]) -> None:
    assert (await put(service, headers)).status_code == 401
    assert service.said == []


async def test_from_another_host_nothing_happens(service: Service) -> None:
    headers = {"Authorization": f"Bearer {service.control_token}"}
    assert (await put(service, headers, ELSEWHERE)).status_code == 403
    assert service.said == []


def test_only_the_owner_can_read_the_token_and_it_is_new_at_each_start(tmp_path: Path) -> None:
    first = control_token.make(tmp_path)
    file = tmp_path / control_token.FILE
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.read_text() == first != control_token.make(tmp_path)


@pytest.mark.parametrize(
    "arguments",
    [["status"], ["pause"], ["pause", "--for", "2h"], ["drain"], ["resume"], ["config"]],
)
def test_a_giver_that_is_down_is_named_with_the_remedy(arguments: list[str]) -> None:
    run = CliRunner().invoke(main, [*arguments, "--url", "http://127.0.0.1:1"])
    assert run.exit_code == 3
    assert "no giver answers at http://127.0.0.1:1/status" in run.stderr
    assert "giver run" in run.stderr


@pytest.mark.parametrize("value", ["soon", "0", "-1h"])
def test_a_duration_that_is_none_is_named(value: str) -> None:
    run = CliRunner().invoke(main, ["pause", f"--for={value}"])
    assert run.exit_code == 2
    assert f"'{value}' is no duration" in run.stderr


def test_a_token_that_cannot_be_read_names_file_and_remedy(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def get(_: GiverDesk, path: str) -> dict[str, str]:
        return {"state_dir": str(tmp_path / "none")}

    monkeypatch.setattr(GiverDesk, "get", get)
    run = CliRunner().invoke(main, ["pause", "--url", "http://127.0.0.1:1"])
    assert run.exit_code == 2
    assert f"{tmp_path}/none/control-token" in run.stderr
    assert "sudo" in run.stderr


def test_the_settings_say_where_they_come_from_and_keep_secrets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".local").mkdir()
    local = tmp_path / ".local" / "env"
    local.write_text("GIVER_BROKER_URL=amqp://me:secret@h/\n")
    monkeypatch.delenv("GIVER_BROKER_URL", raising=False)
    monkeypatch.setenv("GIVER_HOURS", "22:00-06:00")
    rows = {row["variable"]: row for row in GiverSettings.load(owner="me").explained()}
    assert rows["GIVER_OWNER"]["source"] == "option"
    assert rows["GIVER_BROKER_URL"]["source"] == str(local)
    assert rows["GIVER_HOURS"] == {
        "variable": "GIVER_HOURS",
        "value": "22:00-06:00",
        "source": "environment",
    }
    assert rows["GIVER_GPUS"]["source"] == "default"
    assert "secret" not in json.dumps(rows)
