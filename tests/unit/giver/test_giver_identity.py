"""One id for the life of a state folder, one giver at a time in it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giver.identity import IdentityError, StateDir, new_id
from schemas.identifiers import GIVER_PATTERN


@given(st.text(max_size=100))
def test_any_host_name_makes_a_valid_id(hostname: str) -> None:
    assert re.fullmatch(GIVER_PATTERN, new_id(hostname))


def test_hosts_called_alike_get_different_ids() -> None:
    assert new_id("box.example.org") != new_id("box.example.org")
    assert new_id("box.example.org").startswith("box-")


def test_the_id_is_made_once(tmp_path: Path) -> None:
    folder = StateDir(tmp_path / "deep" / "state")
    first = folder.identity(None)
    folder.close()
    again = StateDir(tmp_path / "deep" / "state")
    assert again.identity(None) == first
    assert again.identity(first) == first
    again.close()


def test_another_id_is_refused_for_the_same_folder(tmp_path: Path) -> None:
    folder = StateDir(tmp_path)
    folder.identity("one")
    with pytest.raises(IdentityError, match="belongs to giver one, not to two"):
        folder.identity("two")
    folder.close()


def test_a_damaged_id_is_not_replaced_silently(tmp_path: Path) -> None:
    (tmp_path / "id").write_text("???")
    folder = StateDir(tmp_path)
    with pytest.raises(IdentityError, match="no giver id"):
        folder.identity(None)
    folder.close()


def test_two_givers_never_share_a_folder(tmp_path: Path) -> None:
    folder = StateDir(tmp_path)
    with pytest.raises(IdentityError, match="another giver is running"):
        StateDir(tmp_path)
    folder.close()
    StateDir(tmp_path).close()


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(IdentityError, match="--state-dir"):
        StateDir(file / "state")
