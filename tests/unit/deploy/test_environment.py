"""`.local/env`, as a shell and as our settings read it."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from pydantic_settings import SettingsConfigDict

from deploy.local import environment
from runtime.settings import ServiceSettings

VALUE = "mongodb://127.0.0.1:27017/?replicaSet=local&w='a b' $HOME"


class Settings(ServiceSettings):
    model_config = SettingsConfigDict(env_prefix="EXAMPLE_", frozen=True, extra="ignore")

    url: str


def test_a_shell_reads_what_was_written(tmp_path: Path) -> None:
    environment.write(tmp_path / "env", {"EXAMPLE_URL": VALUE})
    script = '. "$0"; env'
    shown = subprocess.run(
        ["sh", "-c", script, str(tmp_path / "env")], capture_output=True, text=True, check=True
    )
    assert f"EXAMPLE_URL={VALUE}\n" in shown.stdout


def test_settings_find_it_from_a_folder_below(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "mongodb://127.0.0.1:27017/?replicaSet=local"
    environment.write(tmp_path / ".local" / "env", {"EXAMPLE_URL": url})
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    monkeypatch.chdir(below)
    assert Settings.load().url == url
