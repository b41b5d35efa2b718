"""Where a job's input files come from: `FILE`, `FOLDER` or `URL`, with `:PATH` below `/in`.

Whatever it is becomes one file with one content before the job is submitted: a folder is packed, a
URL fetched. All givers get the same bytes, and none of them asks a stranger's server.
"""

from __future__ import annotations

import os
import re
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from schemas.data import MOST_ENTRIES, relative_path

_URL = re.compile(r"(https?://[^/]*)(/.*)?\Z", re.IGNORECASE)


class SourceError(ValueError):
    """The message names the input and what is wrong with it."""


@dataclass(frozen=True, slots=True)
class Source:
    origin: str
    """A URL, or an absolute path."""
    path: str
    """Below `/in`."""

    @property
    def url(self) -> bool:
        return _URL.match(self.origin) is not None

    @property
    def folder(self) -> bool:
        return not self.url and Path(self.origin).is_dir()


def parse(text: str, base: Path) -> Source:
    """
    Args:
        base: where relative paths begin.

    Raises:
        SourceError: there is no such file, or no place for it.
    """
    url = _URL.match(text)
    if url is not None:
        origin, named = _split(url[2] or "")
        found = Source(f"{url[1]}{origin}", named or unquote(origin.partition("?")[0]))
        name = found.path if named else found.path.rpartition("/")[2]
    else:
        origin, named = (text, "") if (base / text).exists() else _split(text)
        place = base / origin
        if not (place.is_file() or place.is_dir()):
            what = "is neither file nor folder" if place.exists() else "does not exist"
            raise SourceError(f"input {origin!r} {what}: write FILE, FOLDER or URL, with :PATH")
        found = Source(str(place.absolute()), named)
        name = named or (place.name if place.name not in ("", "..") else place.resolve().name)
    try:
        return Source(found.origin, relative_path(name))
    except ValueError as error:
        raise SourceError(
            f"input {text!r} has no place below /in ({error}): name one with :PATH"
        ) from error


def pack(folder: Path, archive: Path) -> None:
    """The same folder makes the same archive: no times, no owners, in the order of names.

    Raises:
        SourceError: it holds what is neither file nor folder, or too much, or it cannot be read.
    """
    try:
        with tarfile.open(archive, "w", format=tarfile.PAX_FORMAT) as tar:
            for number, path in enumerate(_below(folder), 1):
                if number > MOST_ENTRIES:
                    raise SourceError(
                        f"input {str(folder)!r} holds more than {MOST_ENTRIES} files and folders, "
                        "as many as a task may have: pack them into one file"
                    )
                name = relative_path(path.relative_to(folder).as_posix())
                member = tar.gettarinfo(path, name)
                member.uid = member.gid = 0
                member.uname = member.gname = ""
                member.mtime = 0
                member.mode = 0o755 if member.isdir() or member.mode & 0o100 else 0o644
                if member.isdir():
                    tar.addfile(member)
                else:
                    # Two names of one file are two files to whoever unpacks it.
                    member.type, member.size = tarfile.REGTYPE, path.stat().st_size
                    with path.open("rb") as content:
                        tar.addfile(member, content)
    except SourceError:
        raise
    except (OSError, ValueError) as error:
        raise SourceError(f"input {str(folder)!r} cannot be packed: {error}") from error


def _below(folder: Path) -> Iterable[Path]:
    for here, folders, files in os.walk(folder):
        folders.sort()
        for name in sorted([*folders, *files]):
            path = Path(here) / name
            if path.is_symlink() or not (path.is_file() or path.is_dir()):
                raise SourceError(
                    f"input {str(folder)!r} holds {str(path.relative_to(folder))!r}, which is "
                    "neither file nor folder: a container elsewhere could not follow it"
                )
            yield path


def _split(text: str) -> tuple[str, str]:
    origin, separator, path = text.rpartition(":")
    return (origin, path) if separator else (text, "")
