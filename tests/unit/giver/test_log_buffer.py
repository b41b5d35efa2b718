"""What a follower gets when a container writes faster than can be shown."""

from __future__ import annotations

from giver.log_buffer import LogBuffer
from giver.output import STDERR, STDOUT
from schemas.logs import CHUNK_CHARACTERS


def test_neighbours_of_one_stream_travel_together() -> None:
    buffer = LogBuffer()
    for stream, data in ((STDOUT, b"a"), (STDOUT, b"b"), (STDERR, b"c"), (STDOUT, b"d")):
        buffer.feed(stream, data)
    pieces = [buffer.take() for _ in range(4)]
    assert pieces == [("stdout", "ab", 0), ("stderr", "c", 0), ("stdout", "d", 0), None]


def test_the_oldest_is_dropped_and_counted() -> None:
    buffer = LogBuffer(holds_bytes=4)
    for data in (b"aaa", b"bbb", b"cc"):
        buffer.feed(STDOUT, data)
    assert buffer.take() == ("stdout", "cc", 6)
    assert buffer.take() is None


def test_one_piece_that_is_too_much_is_only_counted() -> None:
    buffer = LogBuffer(holds_bytes=4)
    buffer.feed(STDOUT, b"a" * 5)
    assert buffer.take() == ("stdout", "", 5)
    assert len(buffer) == 0


def test_a_chunk_fits_into_a_message_and_characters_stay_whole() -> None:
    buffer = LogBuffer(holds_bytes=1 << 20)
    text = "ä€😀" * CHUNK_CHARACTERS
    data = text.encode()[: 1 << 20]
    buffer.feed(STDOUT, data)
    pieces = []
    while (piece := buffer.take()) is not None:
        assert len(piece.text) <= CHUNK_CHARACTERS
        pieces.append(piece.text)
    assert len(pieces) > 5
    assert "".join(pieces) == data.decode(errors="ignore")
