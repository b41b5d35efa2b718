"""Assignments waiting, running, and concluded: slots before the engine, the journal behind it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from giver.data import Data
from giver.engine import Container, Engine, EngineError
from giver.execution import Execution
from giver.health import Health
from giver.journal import Journal, JournalError
from giver.ledger import Ledger
from giver.metrics import Metrics
from giver.outbox import Outbox
from giver.outcome import CANCELLED_BEFORE_START, Finding, compose
from giver.settings import GiverSettings
from giver.slots import Slots
from runtime.lifecycle import TaskGuard
from schemas.assignment import Assignment
from schemas.heartbeat import Platform
from schemas.policy import Policy
from schemas.states import Outcome

log = structlog.get_logger(__name__)

_JOURNAL_AGAIN = wait_random_exponential(multiplier=0.5, max=10)
"""Without end: a result that cannot be written down cannot be dropped either."""

MAX_UNCONFIRMED = 5_000
"""With so many results on their way nothing new is started: memory holds them all."""


class Runner:
    """Owns every execution. A result is written down, then sent, then its container removed."""

    def __init__(
        self,
        giver_id: str,
        settings: GiverSettings,
        engine: Engine,
        data: Data,
        slots: Slots,
        journal: Journal,
        ledger: Ledger,
        outbox: Outbox,
        health: Health,
        metrics: Metrics,
        guard: TaskGuard,
        platform: Platform,
        frozen_s: Callable[[float], float],
        policy: Policy,
    ) -> None:
        """`frozen_s`: seconds that all stood still since a time in seconds since the epoch."""
        self.slots = slots
        self.platform = platform
        self._giver_id = giver_id
        self._settings = settings
        self._engine = engine
        self._data = data
        self._journal = journal
        self._ledger = ledger
        self._outbox = outbox
        self._health = health
        self._metrics = metrics
        self._guard = guard
        self._frozen_s = frozen_s
        self._policy = policy
        self._frozen = False
        self._executions: dict[str, Execution] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._results = {
            outcome: metrics.results.labels(outcome=outcome.value) for outcome in Outcome
        }

    def offer(self, assignments: Sequence[Assignment]) -> None:
        """These are in the journal: run them when there is room."""
        for assignment in assignments:
            if self._ledger.is_cancelled(assignment.assignment_id):
                self._spawn(self._conclude(assignment, CANCELLED_BEFORE_START))
            else:
                self.slots.hold(assignment.assignment_id, assignment.container.resources)
        self.dispatch()

    def adopt(self, assignment: Assignment, container: Container) -> None:
        """Its container exists from an earlier start of this giver: go on with it."""
        self.slots.withdraw(assignment.assignment_id)
        self.slots.occupy(assignment.assignment_id, assignment.container.resources, container.gpus)
        self._execute(assignment, container)
        if self._ledger.is_cancelled(assignment.assignment_id):
            self._executions[assignment.assignment_id].cancel()

    def cancel(self, assignment_id: str) -> None:
        """Kill it, or take it out of the queue; the result says cancelled. Else nothing."""
        if (execution := self._executions.get(assignment_id)) is not None:
            execution.cancel()
        elif self.slots.withdraw(assignment_id):
            self._spawn(
                self._conclude(self._ledger.unfinished[assignment_id], CANCELLED_BEFORE_START)
            )

    def dispatch(self) -> None:
        """Start all that may start."""
        if not self._health.may_start or self._ledger.unconfirmed >= MAX_UNCONFIRMED:
            return
        for assignment_id in self.slots.take():
            self._execute(self._ledger.unfinished[assignment_id])

    def freeze(self) -> None:
        """All that runs stands still, and all that is just being started will."""
        self._frozen = True
        for execution in self._executions.values():
            execution.freeze()

    def thaw(self) -> None:
        self._frozen = False
        for execution in self._executions.values():
            execution.thaw()

    def give_up_waiting(self, reason: str) -> None:
        """Docker is away for too long: let others try."""
        for assignment_id, assignment in list(self._ledger.unfinished.items()):
            if self.slots.withdraw(assignment_id):
                finding = Finding(outcome=Outcome.INFRASTRUCTURE_ERROR, reason=reason)
                self._spawn(self._conclude(assignment, finding))

    def container(self, assignment_id: str) -> Container | None:
        """That of an assignment, once it runs."""
        execution = self._executions.get(assignment_id)
        return execution.container if execution is not None and execution.running else None

    def owns(self, assignment_id: str) -> bool:
        """An execution is on it, so its container must be left alone."""
        return assignment_id in self._executions

    async def remove_leftover_files(self) -> None:
        """Those of assignments that are neither run nor waited for."""
        await self._data.remove_others({*self._executions, *self._ledger.unfinished})

    async def stop(self) -> None:
        """Let go of everything; containers run on and are adopted at the next start."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        for task in tasks:
            with contextlib.suppress(asyncio.CancelledError):
                await task

    def _execute(self, assignment: Assignment, container: Container | None = None) -> None:
        execution = Execution(
            assignment,
            self._engine,
            self._data,
            self._settings,
            self._ledger.moved,
            self._ledger.progressed,
            container,
            self.slots.gpus(assignment.assignment_id),
            self._frozen_s,
            self._policy,
        )
        if self._frozen:
            execution.freeze()
        self._executions[assignment.assignment_id] = execution
        self._spawn(self._run(execution))

    async def _run(self, execution: Execution) -> None:
        assignment = execution.assignment
        try:
            finding = await execution.run()
            await self._conclude(assignment, finding)
            # What has ended needs neither CPUs nor memory: the next one starts while it goes.
            self.slots.release(assignment.assignment_id)
            self.dispatch()
            if execution.container is not None:
                await self._remove(execution.container)
            await self._data.remove(assignment)
        finally:
            del self._executions[assignment.assignment_id]

    async def _conclude(self, assignment: Assignment, finding: Finding) -> None:
        body = compose(
            finding, assignment, self._giver_id, self.platform, datetime.now(UTC)
        ).encode()
        await self._write_down(assignment.assignment_id, body)
        self._ledger.reported(assignment.assignment_id)
        self._outbox.add(assignment.assignment_id, body)
        self._results[finding.outcome].inc()
        if finding.usage.wall_s is not None:
            self._metrics.run_seconds.observe(finding.usage.wall_s)
        if finding.usage.pull_s:
            self._metrics.pull_seconds.observe(finding.usage.pull_s)
        log.debug(
            "assignment_ended",
            assignment_id=assignment.assignment_id,
            outcome=finding.outcome.value,
            exit_code=finding.exit_code,
            reason=finding.reason,
        )

    async def _write_down(self, assignment_id: str, body: bytes) -> None:
        try:
            await self._journal.finish(assignment_id, body)
            return
        except JournalError as error:
            self._health.journal_failed(str(error))
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(JournalError), wait=_JOURNAL_AGAIN
        ):
            with attempt:
                await self._journal.finish(assignment_id, body)

    async def _remove(self, container: Container) -> None:
        try:
            await self._engine.remove(container)
        except EngineError as error:
            # The reaper will find it.
            log.warning(
                "container_not_removed",
                assignment_id=container.assignment_id,
                reason=str(error),
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._guard.spawn(work, "assignment")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
