"""What the distribution must supply."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import packages
from deploy.local.errors import MissingRight
from deploy.local.packages import Package
from deploy.local.privilege import Privilege


def test_only_what_is_missing_is_asked_for() -> None:
    wanted = [Package("here", lambda: True), Package("away", lambda: False)]
    assert packages.missing([*wanted, packages.program("sh")]) == ["away"]


def test_a_program_may_be_called_otherwise_than_its_package() -> None:
    named = [packages.program(name) for name in ("shells=sh", "missing=no-such-program")]
    assert packages.missing(named) == ["missing"]


def test_without_a_right_to_install_the_command_to_type_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        MissingRight,
        match=r"apt-get install -y --no-install-recommends docker\.io rabbitmq-server\n",
    ):
        packages.install(
            ["docker.io", "rabbitmq-server"],
            Privilege(granted=False),
            tmp_path / "apt.log",
            lambda _text: None,
        )
