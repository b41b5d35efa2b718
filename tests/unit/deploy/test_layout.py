"""Where the files are."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local import layout
from deploy.local.docker_engine import Dockerd
from deploy.local.errors import StackError
from deploy.local.layout import Layout

SOCKET_PATH_LIMIT = 107


def test_sockets_of_a_deep_clone_have_short_paths(tmp_path: Path) -> None:
    deep = Layout(tmp_path.joinpath(*["a-folder-with-a-long-name"] * 10))
    assert len(str(deep.home)) > SOCKET_PATH_LIMIT
    assert len(Dockerd(deep).url.removeprefix("unix://")) < SOCKET_PATH_LIMIT


def test_two_clones_share_nothing(tmp_path: Path) -> None:
    one, other = Layout(tmp_path / "one"), Layout(tmp_path / "other")
    assert one.stack_id != other.stack_id
    assert one.run_dir != other.run_dir


def test_a_clone_reached_by_another_name_is_the_same(tmp_path: Path) -> None:
    (tmp_path / "clone").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "clone")
    assert Layout(tmp_path / "link").stack_id == Layout(tmp_path / "clone").stack_id


def test_a_link_in_the_place_of_the_folder_for_sockets_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(layout, "_run_base", lambda: tmp_path)
    found = Layout(tmp_path / "clone")
    (tmp_path / "elsewhere").mkdir()
    found.run_dir.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StackError, match="remove it first"):
        found.make()
