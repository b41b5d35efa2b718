"""How far a task says it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from giver.output import STDERR, STDOUT
from giver.progress import ProgressLines, parse
from schemas.heartbeat import Progress


def told(*pieces: tuple[int, bytes]) -> list[tuple[float, str]]:
    found: list[Progress] = []
    lines = ProgressLines(found.append)
    for stream, data in pieces:
        lines.feed(stream, data)
    return [(progress.fraction, progress.note) for progress in found]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (b"::progress 0.42 step 3 of 7", (0.42, "step 3 of 7")),
        (b"::progress 42%", (0.42, "")),
        (b"::progress 1\r", (1.0, "")),
        (b"::progress 0 \x1b[31mred\xff", (0.0, "[31mred\ufffd")),
        (b"::progress 1.5", None),
        (b"::progress half", None),
        (b"::progress 1.2.3", None),
        (b"::progress", None),
        (b"::progress 0.5" + b" " * 1000 + b"x", (0.5, "")),
    ],
)
def test_lines(line: bytes, expected: tuple[float, str] | None) -> None:
    found = parse(line)
    assert (found and (found.fraction, found.note)) == expected


def test_the_last_of_several_counts() -> None:
    assert told((STDOUT, b"::progress 0.1\nwork\n::progress 0.2 b\n::progress x\n")) == [(0.2, "b")]


def test_a_line_within_a_line_is_none() -> None:
    assert told((STDOUT, b"say ::progress 0.5\n"), (STDOUT, b"  ::progress 0.5\n")) == []


def test_streams_do_not_mix() -> None:
    assert told((STDOUT, b"::prog"), (STDERR, b"ress 0.5\n")) == []


def test_a_line_without_end_is_not_kept_for_ever() -> None:
    lines = ProgressLines(lambda _: None)
    for _ in range(100):
        lines.feed(STDOUT, b"::progress 0.5 " + b"x" * 1000)
    assert sum(map(len, lines._begun.values())) <= 300


@given(st.lists(st.integers(1, 12), max_size=8))
def test_however_it_is_cut(lengths: list[int]) -> None:
    data = b"a\n::progress 0.5 half\nb\n"
    pieces, position = [], 0
    for length in lengths:
        pieces.append((STDERR, data[position : position + length]))
        position += length
    pieces.append((STDERR, data[position:]))
    assert told(*pieces) == [(0.5, "half")]
