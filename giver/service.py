"""The giver: its parts put together, started and stopped."""

from __future__ import annotations

import asyncio
import contextlib
from importlib import metadata
from typing import Any

import structlog
from prometheus_client import CollectorRegistry

from broker import Link
from giver import parent_cgroup, policy_file, registries
from giver.data import Data
from giver.docker_engine import DockerEngine
from giver.engine import Engine, EngineFacts
from giver.eviction import Evictor, used_share
from giver.health import Health
from giver.heartbeat import DEADLINE_S, Described, Pulse, compose
from giver.host import backlog, capacity, data_folder, host_platform
from giver.host_load import HostLoad
from giver.identity import StateDir
from giver.intake import Intake
from giver.journal import Journal, Snapshot
from giver.ledger import Ledger
from giver.live_logs import LOG_DEADLINE_S, LOG_WINDOW, LiveLogs
from giver.metrics import Metrics
from giver.outbox import Outbox
from giver.owner_record import OwnerRecord
from giver.pulled_images import PulledImages
from giver.runner import Runner
from giver.settings import GiverSettings
from giver.slots import Slots
from giver.speed import speed_of_host
from giver.steward import Steward
from giver.watch import Watch
from runtime.lifecycle import TaskGuard
from schemas.assignment import Dispatch
from schemas.heartbeat import Heartbeat
from schemas.identifiers import new_session
from schemas.logs import decode_control
from schemas.states import GiverState
from schemas.topology import HEARTBEATS, LOGS, RESULTS, control_queue, tasks_queue

log = structlog.get_logger(__name__)

_JOURNAL_FILE = "journal.sqlite"
_LAST_BEAT_S = 1.0
_LOOK_S = 0.1


