"""What the producers of both sides share: how they are told what to do, and how a result is seen.

A producer says that it is ready, then reads one JSON object a line and answers each with one.
Times are of the system's monotonic clock, which all processes share.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Any

from pymongo.collection import Collection

_POLL_S = 0.0005
_PATIENCE_S = 60.0


def parse(line: str) -> tuple[str, int]:
    """What to do, and how many times."""
    question = json.loads(line)
    return question["do"], question["count"]


def reply(**answer: Any) -> None:
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()


def await_document(collection: Collection[dict[str, Any]], document_id: str) -> None:
    """Until a majority has it; asked for by its id, so that asking costs the same on both sides.

    Raises:
        TimeoutError: it does not come.
    """
    until = time.monotonic() + _PATIENCE_S
    while collection.find_one({"_id": document_id}, {"_id": 1}) is None:
        if time.monotonic() > until:
            raise TimeoutError(f"no document {document_id!r} in {collection.full_name}")
        time.sleep(_POLL_S)
