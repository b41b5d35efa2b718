"""Output: counted and hashed whole, kept as head and tail."""

from __future__ import annotations

import base64
import hashlib

from hypothesis import given
from hypothesis import strategies as st

from giver.output import HEAD_BYTES, TAIL_BYTES, Excerpt, FrameParser, new_output


def excerpt(*pieces: bytes) -> Excerpt:
    made = Excerpt()
    for piece in pieces:
        made.feed(piece)
    return made


def frame(stream: int, data: bytes) -> bytes:
    return bytes([stream, 0, 0, 0]) + len(data).to_bytes(4, "big") + data


def test_what_fits_into_head_and_tail_is_kept_whole() -> None:
    data = bytes(range(32, 127)) * 1000
    data = data[: HEAD_BYTES + TAIL_BYTES]
    text, stream = excerpt(data).render()
    assert text.encode() == data
    assert (stream.bytes, stream.truncated, stream.tail) == (len(data), False, "")


def test_one_byte_more_leaves_out_the_middle() -> None:
    data = b"h" * HEAD_BYTES + b"m" + b"t" * TAIL_BYTES
    text, stream = excerpt(data).render()
    assert (text, stream.tail) == ("h" * HEAD_BYTES, "t" * TAIL_BYTES)
    assert stream.truncated
    assert stream.bytes == len(data)
    assert stream.sha256 == hashlib.sha256(data).hexdigest()


def test_a_character_cut_in_two_does_not_make_text_binary() -> None:
    data = b"x" + "ü".encode() * HEAD_BYTES
    text, stream = excerpt(data).render()
    assert stream.encoding == "utf-8"
    assert text == "x" + "ü" * ((HEAD_BYTES - 1) // 2)
    assert set(stream.tail) == {"ü"}


def test_bytes_that_are_no_text_are_base64_in_head_and_tail() -> None:
    data = b"\xff" * (HEAD_BYTES + TAIL_BYTES + 1)
    text, stream = excerpt(data).render()
    assert stream.encoding == "base64"
    assert base64.b64decode(text) == data[:HEAD_BYTES]
    assert base64.b64decode(stream.tail) == data[:TAIL_BYTES]


@given(st.lists(st.binary(max_size=50_000), max_size=12))
def test_pieces_make_no_difference(pieces: list[bytes]) -> None:
    assert excerpt(*pieces).render() == excerpt(b"".join(pieces)).render()


@given(
    st.lists(st.tuples(st.sampled_from([1, 2]), st.binary(max_size=40)), max_size=20),
    st.integers(1, 17),
)
def test_frames_are_found_however_the_stream_is_cut(
    frames: list[tuple[int, bytes]], cut: int
) -> None:
    wire = b"".join(frame(stream, data) for stream, data in frames)
    output = new_output(1 << 20, lambda: None)
    parser = FrameParser(output)
    for start in range(0, len(wire), cut):
        parser.feed(wire[start : start + cut])
    for stream, kept in ((1, output.stdout), (2, output.stderr)):
        whole = b"".join(data for number, data in frames if number == stream)
        assert kept.sha256 == hashlib.sha256(whole).hexdigest()
        assert kept.size == len(whole)


def test_the_limit_counts_both_streams_and_is_told_once() -> None:
    told: list[bool] = []
    output = new_output(10, lambda: told.append(True))
    output.feed(1, b"12345")
    output.feed(2, b"12345")
    assert not told
    output.feed(1, b"6")
    output.feed(1, b"7")
    assert told == [True]
    assert output.stdout.size == 6


def test_a_replacement_character_raises_doubt() -> None:
    assert not excerpt(b"plain").doubtful
    assert excerpt("a\ufffdb".encode()).doubtful
