"""Which image a job's tasks run once somebody has run it. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from seeker.reputation import image_class

_WITH_DIGEST = re.compile(r"[^@\s]+@(sha256:[0-9a-f]{64})")


def pinned(image: str, ran: Iterable[str | None]) -> str:
    """`image` by the digest that all who agree have run; empty where it stays as it is.

    Of what givers say only the digest is taken: they cannot put another repository, or a name that
    no giver could read, in the place of the user's.

    Args:
        ran: as results name it; without a registry's name it means nothing to other hosts.
    """
    said = set(ran)
    found = _WITH_DIGEST.fullmatch(said.pop() or "") if len(said) == 1 else None
    if found is None or "@" in image:
        return ""
    return f"{image_class(image)}@{found[1]}"
