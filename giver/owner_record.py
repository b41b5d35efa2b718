"""The owner's word and the times at which all stood still, kept in the state folder."""

from __future__ import annotations

import time
from pathlib import Path

import structlog
from pydantic import BaseModel, ConfigDict, ValidationError

from giver.owner import Asked, Word
from giver.state_file import replace

log = structlog.get_logger(__name__)

_FILE = "owner.json"
_KEEP_SPANS = 1_000


class _Kept(BaseModel):
    model_config = ConfigDict(extra="ignore")

    asked: Asked = "open"
    until: float | None = None
    frozen: list[tuple[float, float | None]] = []
    """From, to; seconds since the epoch. The last is open while all stands still."""


class OwnerRecord:
    """Written whole at every change, and never half."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / _FILE
        self._kept = self._read()

    @property
    def word(self) -> Word:
        return Word(asked=self._kept.asked, until=self._kept.until)

    def say(self, word: Word) -> None:
        """
        Raises:
            OSError: it could not be written. A word that allows more does not hold then; any other
                does, until the giver is restarted.
        """
        kept = self._kept.model_copy(update={"asked": word.asked, "until": word.until})
        try:
            self._write(kept)
        except OSError:
            if word.asked != "open":
                self._kept = kept
            raise

    def frozen(self, now: float | None = None) -> None:
        """All stands still from now on."""
        spans = self._kept.frozen
        if not spans or spans[-1][1] is not None:
            self._spans([*spans[-_KEEP_SPANS:], (now or time.time(), None)])

    def thawed(self, now: float | None = None) -> None:
        spans = self._kept.frozen
        if spans and spans[-1][1] is None:
            self._spans([*spans[:-1], (spans[-1][0], now or time.time())])

    def frozen_s(self, since: float, now: float | None = None) -> float:
        """Seconds that all stood still after `since`."""
        present = now or time.time()
        return sum(
            max(0.0, (present if end is None else end) - max(begin, since))
            for begin, end in self._kept.frozen
        )

    def _spans(self, spans: list[tuple[float, float | None]]) -> None:
        kept = self._kept.model_copy(update={"frozen": spans})
        try:
            self._write(kept)
        except OSError as error:
            # Only a restart would count the time that stood still as time that ran.
            self._kept = kept
            log.warning("owner_record_not_written", file=str(self._file), reason=str(error))

    def _read(self) -> _Kept:
        try:
            return _Kept.model_validate_json(self._file.read_bytes())
        except FileNotFoundError:
            return _Kept()
        except (OSError, ValidationError) as error:
            # Unknown is not allowed: the owner may have said that nothing may run.
            log.error(
                "owner_record_unreadable",
                file=str(self._file),
                reason=str(error),
                remedy="paused until the owner says otherwise: `giver resume`",
            )
            return _Kept(asked="pause")

    def _write(self, kept: _Kept) -> None:
        replace(self._file, kept.model_dump_json())
        self._kept = kept