class GiverService:
    """A `Component`: everything of a giver but its HTTP endpoint."""

    def __init__(
        self, settings: GiverSettings, guard: TaskGuard, engine: Engine | None = None
    ) -> None:
        """`engine`: instead of Docker.

        Raises:
            IdentityError: the state folder cannot be used, or is in use.
            SettingsError: the broker's URL is none, or the owner's policy or the credentials of
                registries cannot be used.
        """
        self._settings = settings
        self._guard = guard
        self._policy = policy_file.read(settings.policy, settings.state_dir)
        if settings.docker_config is not None:
            registries.known(settings.docker_config)
        self._link = Link(settings.broker_url, name="giver", topology=(RESULTS, HEARTBEATS, LOGS))
        self._state_dir = StateDir(settings.state_dir)
        try:
            self.giver_id = self._state_dir.identity(settings.id)
            self.control_token = self._state_dir.new_control_token()
        except BaseException:
            self._state_dir.close()
            raise
        giver_id = self.giver_id
        pulled = PulledImages(settings.state_dir)
        self._engine: Engine = engine or DockerEngine(
            giver_id, settings, self._policy.policy, pulled
        )
        self._data = Data(settings)
        self._metrics = Metrics()
        self._pulse = Pulse(
            self._link,
            self._link.publisher(window=100, deadline_s=DEADLINE_S),
            settings.heartbeat_interval_s,
            size=lambda: self._ledger.size(),
        )
        self._ledger = Ledger(self._pulse.changed)
        self._health = Health(self._pulse.changed)
        self._journal = Journal(settings.state_dir / _JOURNAL_FILE)
        self._outbox = Outbox(
            giver_id,
            self._link.publisher(),
            self._journal,
            self._ledger,
            self._metrics,
            on_confirmed=self._on_confirmed,
        )
        policy = self._policy.policy.of_a_task()
        has = capacity(settings, None, self._policy.policy)
        self._slots = Slots(has, backlog(settings, has))
        self._described = Described(
            giver_id=giver_id,
            boot_id=new_session(),
            interval_s=settings.heartbeat_interval_s,
            version=metadata.version("seekgive"),
            owner=settings.owner,
            labels=settings.labels,
            platform=host_platform(),
            policy=policy,
            speed=settings.speed,
        )
        self._facts: EngineFacts | None = None
        record = OwnerRecord(settings.state_dir)
        self._runner = Runner(
            giver_id,
            settings,
            self._engine,
            self._data,
            self._slots,
            self._journal,
            self._ledger,
            self._outbox,
            self._health,
            self._metrics,
            guard,
            self._described.platform,
            record.frozen_s,
            policy,
        )
        limits = settings.limits()
        load = HostLoad(limits, lambda: data_folder(settings, self._facts), self._our_cpu_s)
        self.steward = Steward(
            limits,
            record,
            load.look,
            settings.owner_check_interval_s,
            self._health,
            self._runner,
        )
        self.live_logs = LiveLogs(
            giver_id,
            self._link.publisher(window=LOG_WINDOW, deadline_s=LOG_DEADLINE_S),
            self._engine,
            guard,
            holds=lambda assignment_id: assignment_id in self._ledger.unfinished,
            container=self._runner.container,
        )
        self._intake = Intake(
            giver_id,
            self._link.consumer(
                queue=lambda session: tasks_queue(giver_id, session), decode=Dispatch.decode
            ),
            self._link.consumer(
                queue=lambda session: control_queue(giver_id, session),
                decode=decode_control,
            ),
            self._journal,
            self._ledger,
            self._outbox,
            self._runner,
            self._health,
            self._metrics,
            self.live_logs,
            policy,
        )
        evictor = Evictor(
            self._engine,
            pulled,
            self._metrics,
            settings.evict_above,
            settings.evict_below,
            used_share=lambda: used_share(data_folder(settings, self._facts)),
            in_use=lambda: {each.container.image for each in self._ledger.unfinished.values()},
        )
        self._watch = Watch(
            settings,
            self._engine,
            self._runner,
            self._ledger,
            self._journal,
            self._data,
            self._health,
            self._metrics,
            evictor,
            on_facts=self._on_facts,
            on_images=self._on_images,
        )
        self._background: list[asyncio.Task[Any]] = []

    async def start(self) -> None:
        """Returns without a broker or Docker, too: both are waited for in the background.

        Raises:
            JournalError: the journal cannot be opened.
        """
        self._restore(await self._journal.open())
        self.steward.look()
        await self._watch.look()
        for name, work in (
            ("watch", self._watch.run()),
            ("steward", self.steward.run()),
            ("outbox", self._outbox.run()),
            ("tasks", self._intake.take_tasks()),
            ("control", self._intake.take_control()),
            ("pulse", self._pulse.run(self._beat)),
            ("speed", self._measure_speed()),
        ):
            self._background.append(self._guard.spawn(work, name))
        await self._link.start()
        log.info(
            "giver_started",
            giver_id=self.giver_id,
            capacity=self._slots.capacity.model_dump(),
            state=self._health.state.value,
            reason=self._health.reason,
        )

    async def stop(self) -> None:
        """Containers run on; their assignments and all results are in the journal. With
        `stop_mode` drain, this is once everything has ended, or the deadline has passed."""
        if self._settings.stop_mode == "drain":
            await self._finish()
        self._health.stopping()
        with contextlib.suppress(Exception):
            # Nobody needs to be struck: say so while there is a connection.
            await asyncio.wait_for(self._pulse.send(self._beat), _LAST_BEAT_S)
        for task in self._background:
            task.cancel()
        # Here, for whoever cancels them once more would disturb them at clearing up.
        await asyncio.gather(*self._background, return_exceptions=True)
        await self._runner.stop()
        self._outbox.stop()
        await self._link.stop()
        await self._engine.close()
        await self._data.close()
        await self._journal.close()
        self._state_dir.close()
        log.info("giver_stopped", giver_id=self.giver_id)

    def config(self) -> list[dict[str, Any]]:
        """The settings and the owner's policy in force, and where each came from."""
        policy, source = self._policy.policy, self._policy.source
        return [
            *self._settings.explained(),
            *(
                {"variable": f"policy.{key}", "value": value, "source": source}
                for key, value in policy.items()
            ),
        ]

    async def _finish(self) -> None:
        """Until there is nothing more to do, or to wait for, as all stands still."""
        self._health.leaving()
        log.info("draining", running=self._slots.running, waiting=self._slots.waiting)
        loop = asyncio.get_running_loop()
        give_up_at = loop.time() + self._settings.stop_deadline_s
        while (  # noqa: ASYNC110 - what is waited for has many ends
            self._ledger.size() and loop.time() < give_up_at and not self.steward.frozen
        ):
            await asyncio.sleep(_LOOK_S)
        log.info("drained", left=self._ledger.size())

    def info(self) -> dict[str, Any]:
        beat = self._described
        return {
            "giver_id": self.giver_id,
            "boot_id": beat.boot_id,
            "session": self._link.session,
            "version": beat.version,
            "owner": beat.owner,
            "labels": beat.labels,
            "platform": beat.platform.model_dump(),
            "speed": beat.speed.model_dump() if beat.speed else None,
            "state": self._health.state.value,
            "reason": self._health.reason,
            "broker_connected": self._link.connected,
            "capacity": self._slots.capacity.model_dump(),
            "free": self._slots.free.model_dump(),
            "backlog": self._slots.backlog,
            "running": self._slots.running,
            "waiting": self._slots.waiting,
            "unconfirmed": self._ledger.unconfirmed,
            "images": list(beat.images),
        }

    def standing(self) -> dict[str, Any]:
        """What the owner said, what that means now, and how much there is to do."""
        word = self.steward.word
        return {
            "giver_id": self.giver_id,
            "state": self._health.state.value,
            "reason": self._health.reason,
            "asked": word.asked,
            "until": word.until,
            "running": self._slots.running,
            "waiting": self._slots.waiting,
            "unconfirmed": self._ledger.unconfirmed,
            "broker_connected": self._link.connected,
            "state_dir": str(self._settings.state_dir.absolute()),
        }

    def status(self) -> str:
        """What it is at, in a line."""
        work = f"{self._slots.running} running, {self._slots.waiting} waiting"
        return "; ".join([self._health.state.value, work, *self.troubles()])

    def troubles(self) -> list[str]:
        """Why assignments cannot arrive or run; empty: all is well."""
        found = [self._health.reason] if self._health.reason else []
        if not self._link.connected:
            found.append("not connected to the broker")
        elif self._link.blocked:
            found.append("the broker takes no messages: it is short of memory or disk")
        return found

    def measure(self) -> CollectorRegistry:
        self._metrics.running.set(self._slots.running)
        self._metrics.waiting.set(self._slots.waiting)
        self._metrics.unconfirmed.set(self._ledger.unconfirmed)
        self._metrics.ready.set(self._health.state is GiverState.READY)
        return self._metrics.registry

    def _restore(self, snapshot: Snapshot) -> None:
        self._ledger.confirmed(snapshot.confirmed)
        self._ledger.cancelled(snapshot.cancels)
        for assignment in snapshot.unfinished:
            self._ledger.accepted(assignment)
            self._slots.hold(assignment.assignment_id, assignment.container.resources)
        for assignment_id, body in snapshot.unconfirmed:
            self._ledger.reported(assignment_id)
            self._outbox.add(assignment_id, body)
        if snapshot.unfinished or snapshot.unconfirmed:
            log.info(
                "journal_restored",
                unfinished=len(snapshot.unfinished),
                unconfirmed=len(snapshot.unconfirmed),
            )

    def _beat(self, session: str, sequence: int) -> Heartbeat:
        self._described.pulls = tuple(self._engine.pulls())
        return compose(self._described, session, sequence, self._health, self._slots, self._ledger)

    def _on_confirmed(self) -> None:
        """Room for more results, so perhaps for more work."""
        self._runner.dispatch()

    async def _measure_speed(self) -> None:
        """Besides, as it takes a moment: until then the giver says nothing of it."""
        if self._described.speed is None:
            self._described.speed = await speed_of_host(self._settings.state_dir)
            self._pulse.changed(False)

    def _on_facts(self, facts: EngineFacts) -> None:
        """Docker answered for the first time: it knows better than the host."""
        self._facts = facts
        self._described.platform = self._runner.platform = facts.platform
        has = capacity(self._settings, facts, self._policy.policy)
        self._slots.resize(has, backlog(self._settings, has))

        if facts.parent.problem:
            log.warning(
                "tasks_not_limited_together",
                reason=facts.parent.problem,
                remedy=facts.parent.remedy,
            )

    def _our_cpu_s(self) -> float | None:
        if self._facts is None or not self._facts.parent.name:
            return None
        return parent_cgroup.cpu_s(self._facts.parent.name)

    def _on_images(self, images: tuple[str, ...]) -> None:
        if images != self._described.images:
            self._described.images = images
            self._pulse.changed(True)
