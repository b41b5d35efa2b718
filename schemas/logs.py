"""What a running container writes, for those who look on; nothing of it is kept."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from schemas.assignment import CancelAssignments
from schemas.base import Message
from schemas.identifiers import AssignmentId, GiverId

LONGEST_S = 120.0
CHUNK_CHARACTERS = 64 << 10

FollowerId = Annotated[str, Field(pattern=r"^[a-z0-9]{1,64}$")]


class StreamLogs(Message):
    """On `control.<giver>.<session>`: send what this assignment's container writes.

    Asked again in time, the stream goes on; a follower that vanished ends it.
    """

    kind: Literal["stream_logs"] = "stream_logs"
    assignment_id: AssignmentId
    follower: FollowerId
    duration_s: float = Field(default=15.0, gt=0, le=LONGEST_S)
    lines: int = Field(default=1000, ge=0, le=1_000_000)
    """Of those written before, to begin with."""
    follow: bool = True
    """False: only what was written before."""


class LogChunk(Message):
    """On `logs` under `<assignment>.<follower>`. Transient: when nobody listens it is gone."""

    MAX_BYTES: ClassVar[int] = 1 << 20

    assignment_id: AssignmentId
    giver_id: GiverId
    stream: Literal["stdout", "stderr"] = "stdout"
    text: str = Field(default="", max_length=CHUNK_CHARACTERS)
    """With replacement characters for what is not UTF-8."""
    dropped_bytes: int = Field(default=0, ge=0)
    """Left out before this: the container writes faster than can be shown."""
    end: bool = False
    """Nothing more will come."""


def log_key(assignment_id: str, follower: str) -> str:
    return f"{assignment_id}.{follower}"


def decode_control(body: bytes) -> CancelAssignments | StreamLogs:
    """Whatever may arrive at a giver's control queue.

    Raises:
        MalformedMessage
    """
    # Nothing else in either message can hold these bytes.
    if b'"stream_logs"' in body:
        return StreamLogs.decode(body)
    return CancelAssignments.decode(body)
