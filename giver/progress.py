"""How far a task says it is: a line `::progress 0.42 what it is at` on stdout or stderr. Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

from schemas.heartbeat import Progress

MARK = b"::progress "
_LONGEST_LINE = 300
_LINE = re.compile(rb"^::progress +([0-9.]{1,12})(%?)(?: +(.*?))?\s*$")

OnProgress = Callable[[Progress], None]


class ProgressLines:
    """A `Sink`; costs a search for the mark, and a look at the last line, in what is written."""

    def __init__(self, on_progress: OnProgress) -> None:
        """`on_progress`: called by the feeding thread, for the last of several at once."""
        self._on_progress = on_progress
        self._begun: dict[int, bytes] = {}
        """By stream: a line cut in two that may be one of ours."""

    def feed(self, stream: int, data: bytes) -> None:
        begun = self._begun.pop(stream, b"")
        if MARK not in data and not begun and not _may_begin(data):
            return
        *lines, rest = (begun + data).split(b"\n")
        if _may_begin(rest) and len(rest) <= _LONGEST_LINE:
            self._begun[stream] = rest
        for line in reversed(lines):
            if line.startswith(MARK) and (progress := parse(line)) is not None:
                self._on_progress(progress)
                return


def parse(line: bytes) -> Progress | None:
    """`None`: it does not say how far."""
    found = _LINE.match(line[:_LONGEST_LINE])
    if found is None:
        return None
    try:
        fraction = float(found[1]) / (100 if found[2] else 1)
    except ValueError:
        return None
    if not 0 <= fraction <= 1:
        return None
    note = (found[3] or b"").decode(errors="replace")
    printable = "".join(character for character in note if character.isprintable())
    return Progress(fraction=fraction, note=printable[:200])


def _may_begin(data: bytes) -> bool:
    """Whether the last, unfinished line may become one of ours."""
    last = data[data.rfind(b"\n") + 1 :]
    return bool(last) and (last.startswith(MARK) or MARK.startswith(last))
