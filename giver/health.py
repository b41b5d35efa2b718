"""Whether this giver can do its work, and if not, why. Pure."""

from __future__ import annotations

from collections.abc import Callable

from giver.owner import OPEN, Verdict
from schemas.states import GiverState

_REASON_MAX = 500


class Health:
    """Reasons for being degraded come and go apart from one another."""

    def __init__(self, on_change: Callable[[bool], None]) -> None:
        """`on_change` as the ledger's."""
        self._on_change = on_change
        self._engine: str | None = "Docker was not asked yet"
        self._journal: str | None = None
        self._data: str | None = None
        self._owner = OPEN
        self._leaving = False
        self._stopping = False

    @property
    def state(self) -> GiverState:
        if self._leaving or self._stopping:
            return GiverState.DRAINING
        if self._owner.state is not GiverState.READY:
            return self._owner.state
        return GiverState.READY if self.trouble is None else GiverState.DEGRADED

    @property
    def reason(self) -> str:
        """For heartbeats and refusals; empty when ready."""
        if self._leaving or self._stopping:
            return "the giver is stopping"
        if self._owner.reason:
            return self._owner.reason[:_REASON_MAX]
        return (self.trouble or "")[:_REASON_MAX]

    @property
    def trouble(self) -> str | None:
        reasons = (self._engine, self._journal, self._data)
        return "; ".join(reason for reason in reasons if reason) or None

    @property
    def may_start(self) -> bool:
        """Whether what waits here may be started."""
        return self._engine is None and self._owner.start and not self._stopping

    @property
    def journal_ready(self) -> bool:
        return self._journal is None

    def engine_failed(self, reason: str) -> None:
        self._engine = self._set(self._engine, reason)

    def engine_works(self) -> None:
        self._engine = self._set(self._engine, None)

    def journal_failed(self, reason: str) -> None:
        self._journal = self._set(self._journal, reason)

    def journal_works(self) -> None:
        self._journal = self._set(self._journal, None)

    def data_failed(self, reason: str) -> None:
        self._data = self._set(self._data, reason)

    def data_works(self) -> None:
        self._data = self._set(self._data, None)

    def owner_allows(self, verdict: Verdict) -> None:
        if verdict != self._owner:
            self._owner = verdict
            self._on_change(True)

    def leaving(self) -> None:
        """It stops once it has finished what it has."""
        self._leaving = True
        self._on_change(True)

    def stopping(self) -> None:
        self._stopping = True

    def _set(self, before: str | None, after: str | None) -> str | None:
        if before != after:
            self._on_change(True)
        return after
