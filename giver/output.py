"""What a container wrote: counted, hashed, and kept as head and tail. Pure.

Memory stays the same however much is written.
"""

from __future__ import annotations

import base64
import codecs
import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from schemas.job import MIB
from schemas.result import Stream

HEAD_BYTES = 64 << 10
TAIL_BYTES = 16 << 10
DEFAULT_LIMIT = 64 * MIB

STDOUT = 1
STDERR = 2
"""As Docker numbers the streams."""

_REPLACEMENT = "\ufffd".encode()


class Excerpt:
    """Head and tail of one stream of bytes, with its length and hash."""

    __slots__ = ("_hash", "_head", "_tail", "doubtful", "size")

    def __init__(self) -> None:
        self._head = bytearray()
        self._tail = bytearray()
        self._hash = hashlib.sha256()
        self.size = 0
        self.doubtful = False
        """A replacement character was seen."""

    def feed(self, data: bytes) -> None:
        self.size += len(data)
        self._hash.update(data)
        self.doubtful = self.doubtful or _REPLACEMENT in data
        room = HEAD_BYTES - len(self._head)
        if room > 0:
            self._head += data[:room]
            data = data[room:]
        if data:
            self._tail += data[-TAIL_BYTES:]
            if len(self._tail) > TAIL_BYTES:
                del self._tail[:-TAIL_BYTES]

    @property
    def sha256(self) -> str:
        return self._hash.hexdigest()

    def render(self) -> tuple[str, Stream]:
        """The excerpt and the description of the stream that goes with it."""
        if self.size == 0:
            return EMPTY
        head, tail = bytes(self._head), bytes(self._tail)
        truncated = self.size > len(head) + len(tail)
        if not truncated:
            head, tail = head + tail, b""
        text = _decode(head, tail)
        return text[0] if text else _base64(head), Stream.model_construct(
            bytes=self.size,
            truncated=truncated,
            tail=text[1] if text else _base64(tail),
            encoding="utf-8" if text else "base64",
            sha256=self.sha256,
        )


class Sink(Protocol):
    def feed(self, stream: int, data: bytes) -> None: ...


@dataclass(slots=True)
class Output:
    """Both streams of a container, and a limit on their sum.

    Fed by one thread; read after that thread is done with it.
    """

    limit: int
    on_excess: Callable[[], None]
    """Called once, by the feeding thread."""
    stdout: Excerpt
    stderr: Excerpt
    onlooker: Sink | None = None
    """Gets to see all that counts, too."""
    exceeded: bool = False

    def feed(self, stream: int, data: bytes) -> None:
        """What comes after the limit is dropped."""
        if self.exceeded:
            return
        (self.stderr if stream == STDERR else self.stdout).feed(data)
        if self.onlooker is not None:
            self.onlooker.feed(stream, data)
        if self.stdout.size + self.stderr.size > self.limit:
            self.exceeded = True
            self.on_excess()


def new_output(limit: int, on_excess: Callable[[], None], onlooker: Sink | None = None) -> Output:
    return Output(limit, on_excess, Excerpt(), Excerpt(), onlooker)


class FrameParser:
    """Docker's multiplexed stream: frames of `[stream, 0, 0, 0, length (4, big endian)]` + data."""

    HEADER = 8

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._buffer = bytearray()
        self._stream = STDOUT
        self._missing = 0
        """Bytes of the current frame yet to come."""
        self.frames = self.size = 0
        """So far; and bytes in them."""

    def feed(self, data: bytes) -> None:
        if self._buffer:
            self._buffer += data
            data = bytes(self._buffer)
            self._buffer.clear()
        position, end = 0, len(data)
        while position < end:
            if self._missing == 0:
                if end - position < self.HEADER:
                    break
                self._stream = data[position]
                self._missing = int.from_bytes(data[position + 4 : position + 8], "big")
                position += self.HEADER
                self.frames += 1
                self.size += self._missing
            piece = data[position : position + self._missing]
            if piece:
                self._sink.feed(self._stream, piece)
            self._missing -= len(piece)
            position += len(piece)
        self._buffer += data[position:]


def _decode(head: bytes, tail: bytes) -> tuple[str, str] | None:
    """Both as UTF-8, not counting a character cut in two where the middle was left out."""
    if not tail:
        try:
            return head.decode(), ""
        except UnicodeDecodeError:
            return None
    try:
        first = codecs.getincrementaldecoder("utf-8")().decode(head)
        start = next((i for i in range(min(4, len(tail))) if tail[i] & 0xC0 != 0x80), 0)
        return first, tail[start:].decode()
    except UnicodeDecodeError:
        return None


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


EMPTY = ("", Stream(sha256=hashlib.sha256().hexdigest()))
"""Of a stream that nothing was written to."""
