"""What a stack remembers of what it has started."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from deploy.local.errors import StackError
from deploy.local.processes import Identity
from deploy.local.state import Endpoint, StackState


def test_what_was_saved_is_loaded_again(tmp_path: Path) -> None:
    state = StackState(
        givers=2,
        docker=Endpoint(private=False, url="unix:///var/run/docker.sock"),
        ports={"amqp": 20123},
        services={"epmd": Identity(pid=7, started=99), "rabbitmq": None},
    )
    state.save(tmp_path / "stack.json")
    assert StackState.load(tmp_path / "stack.json") == state


def test_processes_from_before_a_reboot_are_forgotten_and_ports_kept(tmp_path: Path) -> None:
    before = StackState(
        boot_id="another", ports={"amqp": 20123}, services={"epmd": Identity(pid=1, started=1)}
    )
    before.save(tmp_path / "stack.json")
    state = StackState.load(tmp_path / "stack.json")
    assert state.services == {}
    assert state.ports == {"amqp": 20123}


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    path.write_text("{")
    with pytest.raises(StackError, match=r"stack\.json is damaged: remove it"):
        StackState.load(path)


def test_only_the_owner_may_read_it_and_no_draft_stays(tmp_path: Path) -> None:
    path = tmp_path / "stack.json"
    StackState().save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert list(tmp_path.iterdir()) == [path]
