"""Whether two votes say the same. Pure.

Equality within a tolerance need not be transitive: 1.0, 1.1 and 1.2 with a tolerance of 0.1. What
follows from that is decided in `seeker/agreement.py`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from itertools import zip_longest
from typing import Any, Protocol

from schemas.comparison import Comparison
from schemas.states import Outcome

_NUMBER = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)")
_BLANKS = re.compile(r"[ \t]+")
_BEFORE_A_NUMBER = re.compile(r"(?<![\d.]) (?=[-+]?\.?\d)")
"""But not between two of them, which would become one."""

_UNREADABLE = (ValueError, RecursionError, OverflowError)
"""What a stranger's text may do to a parser; such texts are equal only to the byte."""


class Comparable(Protocol):
    """What of a vote is compared."""

    @property
    def result_id(self) -> str: ...
    @property
    def digest(self) -> str: ...
    @property
    def outcome(self) -> Outcome: ...
    @property
    def exit_code(self) -> int | None: ...
    @property
    def comparable(self) -> str | None: ...
    @property
    def files_digest(self) -> str | None: ...


Equality = Callable[[Comparable, Comparable], bool]
"""Reflexive and symmetric."""

Pair = tuple[str, str]
"""Two results, by id, in order."""


def pair_of(one: Comparable, other: Comparable) -> Pair:
    first, second = sorted((one.result_id, other.result_id))
    return first, second


def equality(comparison: Comparison, known: Mapping[Pair, bool]) -> Equality:
    """`known`: what the user's own container said, where it is that which compares."""
    if not comparison.tolerant:
        return same_digest
    if comparison.by == "image":
        return lambda one, other: (
            one.digest == other.digest or known.get(pair_of(one, other), False)
        )

    def within(one: Comparable, other: Comparable) -> bool:
        if one.digest == other.digest:
            return True
        if not same_but_for_stdout(one, other):
            return False
        if one.comparable is None or other.comparable is None:
            return False
        return _equal(comparison, *sorted((one.comparable, other.comparable)))

    return within


def same_digest(one: Comparable, other: Comparable) -> bool:
    return one.digest == other.digest


def same_but_for_stdout(one: Comparable, other: Comparable) -> bool:
    """What no tolerance is for."""
    mine = (one.outcome, one.exit_code, one.files_digest)
    return mine == (other.outcome, other.exit_code, other.files_digest)


@lru_cache(maxsize=1024)
def _equal(comparison: Comparison, one: str, other: str) -> bool:
    """Remembered, as each look at a task compares all of its votes again."""
    try:
        if comparison.by == "json":
            return _alike(comparison, *map(_read, (one, other)))
        return _numbers_alike(comparison, one, other)
    except _UNREADABLE:
        return False


def _read(text: str) -> Any:
    return json.loads(text, parse_float=_finite, object_pairs_hook=_named_once)


def _named_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """
    Raises:
        ValueError: readers differ in which of two values of one name they take.
    """
    if len({name for name, _ in pairs}) < len(pairs):
        raise ValueError("a name twice in one object")
    return dict(pairs)


def _alike(comparison: Comparison, one: Any, other: Any) -> bool:
    # To Python, True is 1.
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, int | float) and isinstance(other, int | float):
        return _close(comparison, one, other)
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(
            _alike(comparison, value, other[name]) for name, value in one.items()
        )
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(
            _alike(comparison, *pair) for pair in zip(one, other, strict=True)
        )
    return bool(one == other)


def _numbers_alike(comparison: Comparison, one: str, other: str) -> bool:
    """Text in even positions has to be the same, numbers in odd ones about the same."""
    pieces = zip_longest(*(_NUMBER.split(_unaligned(text)) for text in (one, other)))
    for position, (mine, theirs) in enumerate(pieces):
        if mine == theirs:
            continue
        if mine is None or theirs is None or position % 2 == 0:
            return False
        if not _close(comparison, _number(mine), _number(theirs)):
            return False
    return True


def _unaligned(text: str) -> str:
    """Without the blanks that fill columns: 9.99 is one shorter than 10.00."""
    return _BEFORE_A_NUMBER.sub("", _BLANKS.sub(" ", text))


def _number(text: str) -> float:
    try:
        return int(text)
    except ValueError:
        return _finite(text)


def _finite(text: str) -> float:
    """Numbers too large for a float would all be the same to it."""
    number = float(text)
    if math.isinf(number):
        raise OverflowError(f"{text[:20]}... is too large a number")
    return number


def _close(comparison: Comparison, one: float, other: float) -> bool:
    if math.isnan(one) and math.isnan(other):
        return True
    if isinstance(one, int) and isinstance(other, int):  # Which floats would round.
        largest = max(abs(one), abs(other))
        return one == other or abs(one - other) <= max(
            comparison.relative * largest, comparison.absolute
        )
    return math.isclose(one, other, rel_tol=comparison.relative, abs_tol=comparison.absolute)
