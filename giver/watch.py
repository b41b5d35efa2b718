"""Looking after Docker: whether it answers, what it has, what was left over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

import structlog

from giver.data import Data
from giver.engine import Engine, EngineError, EngineFacts
from giver.eviction import Evictor
from giver.health import Health
from giver.journal import Journal, JournalError
from giver.ledger import Ledger
from giver.metrics import Metrics
from giver.reaper import overdue, sort_found
from giver.runner import Runner
from giver.settings import GiverSettings

log = structlog.get_logger(__name__)


class Watch:
    """Runs every `docker_check_interval_s`, and is never held up by a Docker that hangs."""

    def __init__(
        self,
        settings: GiverSettings,
        engine: Engine,
        runner: Runner,
        ledger: Ledger,
        journal: Journal,
        data: Data,
        health: Health,
        metrics: Metrics,
        evictor: Evictor,
        on_facts: Callable[[EngineFacts], None],
        on_images: Callable[[tuple[str, ...]], None],
    ) -> None:
        self._settings = settings
        self._engine = engine
        self._runner = runner
        self._ledger = ledger
        self._journal = journal
        self._data = data
        self._health = health
        self._metrics = metrics
        self._evictor = evictor
        self._on_facts = on_facts
        self._on_images = on_images
        self._recovered = False
        self._away_since: float | None = None
        self._reaped_at = time.monotonic()

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(self._settings.docker_check_interval_s)
            await self.look()

    async def look(self) -> None:
        """One round; the first that succeeds adopts what an earlier start left."""
        await self._look_at_journal()
        await self._look_at_data()
        try:
            async with asyncio.timeout(2 * self._settings.docker_check_deadline_s):
                facts = await self._engine.probe()
            if not self._recovered:
                self._on_facts(facts)
                await self._recover()
            images = await self._engine.images()
        except (EngineError, TimeoutError) as error:
            self._engine_failed(str(error) or "Docker does not answer in time")
            return
        self._on_images(tuple(sorted(images)))
        if self._away_since is not None:
            log.info("docker_back", seconds=round(time.monotonic() - self._away_since, 1))
            self._away_since = None
        self._health.engine_works()
        self._runner.dispatch()
        await self._reap_in_time()
        await self._evictor.look()

    def _engine_failed(self, reason: str) -> None:
        now = time.monotonic()
        if self._away_since is None:
            self._away_since = now
            log.error(
                "docker_unusable",
                reason=reason,
                remedy="see that the daemon runs (systemctl status docker), that this user may use "
                "its socket (group docker), and that GIVER_DOCKER_HOST or DOCKER_HOST name it",
            )
        self._health.engine_failed(reason)
        if now - self._away_since > self._settings.docker_patience_s:
            self._runner.give_up_waiting(f"not started: {reason}")

    async def _look_at_journal(self) -> None:
        if self._health.journal_ready:
            return
        try:
            await self._journal.check()
        except JournalError:
            return
        self._health.journal_works()

    async def _look_at_data(self) -> None:
        try:
            await self._data.check()
        except OSError as error:
            self._health.data_failed(f"tasks' files find no place here: {error}")
        else:
            self._health.data_works()

    async def _recover(self) -> None:
        adopted, leftover = sort_found(await self._engine.owned(), self._ledger.unfinished)
        for assignment, container in adopted:
            self._runner.adopt(assignment, container)
            log.info(
                "container_adopted",
                assignment_id=assignment.assignment_id,
                container=container.id[:12],
            )
        self._recovered = True
        await self._runner.remove_leftover_files()
        for container in leftover:
            await self._engine.remove(container)
            self._metrics.reaped.inc()
            log.info(
                "container_reaped",
                assignment_id=container.assignment_id,
                container=container.id[:12],
            )

    async def _reap_in_time(self) -> None:
        if time.monotonic() - self._reaped_at < self._settings.reap_interval_s:
            return
        self._reaped_at = time.monotonic()
        await self._runner.remove_leftover_files()
        try:
            found = await self._engine.owned()
            late = overdue(found, self._runner.owns, time.time(), self._settings.reap_grace_s)
            for container in late:
                await self._engine.remove(container)
                self._metrics.reaped.inc()
                log.warning(
                    "container_reaped",
                    assignment_id=container.assignment_id,
                    container=container.id[:12],
                )
        except EngineError as error:
            log.warning("reaping_failed", reason=str(error))
