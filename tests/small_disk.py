"""A file system of a few megabytes, to be filled up."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

MIB = 1 << 20


class SmallDisk:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._filler = folder / "filler"

    def fill(self, leave: int = 0) -> None:
        """Until no more than so many bytes go in."""
        with contextlib.suppress(OSError), self._filler.open("wb", buffering=0) as filler:
            while self._free > leave:
                filler.write(bytes(min(MIB, self._free - leave)))
        assert self._free <= leave

    @property
    def _free(self) -> int:
        return shutil.disk_usage(self.folder).free

    def make_room(self) -> None:
        self._filler.unlink()


@contextlib.contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Mounted on the folder, which it makes."""
    if os.geteuid() != 0:
        pytest.skip("mounting a small disk needs root")
    folder.mkdir()
    mount = ("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(folder))
    subprocess.run(mount, check=True)
    try:
        yield SmallDisk(folder)
    finally:
        subprocess.run(("umount", str(folder)), check=True)
