"""One term of leadership: from the lease to its loss.

A turn takes all that has come in since the last one, decides, writes down, then acts: publishes
what follows and acknowledges what was read. Nothing is sent, and nothing acknowledged, that is not
in the database; what was written and not sent is sent again when its giver is heard next.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import random
import time
from collections.abc import Awaitable, Callable, Collection, Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import NamedTuple, TypeVar

import structlog
from tenacity import AsyncRetrying, retry_if_exception_type, wait_random_exponential

from broker import Consumer, Link, PublishError, Unroutable
from runtime.lifecycle import TaskGuard
from schemas import topology
from schemas.assignment import Assignment as AssignmentMessage
from schemas.assignment import CancelAssignments, Dispatch
from schemas.heartbeat import Heartbeat
from schemas.identifiers import new_session
from schemas.job import Command, JobSpec, Submission
from schemas.result import StoredBatch, StoredResult
from schemas.states import TaskState
from schemas.topology import DEFAULT_EXCHANGE
from seeker import access, comparing, rendering
from seeker.changes import Changes
from seeker.database import StoreUnreachable
from seeker.fleet import RECONNECT_S, Fleet
from seeker.model import Assignment, Now, Task
from seeker.reviews import Reviewer
from seeker.scheduler import Scheduler
from seeker.settings import SeekerSettings
from seeker.store import Store
from seeker.writes import Writes

log = structlog.get_logger(__name__)

TICK_S = 0.25
ROUND_TRIP_EVERY_S = 1.0
"""The broker is asked for a sign of life this often..."""
ROUND_TRIP_LATE_S = 2.5
"""...and when the last is older than this, the seeker blames itself and not the givers."""

DISPATCH_AT_MOST = 100
DISPATCH_CHARACTERS = 2 << 20
"""Assignments, and characters of their containers, in one message: JSON may need six bytes each."""
ARRIVALS_WAITING = 8
"""Batches that may wait for the next turn; beyond, reading stops and the broker keeps the rest."""

LOOK_EVERY_S = 0.4
LOOKED_FOR_AT_ONCE = 100
"""Givers at work, of more a random choice: in a large fleet their heartbeats are soon enough."""
NOTHING = CancelAssignments(assignment_ids=()).encode()

TURNS_AT_ONCE = 2
"""While one turn is written down the next is decided, and written too if it is about others."""


class LeaseLost(RuntimeError):
    """Another seeker may lead from now on: this one must not write any more."""


T = TypeVar("T")

Event = Callable[[Scheduler, Now], None]


class Arrival(NamedTuple):
    """What came in at once, and what to do when its effects are written down and sent."""

    events: list[Event]
    done: Callable[[], None] = lambda: None


class Inbox:
    """What waits for the next turn. What the leader tells itself never has to wait for room."""

    def __init__(self, room: int) -> None:
        self._arrivals: asyncio.Queue[Arrival] = asyncio.Queue()
        self._room = asyncio.Semaphore(room)

    async def put(self, arrival: Arrival) -> None:
        await self._room.acquire()
        done = arrival.done

        def free() -> None:
            self._room.release()
            done()

        self._arrivals.put_nowait(Arrival(arrival.events, free))

    def put_nowait(self, arrival: Arrival) -> None:
        self._arrivals.put_nowait(arrival)

    async def take(self, *, wait: bool) -> list[Arrival]:
        """All that is there; with `wait` at least one."""
        taken = [await self._arrivals.get()] if wait else []
        while not self._arrivals.empty():
            taken.append(self._arrivals.get_nowait())
        return taken


class Leader:
    """Leads until cancelled, or until `lease_valid` says no."""

    def __init__(
        self,
        settings: SeekerSettings,
        store: Store,
        lease_valid: Callable[[], bool],
    ) -> None:
        self._settings = settings
        self._signer = access.signer(settings)
        self._store = store
        self._lease_valid = lease_valid
        self._inbox = Inbox(ARRIVALS_WAITING)
        self._room = asyncio.Semaphore(TURNS_AT_ONCE)
        self._writing: dict[str, asyncio.Task[None]] = {}
        """By job and giver, the latest turn that writes about them."""
        self._last_round_trip = float("-inf")
        self._all_back_at = float("inf")
        """Monotonic; when all givers have had the time to connect again."""
        # One link for each direction: a broker short of memory or disk stops reading from whoever
        # publishes, and acknowledgements, which would relieve it, must not wait behind that.
        writing = Link(settings.broker_url, name="seeker writing", topology=topology.DURABLE)
        link = Link(settings.broker_url, name="seeker", topology=topology.DURABLE)
        self._links = (writing, link)
        self._publisher = writing.publisher(window=5000, deadline_s=30.0)
        self._probe = writing.publisher(window=1, deadline_s=3600.0)
        self._submissions = link.consumer(
            queue=lambda _: topology.SUBMISSIONS, decode=Submission.decode, prefetch=100
        )
        self._commands = link.consumer(
            queue=lambda _: topology.COMMANDS, decode=Command.decode, prefetch=100
        )
        self._stored = link.consumer(
            queue=lambda _: topology.SEEKER_STORED, decode=StoredBatch.decode, prefetch=200
        )
        reader = new_session()
        self._heartbeats = link.consumer(
            queue=lambda session: topology.heartbeat_queue(f"seeker-{reader}", session),
            decode=Heartbeat.decode,
            bind_to=[topology.HEARTBEATS],
            auto_ack=True,
        )

    async def lead(self) -> None:
        """
        Raises:
            LeaseLost: somebody else may lead now.
            StoreError: the database refused.
        """
        now = _now()
        jobs, givers, former = await self._patiently(lambda: self._store.load(now))
        awaited = {other for job in jobs for other in job.waits_for}
        awaited |= comparing.job_ids(task for job in jobs for task in job.tasks.values())
        ended = await self._patiently(lambda: self._store.job_states(awaited))
        fleet = Fleet(self._settings.strikes)
        for giver in givers:
            fleet.add(giver)
        fleet.former = former
        scheduler = Scheduler(
            fleet, jobs, now, dispute_grace_s=self._settings.dispute_grace_s, ended=ended
        )
        log.info("leading", jobs=len(jobs), givers=len(givers))
        guard = TaskGuard(expected=(LeaseLost, StoreUnreachable))
        late: asyncio.Queue[StoredResult] = asyncio.Queue()
        reviewer = Reviewer(fleet, self._specs, self._publisher, self._reviewed)
        for link in self._links:
            await link.start()
        try:
            guard.spawn(self._take_submissions(), "submissions")
            guard.spawn(
                self._take(self._commands, lambda m: lambda s, now: s.commanded(m, now)),
                "commands",
            )
            guard.spawn(
                self._take(self._stored, lambda m: lambda s, now: s.stored(m.results, now)),
                "stored",
            )
            guard.spawn(
                self._take(self._heartbeats, lambda m: lambda s, now: s.heard(m, now)),
                "heartbeats",
            )
            guard.spawn(self._ask_broker(), "round trips")
            guard.spawn(self._tick(), "ticks")
            guard.spawn(self._look_for_givers(fleet), "looking for givers")
            guard.spawn(reviewer.run(), "reviews")
            guard.spawn(self._hear_late(late), "late results")
            guard.spawn(self._take_turns(scheduler, fleet, reviewer, late, guard), "turns")
            await guard.failed
        finally:
            await guard.cancel()
            for link in reversed(self._links):
                await link.stop()

    # -- Intake ---------------------------------------------------------------------------------

    async def _take(self, consumer: Consumer[T], event: Callable[[T], Event]) -> None:
        while True:
            batch = await consumer.take()
            events = [event(delivery.message) for delivery in batch]
            await self._inbox.put(Arrival(events, functools.partial(consumer.ack, batch)))

    async def _take_submissions(self) -> None:
        consumer = self._submissions
        while True:
            batch = await consumer.take()
            submissions = [delivery.message for delivery in batch]
            # A job that has ended is in the database only: the scheduler forgot it.
            ids = {s.job_id for s in submissions} | {o for s in submissions for o in s.spec.after}
            states = await self._patiently(functools.partial(self._store.job_states, ids))
            events = [_submitted(s, states) for s in submissions if s.job_id not in states]
            await self._inbox.put(Arrival(events, functools.partial(consumer.ack, batch)))

    async def _ask_broker(self) -> None:
        """A confirmed message to nobody proves that the way to the broker and back is open, and
        that it takes messages: while it does not, givers cannot be heard either."""
        while True:
            await self._probe.publish(
                exchange=DEFAULT_EXCHANGE,
                routing_key="nobody",
                body=b"",
                message_id="probe",
                mandatory=False,
                persistent=False,
            )
            self._last_round_trip = time.monotonic()
            await asyncio.sleep(ROUND_TRIP_EVERY_S)

    async def _tick(self) -> None:
        away = True
        while True:
            before = time.monotonic()
            await asyncio.sleep(TICK_S)
            after = time.monotonic()
            # A gap between ticks means that this process itself stood still.
            paused = after - before > ROUND_TRIP_LATE_S
            if paused or after - self._last_round_trip > ROUND_TRIP_LATE_S:
                away = True
                continue
            event: Event = Scheduler.was_away if away else Scheduler.ticked
            if away:
                self._all_back_at = after + RECONNECT_S
            away = False
            await self._inbox.put(Arrival([event]))

    async def _look_for_givers(self, fleet: Fleet) -> None:
        """A giver that dies takes its queues with it: messages to nobody find that out at once,
        while heartbeats are waited for. Only those are looked for who have something to lose, and
        not while everybody may be connecting again."""
        while True:
            await asyncio.sleep(LOOK_EVERY_S)
            if time.monotonic() < self._all_back_at:
                continue
            busy = [g for g in fleet.givers.values() if g.assignments and not g.unreachable]
            for giver in random.sample(busy, min(len(busy), LOOKED_FOR_AT_ONCE)):
                if giver.session is not None:
                    await self._look_for(giver.id, giver.session)

    async def _look_for(self, giver_id: str, session: str) -> None:
        def gone(confirmed: asyncio.Future[None]) -> None:
            if not confirmed.cancelled() and isinstance(confirmed.exception(), Unroutable):
                event: Event = lambda scheduler, now: scheduler.gone(giver_id, session, now)  # noqa: E731
                self._inbox.put_nowait(Arrival([event]))

        with contextlib.suppress(PublishError):
            confirmed = await self._publisher.send(
                exchange=DEFAULT_EXCHANGE,
                routing_key=topology.control_queue(giver_id, session).name,
                body=NOTHING,
                message_id="are you there",
                persistent=False,
            )
            confirmed.add_done_callback(gone)

    # -- Turns ----------------------------------------------------------------------------------

    async def _take_turns(
        self,
        scheduler: Scheduler,
        fleet: Fleet,
        reviewer: Reviewer,
        late: asyncio.Queue[StoredResult],
        guard: TaskGuard,
    ) -> None:
        more = False
        while True:
            await self._room.acquire()
            arrivals = await self._inbox.take(wait=not more)
            now = _now()
            for arrival in arrivals:
                for event in arrival.events:
                    try:
                        event(scheduler, now)
                    except Exception:  # A defect of ours must not stop everybody's work.
                        log.exception("event_failed")
            more = scheduler.place(now)
            changes = scheduler.take_changes()
            writes = Writes.of(changes, now)
            for job_id, error in writes.broken.items():
                scheduler.abandon(job_id, error, now)
                more = True
            earlier = {self._writing[about] for about in writes.about if about in self._writing}
            turn = guard.spawn(self._carry_out(changes, writes, fleet, arrivals, earlier), "turn")
            for giver_id in changes.reviewers:
                turn.add_done_callback(functools.partial(_then, reviewer.add, giver_id))
            for result in changes.late_results:
                turn.add_done_callback(functools.partial(_then, late.put_nowait, result))
            for about in writes.about:
                self._writing[about] = turn
            turn.add_done_callback(functools.partial(self._carried_out, writes))

    async def _carry_out(
        self,
        changes: Changes,
        writes: Writes,
        fleet: Fleet,
        arrivals: Sequence[Arrival],
        earlier: Collection[asyncio.Task[None]],
    ) -> None:
        """Write a turn down, after `earlier` ones about the same jobs or givers, then act."""
        if earlier:
            await asyncio.wait(earlier)
            for turn in earlier:
                turn.result()
        if writes:
            await self._patiently(functools.partial(self._store.commit, writes))
        await self._act(changes, fleet)
        for arrival in arrivals:
            arrival.done()

    def _carried_out(self, writes: Writes, turn: asyncio.Task[None]) -> None:
        for about in writes.about:
            if self._writing.get(about) is turn:
                del self._writing[about]
        self._room.release()

    async def _specs(self, job_ids: Sequence[str]) -> Mapping[str, JobSpec]:
        return await self._patiently(functools.partial(self._store.specs, job_ids))

    async def _hear_late(self, late: asyncio.Queue[StoredResult]) -> None:
        """What comes too late for its task, which is in the database only, tells of its giver."""
        while True:
            result = await late.get()
            task = await self._patiently(functools.partial(self._store.late_vote, result))
            if task is not None:
                await self._inbox.put(Arrival([_late(task, result)]))

    def _reviewed(self, giver_id: str, marks: Mapping[str, str]) -> None:
        event: Event = lambda scheduler, _: scheduler.reviewed(giver_id, marks)  # noqa: E731
        self._inbox.put_nowait(Arrival([event]))

    async def _patiently(self, operation: Callable[[], Awaitable[T]]) -> T:
        """Try again while the database is away, for as long as the lease holds."""
        async for attempt in AsyncRetrying(
            retry=retry_if_exception_type(StoreUnreachable),
            wait=wait_random_exponential(multiplier=0.1, max=2.0),
            before_sleep=lambda state: log.warning("database_away", attempt=state.attempt_number),
        ):
            with attempt:
                if not self._lease_valid():
                    raise LeaseLost(
                        "the lease ran out: the database was away, or the seeker stood still"
                    )
                return await operation()
        raise AssertionError("unreachable: tenacity tries for ever")

    async def _act(self, changes: Changes, fleet: Fleet) -> None:
        """Send what follows from changes that are written down."""
        for giver_id, ids in changes.cancels.items():
            giver = fleet.givers.get(giver_id)
            if giver is not None and giver.session is not None:
                cancel = CancelAssignments(assignment_ids=tuple(dict.fromkeys(ids)))
                queue = topology.control_queue(giver_id, giver.session)
                await self._send(queue.name, cancel.encode(), f"cancel-{ids[0]}", None)
        for giver_id, assignments in changes.dispatches.items():
            giver = fleet.givers.get(giver_id)
            if giver is None or giver.session is None:
                continue
            queue = topology.tasks_queue(giver_id, giver.session)
            wanted = [assignment for assignment in assignments if assignment.live]
            for part in _parts(wanted):
                messages = self._rendered(part)
                if messages:
                    dispatch = Dispatch.model_construct(giver_id=giver_id, assignments=messages)
                    ids = [message.assignment_id for message in messages]
                    await self._send(queue.name, dispatch.encode(), ids[0], (ids, giver_id))

    def _rendered(self, assignments: Sequence[Assignment]) -> tuple[AssignmentMessage, ...]:
        """Their messages, without those of jobs for which it goes wrong."""
        messages = []
        for assignment in assignments:
            try:
                messages.append(self._with_data(rendering.message_of(assignment)))
            except Exception as error:
                self._abandon(assignment.task.job.id, error)
        return tuple(messages)

    def _with_data(self, message: AssignmentMessage) -> AssignmentMessage:
        """With the right to its files, where it has any."""
        spec = message.container
        if not (spec.inputs or spec.outputs):
            return message
        if self._signer is None:
            raise LookupError("the task has files, and the seeker no SEEKER_ARTIFACTS_KEY: set it")
        return message.model_copy(update={"data": access.data_access(message, self._signer)})

    def _abandon(self, job_id: str, error: Exception) -> None:
        event: Event = lambda scheduler, now: scheduler.abandon(job_id, error, now)  # noqa: E731
        self._inbox.put_nowait(Arrival([event]))

    async def _send(
        self, queue: str, body: bytes, message_id: str, sent: tuple[list[str], str] | None
    ) -> None:
        """`sent`: the assignments in it and their giver, placed anew if it does not arrive."""
        try:
            confirmed = await self._publisher.send(
                exchange=DEFAULT_EXCHANGE, routing_key=queue, body=body, message_id=message_id
            )
        except PublishError as error:
            self._not_sent(queue, sent, error)
        else:
            confirmed.add_done_callback(functools.partial(self._settled, queue, sent))

    def _settled(
        self, queue: str, sent: tuple[list[str], str] | None, confirmed: asyncio.Future[None]
    ) -> None:
        error = None if confirmed.cancelled() else confirmed.exception()
        if error is not None:
            self._not_sent(queue, sent, error)

    def _not_sent(
        self, queue: str, sent: tuple[list[str], str] | None, error: BaseException
    ) -> None:
        log.warning("not_delivered", queue=queue, error=str(error))
        if sent is None:
            return  # Heartbeats tell what still has to be withdrawn.
        tell = Scheduler.returned if isinstance(error, Unroutable) else Scheduler.undelivered
        event: Event = lambda scheduler, now: tell(scheduler, *sent, now)  # noqa: E731
        self._inbox.put_nowait(Arrival([event]))


def _then(call: Callable[[T], None], argument: T, turn: asyncio.Task[None]) -> None:
    """Once the turn is written down."""
    if not turn.cancelled() and turn.exception() is None:
        call(argument)


def _late(task: Task, result: StoredResult) -> Event:
    return lambda scheduler, now: scheduler.late(task, result, now)


def _submitted(submission: Submission, states: Mapping[str, TaskState]) -> Event:
    return lambda scheduler, now: scheduler.submitted(submission, states, now)


def _parts(assignments: Sequence[Assignment]) -> Iterator[Sequence[Assignment]]:
    """What one message takes, by number and by size."""
    part: list[Assignment] = []
    size = 0
    for assignment in assignments:
        size += assignment.task.job.largest
        if part and (len(part) == DISPATCH_AT_MOST or size > DISPATCH_CHARACTERS):
            yield part
            part, size = [], assignment.task.job.largest
        part.append(assignment)
    if part:
        yield part


def _now() -> Now:
    return Now(time.monotonic(), datetime.now(UTC))
