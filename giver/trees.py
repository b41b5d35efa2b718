"""Folders that a stranger filled: counted, listed, unpacked and removed without trusting them."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import stat
import subprocess
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from runtime.transfers import DataError
from schemas.data import MOST_ENTRIES, relative_path

_BLOCK_BYTES = 512
"""Of `st_blocks`, whatever the file system's own."""


class TreeRefused(Exception):
    """More than may be there, or made so that nobody can tell; the message says how."""


def entries(root: Path) -> Iterator[tuple[str, os.stat_result]]:
    """Each file and folder below `root` with its path from there; links are not followed.

    Raises:
        TreeRefused: there are too many, or they are too deep to be named.
    """
    left = MOST_ENTRIES
    folders = [""]
    while folders:
        folder = folders.pop()
        with _refusing(), os.scandir(root / folder) as listed:
            for entry in listed:
                left -= 1
                if left < 0:
                    raise TreeRefused(f"holds more than {MOST_ENTRIES} files and folders")
                path = f"{folder}/{entry.name}" if folder else entry.name
                with _refusing():
                    found = entry.stat(follow_symlinks=False)
                    if stat.S_ISDIR(found.st_mode):
                        folders.append(path)
                    yield path, found


@contextlib.contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        pass  # Whoever made it is still at it.
    except PermissionError as error:
        raise TreeRefused("holds a folder that may not be looked into") from error
    except OSError as error:
        if error.errno != errno.ENAMETOOLONG:
            raise
        raise TreeRefused("has folders too deep to be named") from error


def check_size(root: Path, most_bytes: int) -> None:
    """
    Raises:
        TreeRefused: it takes more than so many bytes of disk, or has too many entries.
    """
    left = most_bytes
    for _, found in entries(root):
        left -= found.st_blocks * _BLOCK_BYTES
        if left < 0:
            raise TreeRefused(f"holds more than {most_bytes} bytes")


def unpack(archive: BinaryIO, target: Path, most: int = MOST_ENTRIES) -> int:
    """An uncompressed tar archive of folders and files, and nothing else; returns how many.

    Raises:
        DataError: it holds anything else, or more than `most`, or is damaged.
    """
    made = 0
    try:
        with tarfile.open(fileobj=archive, mode="r|") as tar:
            for member in tar:
                made += _unpack(tar, member, target)
                if made > most:
                    raise DataError(
                        f"the folder {target.name} cannot be unpacked: a task may have "
                        f"{MOST_ENTRIES} files and folders in /in, with it there are more"
                    )
            return made
    except (tarfile.TarError, FileExistsError, EOFError) as error:
        raise DataError(f"the folder {target.name} cannot be unpacked: {error}") from error


def _unpack(tar: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> int:
    try:
        path = target / relative_path(member.name)
    except ValueError as error:
        raise DataError(f"the folder {target.name} cannot be unpacked: {error}") from error
    if member.isdir():
        return make_folders(path, target)
    # One with holes would be larger than what is in the archive.
    plain = member.isreg() and not member.issparse()
    content = tar.extractfile(member) if plain else None
    if content is None:
        raise DataError(
            f"the folder {target.name} holds {member.name!r}, which is neither file nor folder"
        )
    made = make_folders(path.parent, target)
    # Folders are ours and new, files are made anew: nothing here is a link to elsewhere.
    with path.open("xb") as file:
        shutil.copyfileobj(content, file, 1 << 20)
    path.chmod(0o555 if member.mode & 0o100 else 0o444)
    return made + 1


def make_folders(path: Path, root: Path) -> int:
    """Those on the way from `root`, open to every reader whatever the umask; how many are new."""
    new = 0
    for folder in (*reversed(path.relative_to(root).parents), path.relative_to(root)):
        made = root / folder
        if not made.is_dir():
            made.mkdir()
            made.chmod(0o755)
            new += 1
    return new


def remove(root: Path) -> None:
    """Whatever is in it: deeper than names can be long, or closed to everybody.

    Raises:
        OSError: some of it stays.
    """
    if not root.exists():
        return
    # These two know trees of any depth; Python's own way recurses.
    if os.geteuid() != 0:
        subprocess.run(["chmod", "-R", "u+rwX", "--", root], check=False, capture_output=True)
    done = subprocess.run(
        ["rm", "-rf", "--one-file-system", "--", root], check=False, capture_output=True, text=True
    )
    if done.returncode != 0:
        raise OSError(f"{root} cannot be removed: {done.stderr.strip()[:300]}")
