"""What `giver doctor` finds, and what it advises."""

from __future__ import annotations

import gc
import json
from pathlib import Path

import pytest
from click.testing import CliRunner

from giver import doctor
from giver.cli import main


@pytest.mark.parametrize(
    ("missing", "verdict"),
    [
        ((), "ok"),
        (("swap",), "warning"),
        (("memory", "swap"), "failed"),
        (("processes",), "failed"),
    ],
)
def test_limits(missing: tuple[str, ...], verdict: str) -> None:
    check = doctor.limits(missing)
    assert check.verdict == verdict
    assert all(name in check.found for name in missing)


def test_a_disk_with_less_than_what_is_wanted_fails(tmp_path: Path) -> None:
    assert doctor.disk(tmp_path, 1 << 60).verdict == "failed"
    assert "free some" in doctor.disk(tmp_path, 1 << 60).remedy


def test_whatever_the_clock_does_it_never_fails() -> None:
    assert doctor.clock().verdict in ("ok", "warning")


@pytest.mark.filterwarnings(
    "ignore:Exception ignored in. <socket.socket:pytest.PytestUnraisableExceptionWarning"
)
def test_every_failure_comes_with_a_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_bytes(b"")
    run = CliRunner().invoke(
        main,
        ["doctor", "--json"],
        env={
            "GIVER_BROKER_URL": "amqp://guest:guest@127.0.0.1:1/",
            "GIVER_DOCKER_HOST": f"unix://{tmp_path}/none.sock",
            "GIVER_STATE_DIR": str(tmp_path / "file" / "state"),
        },
    )
    assert run.exit_code == 1
    checks = {check["name"]: check for check in json.loads(run.stdout)}
    for name in ("state folder", "broker", "docker"):
        assert checks[name]["verdict"] == "failed"
        assert checks[name]["remedy"]
    assert "container" not in checks
    del run
    gc.collect()  # docker-py forgets the socket of a connection that fails.
