"""What came back of an assignment, and what the channel says once it is kept."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Literal, Self

from pydantic import AwareDatetime, Field

from schemas.base import MalformedMessage, Message, Part
from schemas.comparison import Comparison
from schemas.data import MOST_FILES, RelativePath, Sha256
from schemas.heartbeat import Platform
from schemas.identifiers import AssignmentId, GiverId, JobId, ResultId, TaskId
from schemas.job import MIB
from schemas.states import Outcome

SEQUENCE_MOST = 16
SEQUENCE_BYTES = 32 << 10
"""What one message may hold where it holds several results. The channel writes some hundreds of
messages at once, and what it tells of them has to fit into one."""
SEQUENCE_CONTENT_TYPE = "application/json-seq"
_RECORD_SEPARATOR = b"\x1e"


class Stream(Part):
    """Of stdout or stderr: what the excerpt beside it leaves out."""

    bytes: int = Field(default=0, ge=0)
    """Length of the whole stream."""
    truncated: bool = False
    """The middle is missing: the excerpt holds the head, `tail` the end."""
    tail: str = ""
    encoding: Literal["utf-8", "base64"] = "utf-8"
    """Of the excerpt and the tail; base64 where the bytes are not UTF-8."""
    sha256: str | None = None
    """Over the whole stream, hexadecimal."""


class OutputFile(Part):
    """A file that the container left in /out."""

    path: RelativePath
    """Below /out."""
    size_bytes: int = Field(ge=0)
    sha256: Sha256


class Usage(Part):
    """What the run took. `None` where it could not be measured."""

    wall_s: float | None = Field(default=None, ge=0)
    cpu_s: float | None = Field(default=None, ge=0)
    peak_memory_bytes: int | None = Field(default=None, ge=0)
    disk_read_bytes: int | None = Field(default=None, ge=0)
    disk_written_bytes: int | None = Field(default=None, ge=0)
    """To and from block devices, so not what memory held."""
    received_bytes: int | None = Field(default=None, ge=0)
    sent_bytes: int | None = Field(default=None, ge=0)
    """By the network."""
    pull_s: float | None = Field(default=None, ge=0)


class Result(Message):
    """On `results` under `<giver>.<task>`: what one giver says of one assignment.

    Several small ones may come together, under the key of the first: see `sequence`.
    """

    MAX_BYTES: ClassVar[int] = 2 * MIB

    result_id: ResultId
    assignment_id: AssignmentId
    task_id: TaskId
    job_id: JobId
    giver_id: GiverId
    sent_at: AwareDatetime
    """By the giver's clock."""
    outcome: Outcome
    exit_code: int | None = None
    reason: str = Field(default="", max_length=2000)
    """For a person: why it did not succeed."""
    stdout: str = ""
    """The whole stream, or its head where it was truncated."""
    stderr: str = ""
    stdout_stream: Stream = Stream()
    stderr_stream: Stream = Stream()
    files: tuple[OutputFile, ...] = Field(default=(), max_length=MOST_FILES)
    exact_output: bool = True
    """False: the output was read back from a log that cannot be trusted with it, so this is no
    vote."""
    comparison: Comparison = Comparison()
    """As the assignment named it."""
    usage: Usage = Usage()
    image_digest: str | None = Field(default=None, max_length=1000)
    """As REPOSITORY@DIGEST where a registry has the image, else its id on the giver's Docker."""
    platform: Platform | None = None

    @classmethod
    def decode_all(cls, body: bytes) -> tuple[Self, ...]:
        """Those of one message.

        Raises:
            MalformedMessage: one of them is, or they are more than may come together.
        """
        if not body.startswith(_RECORD_SEPARATOR):
            return (cls.decode(body),)
        texts = [text.removesuffix(b"\n") for text in body[1:].split(_RECORD_SEPARATOR)]
        size = sum(map(len, texts))
        if len(texts) > SEQUENCE_MOST or size > SEQUENCE_BYTES:
            raise MalformedMessage(
                f"Result: {len(texts)} of together {size} bytes, at most {SEQUENCE_MOST} of "
                f"{SEQUENCE_BYTES} allowed: send less at a time"
            )
        results = []
        for number, text in enumerate(texts, 1):
            try:
                results.append(cls.decode(text))
            except MalformedMessage as error:
                raise MalformedMessage(f"{number} of {len(texts)}: {error}") from error
        return tuple(results)


def sequence(results: Sequence[bytes]) -> bytes:
    """One body of several encoded results, a JSON text sequence (RFC 7464); one stays as it is."""
    if len(results) == 1:
        return results[0]
    return b"".join(_RECORD_SEPARATOR + result + b"\n" for result in results)


class StoredResult(Part):
    """The part of a stored result that the seeker decides by."""

    result_id: ResultId
    assignment_id: AssignmentId
    task_id: TaskId
    job_id: JobId
    giver_id: GiverId
    outcome: Outcome
    exit_code: int | None
    reason: str
    digest: str | None
    """Of what is comparable between givers. `None`: says nothing of the task, so it is no vote."""
    comparable: str | None = None
    """Where the comparison allows for a tolerance: the text to compare."""
    files_digest: str | None = None
    """Of the output files, which are equal only to the byte. `None`: there are none."""
    image_digest: str | None = None
    stored_at: AwareDatetime
    """By the channel's clock."""


class StoredBatch(Message):
    """On `stored`: these results are in the channel's database, a majority of its members agreeing.

    A result may be named again; the one stored first is the one that stays.
    """

    MAX_BYTES: ClassVar[int] = 16 * MIB

    results: tuple[StoredResult, ...] = Field(min_length=1)
