"""Files that go with a task: into its container at `/in`, and out of it from `/out`.

What is kept of them is named by its content, so a repeat is seen as one, and nobody can hand over
something else under the name.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator, Field

from schemas.base import Part

MOST_INPUTS = 100
MOST_PATTERNS = 100
MOST_FILES = 5_000
"""That one task may hand back: they are listed in its result."""
MOST_ENTRIES = 100_000
"""Files and folders that a task may have in `/in`, in `/out`, and in its own root where that is
granted; looking at them takes a second or so."""
MOST_PATH_BYTES = 1024
MOST_NAME_BYTES = 255


def relative_path(path: str) -> str:
    """The path, if nothing that it could be joined to is left by it.

    Raises:
        ValueError: it is absolute, not in its shortest form, or too long.
    """
    parts = path.split("/")
    if any(part in ("", ".", "..") for part in parts) or "\x00" in path:
        raise ValueError(
            f"{path!r} is no path below a folder: write it without leading /, . and .., "
            "for example data/scene.json"
        )
    try:
        size = len(path.encode())
    except UnicodeEncodeError as error:
        raise ValueError(f"{path!r} is not UTF-8") from error
    if size > MOST_PATH_BYTES:
        raise ValueError(f"{path[:50]!r}… is longer than {MOST_PATH_BYTES} bytes")
    if any(len(part.encode()) > MOST_NAME_BYTES for part in parts):
        raise ValueError(f"{path[:50]!r}… has a name longer than {MOST_NAME_BYTES} bytes")
    return path


RelativePath = Annotated[str, AfterValidator(relative_path)]
"""With `/` between names, whatever the host."""

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Input(Part):
    """Something that lies in `/in` before the container starts, to be read only."""

    path: RelativePath
    """Below `/in`; of a folder, where what is in it goes."""
    sha256: Sha256
    size_bytes: int = Field(ge=0)
    folder: bool = False
    """The content is a tar archive, to be unpacked there."""


class DataAccess(Part):
    """Where a giver gets and leaves the data of one assignment, for as long as the URLs hold."""

    inputs: tuple[str, ...] = ()
    """For each input its URL, for GET."""
    outputs: str = ""
    """For PUT, with `{sha256}` where that of the content goes; empty: there are none."""
