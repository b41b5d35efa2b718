"""The image: only a busybox that needs nothing beside it will do."""

import struct
from pathlib import Path

import pytest

from deploy.demo.image import NoBusybox, find_busybox, is_static


def elf(*segment_types: int) -> bytes:
    """The head of a 64-bit program with these segments."""
    header = bytearray(64)
    header[:6] = b"\x7fELF\x02\x01"
    struct.pack_into("<Q", header, 32, 64)
    struct.pack_into("<HH", header, 54, 56, len(segment_types))
    return bytes(header) + b"".join(struct.pack("<I52x", kind) for kind in segment_types)


def test_a_program_with_a_loader_is_not_static(tmp_path: Path) -> None:
    (tmp_path / "static").write_bytes(elf(1, 1))
    (tmp_path / "dynamic").write_bytes(elf(1, 3, 1))
    (tmp_path / "script").write_text("#!/bin/sh\n")

    assert is_static(tmp_path / "static")
    assert not is_static(tmp_path / "dynamic")
    assert not is_static(tmp_path / "script")


def test_the_first_static_busybox_is_taken(tmp_path: Path) -> None:
    dynamic, static = tmp_path / "dynamic", tmp_path / "static"
    dynamic.write_bytes(elf(1, 3))
    static.write_bytes(elf(1))

    assert find_busybox([tmp_path / "missing", dynamic, static]) == static


def test_without_one_the_package_to_install_is_named(tmp_path: Path) -> None:
    with pytest.raises(NoBusybox, match="apt-get install busybox-static"):
        find_busybox([tmp_path / "missing"])
