"""`python -m schemas DIR` writes the JSON Schema of every message into DIR."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from schemas.assignment import CancelAssignments, Dispatch
from schemas.base import Message
from schemas.heartbeat import Heartbeat
from schemas.job import Command, Submission
from schemas.logs import LogChunk, StreamLogs
from schemas.result import Result, StoredBatch

MESSAGES: tuple[type[Message], ...] = (
    Submission,
    Command,
    Dispatch,
    CancelAssignments,
    StreamLogs,
    LogChunk,
    Heartbeat,
    Result,
    StoredBatch,
)
"""All that travels through the broker."""


def write(folder: Path) -> list[Path]:
    """One file for each message, named after its model."""
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    for message in MESSAGES:
        path = folder / f"{message.__name__}.json"
        schema = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            **message.model_json_schema(),
        }
        path.write_text(json.dumps(schema, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        written.append(path)
    return written


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m schemas", description=__doc__)
    parser.add_argument("folder", type=Path, metavar="DIR")
    folder = parser.parse_args().folder
    try:
        written = write(folder)
    except OSError as error:
        print(f"{folder} cannot be written: {error.strerror}", file=sys.stderr)
        return 2
    for path in written:
        print(path)
    return 0


if __name__ == "__main__":
    sys.exit(main())
