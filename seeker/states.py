"""Which state may follow which. Final states stay, whatever arrives later.

Task: `pending → active → succeeded | failed | cancelled`, and back to `pending` where every try was
lost before it said anything. Assignment: `placed → accepted → pulling → running → reported`, or
`refused`, `lost`, `cancelled`; a step may be skipped, as heartbeats are samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum
from typing import TypeVar

from schemas.states import AssignmentState as A
from schemas.states import TaskState as T

S = TypeVar("S", bound=StrEnum)

TASK: Mapping[T, frozenset[T]] = {
    T.PENDING: frozenset({T.ACTIVE, T.FAILED, T.CANCELLED}),
    T.ACTIVE: frozenset({T.PENDING, T.SUCCEEDED, T.FAILED, T.CANCELLED}),
    T.SUCCEEDED: frozenset(),
    T.FAILED: frozenset(),
    T.CANCELLED: frozenset(),
}

_ENDINGS = frozenset({A.REPORTED, A.REFUSED, A.LOST, A.CANCELLED})

ASSIGNMENT: Mapping[A, frozenset[A]] = {
    A.PLACED: _ENDINGS | {A.ACCEPTED, A.PULLING, A.RUNNING},
    A.ACCEPTED: _ENDINGS | {A.PULLING, A.RUNNING},
    A.PULLING: _ENDINGS | {A.RUNNING},
    A.RUNNING: _ENDINGS,
    A.REPORTED: frozenset(),
    A.REFUSED: frozenset(),
    A.LOST: frozenset(),
    A.CANCELLED: frozenset(),
}


class IllegalTransition(RuntimeError):
    """A state was to follow one that it may not follow; the message carries the history."""


def follow(table: Mapping[S, frozenset[S]], current: S, following: S, history: object) -> S:
    """`following`, if `table` allows it after `current`.

    Raises:
        IllegalTransition: it does not; `history` is shown.
    """
    if following not in table[current]:
        raise IllegalTransition(f"{current} -> {following} is not allowed; history: {history!r}")
    return following
