"""What this giver has and what it has done, in memory; the journal is where it comes from. Pure."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from giver.journal import KEEP_RESULTS
from schemas.assignment import Assignment
from schemas.heartbeat import Held, Progress, Refusal
from schemas.states import AssignmentState

_KEEP_CANCELS = 20_000
_REFUSAL_REPEATS = 3
"""Heartbeats that name a refusal: each of them may be lost."""
_REFUSALS_AT_ONCE = 1_000
_REASON_MAX = 500


@dataclass(slots=True)
class _Told:
    refusal: Refusal
    times_left: int = _REFUSAL_REPEATS


@dataclass(slots=True)
class Ledger:
    on_change: Callable[[bool], None]
    """Called when a heartbeat would say something new; `True`: somebody may be waiting for it."""
    unfinished: dict[str, Assignment] = field(default_factory=dict)
    _states: dict[str, AssignmentState] = field(default_factory=dict)
    _progress: dict[str, Progress] = field(default_factory=dict)
    _confirmed: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _cancelled: OrderedDict[str, None] = field(default_factory=OrderedDict)
    _refusals: OrderedDict[str, _Told] = field(default_factory=OrderedDict)

    def accepted(self, assignment: Assignment) -> None:
        self.unfinished[assignment.assignment_id] = assignment
        self._states[assignment.assignment_id] = AssignmentState.ACCEPTED
        self._refusals.pop(assignment.assignment_id, None)
        self.on_change(False)

    def moved(self, assignment_id: str, state: AssignmentState) -> None:
        if assignment_id in self.unfinished:
            self._states[assignment_id] = state
            self.on_change(False)

    def progressed(self, assignment_id: str, progress: Progress) -> None:
        """The next heartbeats tell of it; nobody is in such a hurry that one goes for it."""
        if assignment_id in self.unfinished:
            self._progress[assignment_id] = progress

    def reported(self, assignment_id: str) -> None:
        """Its result is written down and on its way."""
        self.unfinished.pop(assignment_id, None)
        self._progress.pop(assignment_id, None)
        self._states[assignment_id] = AssignmentState.REPORTED
        self.on_change(False)

    def confirmed(self, assignment_ids: Iterable[str]) -> None:
        """The broker has these results."""
        for assignment_id in assignment_ids:
            self._states.pop(assignment_id, None)
            self._confirmed[assignment_id] = None
        _shorten(self._confirmed, KEEP_RESULTS)
        self.on_change(False)

    def cancelled(self, assignment_ids: Iterable[str]) -> None:
        for assignment_id in assignment_ids:
            self._cancelled[assignment_id] = None
        _shorten(self._cancelled, _KEEP_CANCELS)

    def refused(self, assignment_id: str, reason: str) -> None:
        self._refusals[assignment_id] = _Told(
            Refusal(assignment_id=assignment_id, reason=reason[:_REASON_MAX])
        )
        self.on_change(True)

    def holds(self, assignment_id: str) -> bool:
        """Unfinished, or its result not yet confirmed."""
        return assignment_id in self._states

    def has_confirmed(self, assignment_id: str) -> bool:
        return assignment_id in self._confirmed

    def is_cancelled(self, assignment_id: str) -> bool:
        return assignment_id in self._cancelled

    @property
    def unconfirmed(self) -> int:
        """Results on their way."""
        return len(self._states) - len(self.unfinished)

    def inventory(self) -> tuple[Held, ...]:
        return tuple(
            Held.model_construct(
                assignment_id=assignment_id,
                state=state,
                progress=self._progress.get(assignment_id),
            )
            for assignment_id, state in self._states.items()
        )

    def size(self) -> int:
        return len(self._states)

    def tell_refusals(self) -> tuple[Refusal, ...]:
        """Those that the next heartbeat names; each is named a few times."""
        told = []
        for assignment_id, entry in list(self._refusals.items())[:_REFUSALS_AT_ONCE]:
            told.append(entry.refusal)
            entry.times_left -= 1
            if entry.times_left == 0:
                del self._refusals[assignment_id]
        return tuple(told)


def _shorten(kept: OrderedDict[str, None], most: int) -> None:
    while len(kept) > most:
        kept.popitem(last=False)
