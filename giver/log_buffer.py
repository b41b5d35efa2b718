"""What a container wrote and a follower has not got yet: bounded, the oldest goes first."""

from __future__ import annotations

import codecs
import threading
from collections import deque
from typing import Literal, NamedTuple

from giver.output import STDERR
from schemas.logs import CHUNK_CHARACTERS

HOLDS_BYTES = 256 << 10


class Piece(NamedTuple):
    stream: Literal["stdout", "stderr"]
    text: str
    dropped_bytes: int


class LogBuffer:
    """A `Sink` for one thread, emptied by another."""

    def __init__(self, holds_bytes: int = HOLDS_BYTES) -> None:
        self._holds_bytes = holds_bytes
        self._lock = threading.Lock()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._size = 0
        self._dropped = 0
        decoder = codecs.getincrementaldecoder("utf-8")
        self._decoders = {False: decoder("replace"), True: decoder("replace")}

    def feed(self, stream: int, data: bytes) -> None:
        with self._lock:
            self._waiting.append((stream, data))
            self._size += len(data)
            while self._size > self._holds_bytes:
                _, lost = self._waiting.popleft()
                self._size -= len(lost)
                self._dropped += len(lost)

    def __len__(self) -> int:
        return self._size

    def take(self) -> Piece | None:
        """The next that fits into one message; `None`: nothing waits."""
        with self._lock:
            if not self._waiting and not self._dropped:
                return None
            dropped, self._dropped = self._dropped, 0
            stream = self._waiting[0][0] if self._waiting else 0
            data = bytearray()
            while self._waiting and self._waiting[0][0] == stream:
                room = CHUNK_CHARACTERS - 4 - len(data)
                _, piece = self._waiting.popleft()
                data += piece[:room]
                if len(piece) > room:
                    self._waiting.appendleft((stream, piece[room:]))
                    break
            self._size -= len(data)
        text = self._decoders[stream == STDERR].decode(bytes(data))
        return Piece("stderr" if stream == STDERR else "stdout", text, dropped)
