"""Keeps to the owner's word and limits: looks at the host, and lets the giver follow."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from giver.health import Health
from giver.owner import Limits, Sample, Verdict, Word, judge
from giver.owner_record import OwnerRecord
from giver.runner import Runner

log = structlog.get_logger(__name__)


class Steward:
    """The first word of the owner holds before anything is adopted or taken."""

    def __init__(
        self,
        limits: Limits,
        record: OwnerRecord,
        sample: Callable[[], Sample],
        interval_s: float,
        health: Health,
        runner: Runner,
    ) -> None:
        self._limits = limits
        self._record = record
        self._sample = sample
        self._interval_s = interval_s
        self._health = health
        self._runner = runner
        self._verdict: Verdict | None = None

    @property
    def word(self) -> Word:
        return self._record.word.at(time.time())

    @property
    def frozen(self) -> bool:
        """All stands still."""
        return self._verdict is not None and self._verdict.freeze

    def say(self, word: Word) -> None:
        """
        Raises:
            OSError: as `OwnerRecord.say`.
        """
        try:
            self._record.say(word)
            log.info("owner_said", asked=word.asked, until=word.until)
        finally:
            self.look()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._interval_s)
            self.look()

    def look(self) -> None:
        verdict = judge(self._limits, self._record.word, self._sample())
        if verdict == self._verdict:
            return
        log.info("owner_allows", state=verdict.state.value, reason=verdict.reason)
        self._verdict = verdict
        if verdict.freeze:
            self._record.frozen()
            self._runner.freeze()
        else:
            self._record.thawed()
            self._runner.thaw()
        self._health.owner_allows(verdict)
        self._runner.dispatch()
