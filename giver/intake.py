"""What arrives from the seeker: assignments to run, cancels to obey."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import structlog

from broker import Consumer, Delivery, LinkStopped
from giver.health import Health
from giver.journal import Journal, JournalError
from giver.ledger import Ledger
from giver.live_logs import LiveLogs
from giver.metrics import Metrics
from giver.outbox import Outbox
from giver.runner import Runner
from schemas.assignment import Assignment, CancelAssignments, Dispatch
from schemas.logs import StreamLogs
from schemas.policy import Policy, excess

log = structlog.get_logger(__name__)


class Intake:
    """Decode, write down, acknowledge, run: in this order, a batch at a time."""

    def __init__(
        self,
        giver_id: str,
        tasks: Consumer[Dispatch],
        control: Consumer[CancelAssignments | StreamLogs],
        journal: Journal,
        ledger: Ledger,
        outbox: Outbox,
        runner: Runner,
        health: Health,
        metrics: Metrics,
        live_logs: LiveLogs,
        policy: Policy,
    ) -> None:
        self._giver_id = giver_id
        self._tasks = tasks
        self._control = control
        self._journal = journal
        self._ledger = ledger
        self._outbox = outbox
        self._runner = runner
        self._health = health
        self._metrics = metrics
        self._live_logs = live_logs
        self._policy = policy

    async def take_tasks(self) -> None:
        """Until cancelled, or the link is stopped."""
        while True:
            try:
                batch = await self._tasks.take()
            except LinkStopped:
                return
            fresh, reported = self._sort(batch)
            fresh = await self._write_down(fresh)
            self._tasks.ack(batch)
            for assignment in fresh:
                self._ledger.accepted(assignment)
            self._metrics.accepted.inc(len(fresh))
            self._runner.offer(fresh)
            if reported:
                await self._send_again(reported)

    async def take_control(self) -> None:
        """Until cancelled, or the link is stopped."""
        while True:
            try:
                batch = await self._control.take()
            except LinkStopped:
                return
            ids: list[str] = []
            for delivery in batch:
                if isinstance(delivery.message, StreamLogs):
                    self._live_logs.ask(delivery.message)
                else:
                    ids += delivery.message.assignment_ids
            if not ids:  # The seeker may only have wanted to know whether somebody is here.
                self._control.ack(batch)
                continue
            self._ledger.cancelled(ids)
            try:
                await self._journal.remember_cancels(ids)
            except JournalError as error:
                # Obeyed all the same; only a restart would forget it, and the seeker asks again.
                self._health.journal_failed(str(error))
            self._control.ack(batch)
            for assignment_id in ids:
                self._runner.cancel(assignment_id)
            log.info("cancels_received", count=len(ids))
            reported = [each for each in ids if self._ledger.has_confirmed(each)]
            if reported:
                await self._send_again(reported)

    def _sort(self, batch: Sequence[Delivery[Dispatch]]) -> tuple[list[Assignment], list[str]]:
        """What is to be run, and the ids of those whose result was sent already."""
        fresh: dict[str, Assignment] = {}
        reported: list[str] = []
        refused: dict[str, str] = {}
        for delivery in batch:
            if delivery.message.giver_id != self._giver_id:
                log.warning("dispatch_for_another_giver", giver_id=delivery.message.giver_id)
                continue
            for assignment in delivery.message.assignments:
                assignment_id = assignment.assignment_id
                if self._ledger.holds(assignment_id) or assignment_id in fresh:
                    continue
                if self._ledger.has_confirmed(assignment_id):
                    reported.append(assignment_id)
                elif (reason := self._refusal(assignment, len(fresh))) is not None:
                    refused[assignment_id] = reason
                else:
                    fresh[assignment_id] = assignment
        self._refuse(refused)
        return list(fresh.values()), reported

    def _refusal(self, assignment: Assignment, ahead: int) -> str | None:
        if self._health.reason:
            return self._health.reason
        if (over := excess(self._policy, assignment.container)) is not None:
            return f"its owner {over.reason}"
        return self._runner.slots.refusal(assignment.container.resources, ahead)

    def _refuse(self, reasons: Mapping[str, str]) -> None:
        for assignment_id, reason in reasons.items():
            self._ledger.refused(assignment_id, reason)
            log.debug("assignment_refused", assignment_id=assignment_id, reason=reason)
        if reasons:
            self._metrics.refused.inc(len(reasons))
            some = next(iter(reasons.values()))
            log.info("assignments_refused", count=len(reasons), reason=some)

    async def _write_down(self, assignments: list[Assignment]) -> list[Assignment]:
        """Those that are in the journal; where it cannot be written, none, and all are refused."""
        try:
            await self._journal.accept(assignments)
        except JournalError as error:
            self._health.journal_failed(str(error))
            self._refuse({each.assignment_id: str(error) for each in assignments})
            return []
        return assignments

    async def _send_again(self, assignment_ids: Sequence[str]) -> None:
        try:
            kept = await self._journal.results(assignment_ids)
        except JournalError as error:
            self._health.journal_failed(str(error))
            return
        for assignment_id, body in kept:
            self._outbox.add(assignment_id, body)
        log.info("results_sent_again", count=len(kept))
