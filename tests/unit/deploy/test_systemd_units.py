"""The units say what the services do, and every file that they name is installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from channel.settings import ChannelSettings
from deploy.systemd import install
from giver.settings import GiverSettings
from runtime.settings import ServiceSettings
from seeker.settings import SeekerSettings

FOLDER = Path(install.__file__).parent


def unit(service: str) -> dict[str, list[str]]:
    """The keys of its [Service] section, each with all of its values."""
    values: dict[str, list[str]] = {}
    section = ""
    for line in (FOLDER / install.unit(service)).read_text().splitlines():
        if line.startswith("["):
            section = line
        elif "=" in line and not line.startswith("#") and section == "[Service]":
            name, _, value = line.partition("=")
            values.setdefault(name, []).append(value)
    return values


@pytest.mark.parametrize("service", install.SERVICES)
def test_a_unit_hands_over_just_the_secrets_that_the_installer_asks_for(service: str) -> None:
    folder = install.ETC / "credentials"
    expected = [
        f"{service}_{name}:{folder}/{service}_{name}" for name in install.CREDENTIALS[service]
    ]
    assert unit(service)["LoadCredential"] == expected
    assert unit(service)["EnvironmentFile"] == [str(install.ETC / f"{service}.env")]


@pytest.mark.parametrize("services", [["seeker", "channel"], ["channel", "seeker"]])
def test_seeker_and_channel_of_one_host_have_one_key(
    services: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(install, "ETC", tmp_path)
    folder = tmp_path / "credentials"
    folder.mkdir()
    install.make_artifacts_key(["giver", "seeker"])
    assert list(folder.iterdir()) == []  # That of a channel elsewhere is not ours to make up.
    for _ in range(2):
        install.make_artifacts_key(services)
    keys = {path.name: path.read_text() for path in folder.iterdir()}
    assert keys.keys() == {"seeker_artifacts_key", "channel_artifacts_key"}
    assert len({*keys.values()}) == 1
    assert {path.stat().st_mode & 0o777 for path in folder.iterdir()} == {0o600}


@pytest.mark.parametrize("service", install.SERVICES)
def test_a_hung_service_is_killed_soon_and_started_again(service: str) -> None:
    values = unit(service)
    assert values["Type"] == ["notify"]
    assert int(values["WatchdogSec"][0]) <= 60
    assert int(values["TimeoutAbortSec"][0]) <= 10
    assert values["Restart"] == ["on-failure"]


def test_a_giver_that_drains_has_the_time_for_it() -> None:
    longest = GiverSettings.model_fields["stop_deadline_s"].default
    assert int(unit("giver")["TimeoutStopSec"][0]) > longest


@pytest.mark.parametrize("service", install.SERVICES)
def test_every_user_of_a_unit_is_made(service: str) -> None:
    made = (FOLDER / "seekgive.sysusers.conf").read_text()
    assert f"u {unit(service)['User'][0]} " in made


def test_a_credential_is_a_setting_unless_the_environment_names_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "seeker_broker_url").write_text("amqp://secret@broker/\n")
    (tmp_path / "seeker_mongodb_url").write_text("mongodb://secret@database/")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path))
    monkeypatch.delenv("SEEKER_BROKER_URL", raising=False)
    monkeypatch.setenv("SEEKER_MONGODB_URL", "mongodb://other/")
    settings: ServiceSettings = SeekerSettings.load()
    assert isinstance(settings, SeekerSettings)
    assert settings.broker_url == "amqp://secret@broker/"
    assert settings.mongodb_url == "mongodb://other/"
    sources = {row["variable"]: row["source"] for row in settings.explained()}
    assert sources["SEEKER_BROKER_URL"] == "credential"


@pytest.mark.parametrize(
    ("service", "settings"),
    [("giver", GiverSettings), ("seeker", SeekerSettings), ("channel", ChannelSettings)],
)
def test_every_setting_that_an_example_names_exists(
    service: str, settings: type[ServiceSettings]
) -> None:
    prefix = f"#{service.upper()}_"
    lines = (FOLDER / f"{service}.env").read_text().splitlines()
    named = [line.partition("=")[0].removeprefix(prefix) for line in lines if "=" in line]
    assert named
    assert {name.lower() for name in named} <= set(settings.model_fields)
