"""Folders that a stranger filled."""

from __future__ import annotations

import io
import os
import tarfile
from pathlib import Path

import pytest

from giver import trees
from giver.trees import TreeRefused
from runtime.transfers import DataError


def archive(*members: tarfile.TarInfo | tuple[str, bytes]) -> io.BytesIO:
    made = io.BytesIO()
    with tarfile.open(fileobj=made, mode="w") as tar:
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                tar.addfile(member)
                continue
            name, content = member
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    made.seek(0)
    return made


def special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    entry = tarfile.TarInfo(name)
    entry.type, entry.linkname = kind, target
    return entry


def test_folders_and_files_come_out_readable_to_everybody(tmp_path: Path) -> None:
    tool = tarfile.TarInfo("bin/tool")
    tool.mode = 0o700
    before = os.umask(0o077)
    try:
        trees.unpack(archive(("a/b/c.txt", b"text"), special("d", tarfile.DIRTYPE), tool), tmp_path)
    finally:
        os.umask(before)
    assert (tmp_path / "a/b/c.txt").read_bytes() == b"text"
    assert (tmp_path / "a/b/c.txt").stat().st_mode & 0o777 == 0o444
    assert (tmp_path / "bin/tool").stat().st_mode & 0o777 == 0o555
    assert {each.stat().st_mode & 0o777 for each in (tmp_path / "a", tmp_path / "d")} == {0o755}


@pytest.mark.parametrize(
    "member",
    [
        ("../outside", b""),
        ("/absolute", b""),
        ("a/../../outside", b""),
        special("link", tarfile.SYMTYPE, "/etc/passwd"),
        special("hard", tarfile.LNKTYPE, "/etc/passwd"),
        special("device", tarfile.CHRTYPE),
        special("pipe", tarfile.FIFOTYPE),
        special("holes", tarfile.GNUTYPE_SPARSE),
    ],
)
def test_what_leads_elsewhere_is_refused(
    tmp_path: Path, member: tarfile.TarInfo | tuple[str, bytes]
) -> None:
    target = tmp_path / "in"
    target.mkdir()
    with pytest.raises(DataError, match="in"):
        trees.unpack(archive(member), target)
    assert not (tmp_path / "outside").exists()
    assert list(target.iterdir()) == []


def test_the_same_name_twice_and_half_an_archive_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError):
        trees.unpack(archive(("a", b"1"), ("a", b"2")), tmp_path)
    whole = archive(("b", b"x" * 100_000)).getvalue()
    with pytest.raises(DataError):
        trees.unpack(io.BytesIO(whole[:50_000]), tmp_path)


def test_what_is_unpacked_is_counted(tmp_path: Path) -> None:
    # Each name makes folders, too: ten with the file.
    for folder in ("enough", "less"):
        (tmp_path / folder).mkdir()
    deep = [("/".join([str(number), *"abcdefgh", "file"]), b"") for number in range(3)]
    assert trees.unpack(archive(*deep), tmp_path / "enough", most=30) == 30
    with pytest.raises(DataError, match="there are more"):
        trees.unpack(archive(*deep), tmp_path / "less", most=29)


def test_size_is_what_the_disk_holds(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * 100_000)
    (tmp_path / "link").symlink_to("/")
    trees.check_size(tmp_path, 200_000)
    with pytest.raises(TreeRefused, match="more than 50000 bytes"):
        trees.check_size(tmp_path, 50_000)


def test_a_tree_with_too_many_entries_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trees, "MOST_ENTRIES", 3)
    for name in "abcd":
        (tmp_path / name).touch()
    with pytest.raises(TreeRefused, match="more than 3 files"):
        trees.check_size(tmp_path, 1 << 30)


def test_a_tree_deeper_than_names_can_be_is_refused_and_removed(tmp_path: Path) -> None:
    root = tmp_path / "root"
    root.mkdir()
    here = os.open(root, os.O_RDONLY)
    for _ in range(3000):
        os.mkdir("dir", dir_fd=here)
        below = os.open("dir", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = below
    os.close(here)
    with pytest.raises(TreeRefused, match="too deep"):
        trees.check_size(root, 1 << 30)
    trees.remove(root)
    assert not root.exists()
    trees.remove(root)
