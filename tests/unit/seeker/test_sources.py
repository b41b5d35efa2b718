"""What `--input` names, and folders packed."""

from __future__ import annotations

import os
import tarfile
from pathlib import Path

import pytest

from seeker import sources
from seeker.sources import Source, SourceError, pack, parse


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "scene.json").write_text("{}")
    (tmp_path / "with:colon").write_text("x")
    (tmp_path / "maps" / "deep").mkdir(parents=True)
    (tmp_path / "maps" / "deep" / "b.txt").write_text("b")
    (tmp_path / "maps" / "a.txt").write_text("a")
    (tmp_path / "latest").symlink_to("scene.json")
    return tmp_path


@pytest.mark.parametrize(
    ("text", "origin", "path"),
    [
        ("scene.json", "{}/scene.json", "scene.json"),
        ("scene.json:data/in.json", "{}/scene.json", "data/in.json"),
        ("with:colon", "{}/with:colon", "with:colon"),
        ("maps", "{}/maps", "maps"),
        ("maps/..", "{}/maps/..", "{}"),
        ("latest", "{}/latest", "latest"),
        ("maps/:textures", "{}/maps", "textures"),
        ("https://host:8080/a/b.csv", "https://host:8080/a/b.csv", "b.csv"),
        ("https://host:8080/a/b.csv:in/c.csv", "https://host:8080/a/b.csv", "in/c.csv"),
        ("http://host/b%20c.csv?x=1", "http://host/b%20c.csv?x=1", "b c.csv"),
    ],
)
def test_an_input_has_an_origin_and_a_place(here: Path, text: str, origin: str, path: str) -> None:
    assert parse(text, here) == Source(origin.format(here), path.format(here.name))


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("absent.txt", "does not exist"),
        ("scene.json:../up", "no place below /in"),
        ("scene.json:/abs", "no place below /in"),
        ("https://host/", "no place below /in"),
        ("https://host", "no place below /in"),
        ("/dev/null", "neither file nor folder"),
    ],
)
def test_what_is_none_is_refused_by_name(here: Path, text: str, complaint: str) -> None:
    with pytest.raises(SourceError, match=complaint):
        parse(text, here)


def test_the_same_folder_makes_the_same_archive(here: Path) -> None:
    pack(here / "maps", here / "one.tar")
    os.utime(here / "maps" / "a.txt", (1, 1))
    (here / "maps" / "a.txt").chmod(0o600)
    pack(here / "maps", here / "two.tar")
    assert (here / "one.tar").read_bytes() == (here / "two.tar").read_bytes()
    with tarfile.open(here / "one.tar") as tar:
        assert tar.getnames() == ["a.txt", "deep", "deep/b.txt"]


def test_a_folder_of_too_many_files_is_refused(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST_ENTRIES", 3)
    pack(here / "maps", here / "one.tar")
    (here / "maps" / "fourth").touch()
    with pytest.raises(SourceError, match="more than 3 files and folders"):
        pack(here / "maps", here / "one.tar")


def test_a_link_in_a_folder_is_refused(here: Path) -> None:
    (here / "maps" / "link").symlink_to("/etc/passwd")
    with pytest.raises(SourceError, match="'link'"):
        pack(here / "maps", here / "one.tar")
