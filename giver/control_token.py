"""What shows that a request comes from the owner: a secret in the state folder.

Loopback alone would not do: a web page in the owner's browser can send requests there, and other
users of the host can. New at every start, so that a stale copy opens nothing.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

FILE = "control-token"
_BYTES = 32


def make(folder: Path) -> str:
    """
    Raises:
        OSError: it cannot be written.
    """
    token = secrets.token_urlsafe(_BYTES)
    draft = folder / f"{FILE}.new"
    draft.unlink(missing_ok=True)
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with open(descriptor, "w", encoding="utf-8") as stream:  # noqa: PTH123 - a descriptor
        stream.write(token)
    draft.replace(folder / FILE)
    return token


def matches(token: str, header: str | None) -> bool:
    """Whether an `Authorization` header carries it."""
    return secrets.compare_digest(f"Bearer {token}".encode(), (header or "").encode())
