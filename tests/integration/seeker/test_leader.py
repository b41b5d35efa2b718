"""The seeker against a real broker and database; giver and channel are played by the test."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from types import ModuleType
from typing import Any, Self

import pytest

from broker import Consumer, Link
from runtime.lifecycle import TaskGuard
from schemas import identifiers, topology
from schemas.assignment import Assignment, CancelAssignments, Dispatch
from schemas.heartbeat import Capacity, Heartbeat, Held, Platform
from schemas.job import Agreement, ContainerSpec, JobSpec, Placement
from schemas.result import StoredBatch, StoredResult
from schemas.states import AssignmentState, GiverState, Outcome
from seeker import documents, rendering
from seeker.catalogue import Catalogue
from seeker.client import Client
from seeker.service import SeekerService
from seeker.settings import SeekerSettings
from seeker.store import Store
from seeker.writes import Writes

pytestmark = pytest.mark.timeout(60)


class PlayedGiver:
    """Speaks the protocol: beats, collects assignments, and has results stored."""

    def __init__(self, url: str, giver_id: str, containers: int = 1000) -> None:
        self.id = giver_id
        self.capacity = Capacity(
            cpus=containers, memory_bytes=1 << 50, disk_bytes=1 << 50, containers=containers
        )
        self.link = Link(url, name=giver_id, topology=topology.DURABLE)
        self.publisher = self.link.publisher()
        self.tasks: Consumer[Dispatch] = self.link.consumer(
            queue=lambda session: topology.tasks_queue(giver_id, session), decode=Dispatch.decode
        )
        self.control: Consumer[CancelAssignments] = self.link.consumer(
            queue=lambda session: topology.control_queue(giver_id, session),
            decode=CancelAssignments.decode,
        )
        self.held: dict[str, Assignment] = {}
        self.sequence = 0

    async def beat(self, interval_s: float = 2.0) -> None:
        self.sequence += 1
        beat = Heartbeat(
            giver_id=self.id,
            boot_id="boot",
            session=self.link.session,
            sequence=self.sequence,
            interval_s=interval_s,
            state=GiverState.READY,
            version="test",
            platform=Platform(os="linux", architecture="amd64"),
            capacity=self.capacity,
            free=self.capacity,
            backlog=0,
            inventory=tuple(
                Held(assignment_id=held, state=AssignmentState.RUNNING) for held in self.held
            ),
        )
        await self.publisher.publish(
            exchange=topology.HEARTBEATS.name,
            routing_key="",
            body=beat.encode(),
            message_id=str(self.sequence),
            mandatory=False,
        )

    async def keep_beating(self) -> None:
        while True:
            await self.beat()
            await asyncio.sleep(0.2)

    async def collect(self, count: int) -> list[Assignment]:
        """Wait until `count` different assignments are held."""
        while len(self.held) < count:
            batch = await self.tasks.take()
            for delivery in batch:
                self.held |= {a.assignment_id: a for a in delivery.message.assignments}
            self.tasks.ack(batch)
        return list(self.held.values())

    async def succeed(self, *assignments: Assignment, digest: str = "same") -> None:
        """As the channel would tell it."""
        batch = StoredBatch(
            results=tuple(
                StoredResult(
                    result_id=identifiers.result_id(a.assignment_id, self.id),
                    assignment_id=a.assignment_id,
                    task_id=a.task_id,
                    job_id=a.job_id,
                    giver_id=self.id,
                    outcome=Outcome.SUCCEEDED,
                    exit_code=0,
                    reason="",
                    digest=digest,
                    stored_at=datetime.now(UTC),
                )
                for a in assignments
            )
        )
        await self.publisher.publish(
            exchange=topology.STORED.name,
            routing_key="",
            body=batch.encode(),
            message_id=assignments[0].assignment_id,
        )
        for assignment in assignments:
            self.held.pop(assignment.assignment_id, None)


@contextlib.asynccontextmanager
async def joined(url: str, giver_id: str, containers: int = 1000) -> AsyncIterator[PlayedGiver]:
    giver = PlayedGiver(url, giver_id, containers)
    await giver.link.start(timeout_s=10)
    beating = asyncio.create_task(giver.keep_beating())
    try:
        yield giver
    finally:
        beating.cancel()
        await giver.link.stop()


@pytest.fixture
def settings(broker_url: str, mongodb_url: str) -> SeekerSettings:
    return SeekerSettings(
        broker_url=broker_url,
        mongodb_url=mongodb_url,
        database=f"test_seeker_{identifiers.new_session()}",
        lease_s=2,
    )


@pytest.fixture
async def store(settings: SeekerSettings) -> AsyncIterator[Catalogue]:
    store = Catalogue(settings.mongodb_url, settings.database)
    yield store
    await store._client.drop_database(settings.database)
    await store.close()


@contextlib.asynccontextmanager
async def running(settings: SeekerSettings) -> AsyncIterator[SeekerService]:
    guard = TaskGuard()
    service = SeekerService(settings, guard)
    await service.start()
    try:
        yield service
    finally:
        await service.stop()
        await guard.cancel()


async def until(condition: Callable[[], object], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while True:
            found = condition()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            await asyncio.sleep(0.05)


async def job_state(store: Catalogue, job_id: str) -> str | None:
    document = await store.job(job_id)
    return document["state"] if document else None


def spec(count: int = 1) -> JobSpec:
    return JobSpec(container=ContainerSpec(image="image", command=("x", "{{index}}")), count=count)


async def test_a_job_goes_out_and_ends_with_its_results(
    settings: SeekerSettings, store: Catalogue
) -> None:
    async with running(settings), joined(settings.broker_url, "g1") as giver:
        submission = await Client(settings).submit(spec(300))
        assignments = await giver.collect(300)
        assert {a.container.command for a in assignments} == {("x", str(i)) for i in range(300)}
        await giver.succeed(*assignments)
        await until(lambda: _ended(store, submission.job_id))
        job = await store.job(submission.job_id)
        assert job is not None
        assert job["counts"]["succeeded"] == 300


async def _ended(store: Catalogue, job_id: str) -> bool:
    return await job_state(store, job_id) == "succeeded"


async def test_a_silent_giver_is_purged_and_its_task_goes_to_the_next(
    settings: SeekerSettings, store: Catalogue
) -> None:
    async with running(settings):
        async with joined(settings.broker_url, "g1") as first:
            submission = await Client(settings).submit(spec())
            await first.collect(1)
        # Its connection is gone, and with it the heartbeats.
        async with joined(settings.broker_url, "g2") as second:
            (assignment,) = await second.collect(1)
            assert assignment.assignment_id.endswith("-2")
            await second.succeed(assignment)
            await until(lambda: _ended(store, submission.job_id))
        await until(lambda: _purged(store, "g1"))
        former = {g["_id"]: g for g in await store.givers(former=True)}
        assert former["g1"]["strikes"] >= 3
        task = await store.task(assignment.task_id)
        assert task is not None
        assert [a["state"] for a in task["assignments"]] == ["lost", "reported"]


async def _purged(store: Catalogue, giver_id: str) -> bool:
    giver = await store.giver(giver_id)
    return giver is not None and not giver["member"]


async def test_a_vote_that_comes_when_its_task_is_over_counts_once_for_its_giver(
    settings: SeekerSettings, store: Catalogue
) -> None:
    agreement = Agreement(replicas=3, quorum=2)
    async with (
        running(settings),
        joined(settings.broker_url, "g1") as first,
        joined(settings.broker_url, "g2") as second,
    ):
        async with joined(settings.broker_url, "g3") as third:
            await until(lambda: _members(store, 3))
            submission = await Client(settings).submit(
                spec().model_copy(update={"agreement": agreement})
            )
            (late,) = await third.collect(1)
        for giver in (first, second):
            await giver.succeed(*await giver.collect(1))
        await until(lambda: _ended(store, submission.job_id))
        await until(lambda: _purged(store, "g3"))
        for _ in range(2):  # As everything may be told twice.
            async with joined(settings.broker_url, "g3") as back:
                await back.succeed(late, digest="other")
        await until(lambda: _caught(store, "g3"))
        # Once the end of this one is known, all that was told before has been heard.
        following = await Client(settings).submit(
            spec().model_copy(update={"placement": Placement(require='id == "g1"')})
        )
        await first.succeed(*await first.collect(1))
        await until(lambda: _ended(store, following.job_id))
        giver_document = await store.giver("g3")
        assert giver_document is not None
        assert giver_document["standing"]["reputation"]["lies"] == 1


async def _members(store: Catalogue, count: int) -> bool:
    return len(await store.givers()) == count


async def _caught(store: Catalogue, giver_id: str) -> bool:
    giver = await store.giver(giver_id)
    return giver is not None and giver["standing"]["reputation"]["lies"] > 0


async def test_a_cancelled_job_tells_its_giver_to_stop(
    settings: SeekerSettings, store: Catalogue
) -> None:
    async with running(settings), joined(settings.broker_url, "g1") as giver:
        client = Client(settings)
        submission = await client.submit(spec(3))
        assignments = await giver.collect(3)
        await client.command("cancel", submission.job_id)
        told: set[str] = set()
        while len(told) < 3:
            batch = await giver.control.take()
            told |= {i for delivery in batch for i in delivery.message.assignment_ids}
            giver.control.ack(batch)
        assert told == {a.assignment_id for a in assignments}


@pytest.mark.parametrize("broken", [(rendering, "message_of"), (documents, "task")])
async def test_a_job_that_the_seeker_fails_at_fails_and_the_others_go_on(
    settings: SeekerSettings,
    store: Catalogue,
    monkeypatch: pytest.MonkeyPatch,
    broken: tuple[ModuleType, str],
) -> None:
    victim = identifiers.new_job_id()
    original = getattr(*broken)

    def step(item: Any) -> Any:
        if victim in item.id:
            raise ZeroDivisionError("as it happens")
        return original(item)

    monkeypatch.setattr(*broken, step)
    async with running(settings), joined(settings.broker_url, "g1") as giver:
        client = Client(settings)
        with monkeypatch.context() as patched:
            patched.setattr(identifiers, "new_job_id", lambda: victim)
            await client.submit(spec(3))
        other = await client.submit(spec(3))
        assignments = await giver.collect(3)
        assert {a.job_id for a in assignments} == {other.job_id}
        await giver.succeed(*assignments)
        await until(lambda: _ended(store, other.job_id))
        job = await store.job(victim)
        assert job is not None
        assert job["state"] == "failed"
        assert job["counts"]["failed"] == 3
        assert "ZeroDivisionError: as it happens" in job["withdrawn"]["reason"]


async def test_turns_about_different_jobs_are_written_side_by_side(
    settings: SeekerSettings, store: Catalogue, monkeypatch: pytest.MonkeyPatch
) -> None:
    slow = identifiers.new_job_id()
    begun, let_go = asyncio.Event(), asyncio.Event()
    commit = Store.commit

    async def commit_slowly(self: Store, writes: Writes) -> None:
        if slow in writes.about:
            begun.set()
            await let_go.wait()
        await commit(self, writes)

    monkeypatch.setattr(Store, "commit", commit_slowly)
    async with running(settings), joined(settings.broker_url, "g1") as giver:
        client = Client(settings)
        await until(store.givers)
        with monkeypatch.context() as patched:
            patched.setattr(identifiers, "new_job_id", lambda: slow)
            await client.submit(spec(2))
        await begun.wait()
        other = await client.submit(spec(2))
        assert {a.job_id for a in await giver.collect(2)} == {other.job_id}
        let_go.set()
        assert {a.job_id for a in await giver.collect(4)} == {other.job_id, slow}
        await giver.succeed(*giver.held.values())
        await until(lambda: _ended(store, slow))


async def test_what_a_new_leader_cannot_read_it_leaves_alone(
    settings: SeekerSettings, store: Catalogue
) -> None:
    async with joined(settings.broker_url, "g1") as giver:
        async with running(settings):
            client = Client(settings)
            damaged_job, damaged_task, whole = [await client.submit(spec(2)) for _ in range(3)]
            await giver.collect(6)
        await store._jobs.update_one({"_id": damaged_job.job_id}, {"$set": {"spec": "{}"}})
        await store._tasks.update_one(
            {"job_id": damaged_task.job_id, "index": 1}, {"$unset": {"votes": True}}
        )
        await store._givers.insert_one({"_id": "g0", "member": True, "beat": "?"})
        async with running(settings):
            await giver.succeed(*giver.held.values())
            await until(lambda: _ended(store, whole.job_id))
        for job in (damaged_job, damaged_task):
            assert await job_state(store, job.job_id) == "active"


async def test_another_seeker_stands_by_and_takes_over(
    settings: SeekerSettings, store: Catalogue
) -> None:
    async with joined(settings.broker_url, "g1") as giver:
        async with running(settings), running(settings):
            submission = await Client(settings).submit(spec(5))
            await giver.collect(5)
        # Both are gone; a third goes on where they stopped.
        async with running(settings):
            await giver.succeed(*giver.held.values())
            await until(lambda: _ended(store, submission.job_id))


class SeekerProcess:
    """`seeker run`, killed and started again; gone when the block ends, however it does."""

    def __init__(self, settings: SeekerSettings) -> None:
        self._environment = {
            **os.environ,
            "SEEKER_BROKER_URL": settings.broker_url,
            "SEEKER_MONGODB_URL": settings.mongodb_url,
            "SEEKER_DATABASE": settings.database,
            "SEEKER_LEASE_S": "2",
        }

    async def __aenter__(self) -> Self:
        await self._start()
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()

    async def crash(self) -> None:
        self._process.kill()
        await self._process.wait()

    async def restart(self) -> None:
        await self._start()

    async def stop(self) -> int:
        self._process.terminate()
        return await self._process.wait()

    async def _start(self) -> None:
        code = "from seeker.cli import main; main(['run'])"
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, env=self._environment
        )


async def test_a_killed_seeker_loses_nothing(settings: SeekerSettings, store: Catalogue) -> None:
    async with (
        SeekerProcess(settings) as seeker,
        joined(settings.broker_url, "g1", containers=100) as giver,
    ):
        client = Client(settings)
        jobs = [(await client.submit(spec(200))).job_id for _ in range(5)]
        for _ in range(3):
            await giver.collect(100)
            await seeker.crash()
            await giver.succeed(*giver.held.values())
            await seeker.restart()

        async def serve() -> None:
            while True:
                await giver.collect(1)
                await giver.succeed(*giver.held.values())

        serving = asyncio.create_task(serve())
        try:
            for job_id in jobs:
                await until(lambda job_id=job_id: _ended(store, job_id), timeout_s=60)
        finally:
            serving.cancel()
        assert await seeker.stop() == 0
        for job_id in jobs:
            job = await store.job(job_id)
            assert job is not None
            assert job["counts"]["succeeded"] == 200
