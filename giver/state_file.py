"""Small files of the state folder, replaced whole and never half."""

from __future__ import annotations

import os
from pathlib import Path


def replace(file: Path, text: str) -> None:
    """
    Raises:
        OSError: it could not be written, and is as it was.
    """
    draft = file.with_suffix(".new")
    with draft.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    draft.replace(file)
