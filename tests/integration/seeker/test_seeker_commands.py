"""The command line over a real database, written by the seeker's own code while none leads."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random

import pytest
from click.testing import CliRunner, Result

from schemas import identifiers
from schemas.job import Command, ContainerSpec, JobSpec, Submission
from seeker.cli import main
from seeker.fleet import Fleet
from seeker.model import Now
from seeker.scheduler import Scheduler
from seeker.store import Store
from seeker.writes import Writes

pytestmark = pytest.mark.timeout(60)

NOW = Now(1000.0, datetime(2030, 1, 1, tzinfo=UTC))
LATER = Now(NOW.monotonic + 100, NOW.wall + timedelta(seconds=100))


@dataclass
class Desk:
    """What is written down, and somebody who asks."""

    broker_url: str
    mongodb_url: str
    database: str
    scheduler: Scheduler = field(
        default_factory=lambda: Scheduler(
            Fleet(strikes=3), [], NOW, dispute_grace_s=5, random=Random(0)
        )
    )

    def submit(self) -> str:
        """A job of one task, which waits a minute for a giver."""
        job_id = identifiers.new_job_id()
        spec = JobSpec(container=ContainerSpec(image="image"), queue_timeout_s=60)
        submission = Submission(job_id=job_id, submitted_at=NOW.wall, spec=spec)
        self.scheduler.submitted(submission, {}, NOW)
        self._commit()
        return job_id

    def cancel(self, job_id: str) -> None:
        self.scheduler.commanded(Command(action="cancel", target=job_id, issued_at=NOW.wall), NOW)
        self._commit()

    def let_time_out(self) -> None:
        self.scheduler.ticked(LATER)
        self._commit(LATER)

    def lead(self) -> None:
        self._do(lambda store: store.take_lease("somebody", 60))

    def abdicate(self) -> None:
        self._do(lambda store: store.give_up_lease("somebody"))

    def drop(self) -> None:
        self._do(lambda store: store._client.drop_database(self.database))

    def run(self, *arguments: str) -> Result:
        return CliRunner().invoke(main, arguments, env=self._env)

    @contextlib.contextmanager
    def started(self, *arguments: str) -> Iterator[subprocess.Popen[str]]:
        """A command that goes on for a while."""
        code = "from seeker.cli import main; main()"
        with subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            env={**os.environ, **self._env},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()

    @property
    def _env(self) -> dict[str, str]:
        return {
            "SEEKER_BROKER_URL": self.broker_url,
            "SEEKER_MONGODB_URL": self.mongodb_url,
            "SEEKER_DATABASE": self.database,
        }

    def _commit(self, now: Now = NOW) -> None:
        self.scheduler.place(now)
        writes = Writes.of(self.scheduler.take_changes(), now)
        self._do(lambda store: store.commit(writes))

    def _do(self, work: Callable[[Store], Awaitable[object]]) -> None:
        async def done() -> None:
            store = Store(self.mongodb_url, self.database)
            try:
                await work(store)
            finally:
                await store.close()

        asyncio.run(done())


@pytest.fixture
def desk(broker_url: str, mongodb_url: str) -> Iterator[Desk]:
    desk = Desk(broker_url, mongodb_url, f"test_cli_{identifiers.new_session()}")
    yield desk
    desk.drop()


def test_what_is_cancelled_already_may_be_cancelled_again(desk: Desk) -> None:
    job = desk.submit()
    asked = desk.run("cancel", job, "--json")
    assert (asked.exit_code, json.loads(asked.stdout)["cancel_requested"]) == (0, True)
    desk.cancel(job)
    for identifier in (job, f"{job}-0"):
        again = desk.run("cancel", identifier)
        assert again.exit_code == 0, again.stderr
        assert again.stdout == f"{identifier} is cancelled already\n"
        document = json.loads(desk.run("cancel", identifier, "--json").stdout)
        assert document == {"id": identifier, "state": "cancelled", "cancel_requested": False}


def test_what_ended_otherwise_cannot_be_cancelled(desk: Desk) -> None:
    job = desk.submit()
    desk.let_time_out()
    refused = desk.run("cancel", job)
    assert refused.exit_code == 2
    assert f"{job} has ended already: it is failed" in refused.stderr


def test_watching_prints_a_document_for_each_change_and_exits_as_wait_does(desk: Desk) -> None:
    job = desk.submit()
    with desk.started("watch", job, "--json") as watching:
        assert watching.stdout is not None
        first = json.loads(watching.stdout.readline())
        assert (first["job_id"], first["state"]) == (job, "pending")
        desk.cancel(job)
        *_, last = (json.loads(line) for line in watching.stdout)
        assert last == json.loads(desk.run("status", job, "--json").stdout)
        assert last["state"] == "cancelled"
        assert watching.wait() == 1


def test_where_no_seeker_leads_the_state_says_so_beside_what_it_prints(desk: Desk) -> None:
    job = desk.submit()
    questions = [("status",), ("status", job), ("status", f"{job}-0"), ("givers",)]
    for question in questions:
        told = desk.run(*question, "--json")
        assert told.stderr == "no seeker has led yet: start `seeker run`\n"
        assert json.loads(told.stdout) is not None

    desk.lead()
    answers = [desk.run(*question, "--json") for question in questions]
    assert [answer.stderr for answer in answers] == [""] * len(questions)

    desk.abdicate()
    for question, answer in zip(questions, answers, strict=True):
        told = desk.run(*question, "--json")
        assert told.stdout == answer.stdout
        assert re.fullmatch(
            r"no seeker leads since 20[\d-]+ [\d:]+ UTC: start `seeker run`\n", told.stderr
        )
