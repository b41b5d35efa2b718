"""A scheduler with givers that do as they are told."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

import pytest

from schemas import identifiers
from schemas.heartbeat import Capacity, Heartbeat, Held, Platform, Refusal
from schemas.job import Action, Agreement, Command, ContainerSpec, JobSpec, Resources, Submission
from schemas.result import StoredResult
from schemas.states import AssignmentState, GiverState, Outcome
from seeker.changes import Changes
from seeker.fleet import Fleet
from seeker.model import Assignment, Job, Now, Task
from seeker.scheduler import Scheduler

START = datetime(2030, 1, 1, tzinfo=UTC)
INTERVAL_S = 10.0


def beat(giver_id: str, **fields: Any) -> Heartbeat:
    capacity = fields.pop("capacity", None) or Capacity(
        cpus=2, memory_bytes=1 << 30, disk_bytes=1 << 40, containers=4
    )
    return Heartbeat(
        **{
            "giver_id": giver_id,
            "boot_id": "boot",
            "session": "session",
            "sequence": 0,
            "interval_s": INTERVAL_S,
            "state": GiverState.READY,
            "version": "1",
            "platform": Platform(os="linux", architecture="amd64"),
            "capacity": capacity,
            "free": capacity,
            "backlog": 0,
            **fields,
        }
    )


@dataclass
class World:
    """A scheduler, its clock, and shorthand for what befalls it."""

    fleet: Fleet = field(default_factory=lambda: Fleet(strikes=3))
    seconds: float = 1000.0
    jobs: list[Job] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.scheduler = Scheduler(
            self.fleet, self.jobs, self.now, dispute_grace_s=5, random=Random(0)
        )
        self.tasks: dict[str, Task] = {}

    @property
    def now(self) -> Now:
        return Now(self.seconds, START + timedelta(seconds=self.seconds))

    def join(self, *giver_ids: str, **fields: Any) -> None:
        for giver_id in giver_ids:
            self.scheduler.heard(beat(giver_id, **fields), self.now)

    def submit(self, count: int = 1, *, cpus: float = 1, **agreement: Any) -> str:
        job_id = identifiers.new_job_id()
        spec = JobSpec(
            container=ContainerSpec(image="image", resources=Resources(cpus=cpus)),
            agreement=Agreement(**agreement),
            count=count,
        )
        self.submit_spec(spec, job_id)
        return job_id

    def submit_spec(self, spec: JobSpec, job_id: str | None = None) -> str:
        job_id = job_id or identifiers.new_job_id()
        submission = Submission(job_id=job_id, submitted_at=self.now.wall, spec=spec)
        self.scheduler.submitted(submission, {}, self.now)
        return job_id

    def command(self, action: Action, target: str) -> None:
        self.scheduler.commanded(Command(action=action, target=target, issued_at=START), self.now)

    def turn(self) -> Changes:
        self.scheduler.place(self.now)
        changes = self.scheduler.take_changes()
        self.tasks.update(changes.tasks)
        return changes

    def dispatched(self) -> list[Assignment]:
        return [a for items in self.turn().dispatches.values() for a in items]

    def report(
        self,
        assignment: Assignment,
        digest: str | None = "right",
        outcome: Outcome = Outcome.SUCCEEDED,
        comparable: str | None = None,
        image_digest: str | None = None,
        exit_code: int = 0,
    ) -> None:
        result = self.result(assignment, digest, outcome, comparable, image_digest, exit_code)
        self.scheduler.stored([result], self.now)

    def result(
        self,
        assignment: Assignment,
        digest: str | None = "right",
        outcome: Outcome = Outcome.SUCCEEDED,
        comparable: str | None = None,
        image_digest: str | None = None,
        exit_code: int = 0,
    ) -> StoredResult:
        return StoredResult(
            result_id=identifiers.result_id(assignment.id, assignment.giver_id),
            assignment_id=assignment.id,
            task_id=assignment.task.id,
            job_id=assignment.task.job.id,
            giver_id=assignment.giver_id,
            outcome=outcome,
            exit_code=exit_code,
            reason="",
            digest=digest,
            comparable=comparable,
            image_digest=image_digest,
            stored_at=self.now.wall,
        )

    def hold(self, giver_id: str, *assignments: Assignment, **fields: Any) -> None:
        """The giver's next heartbeat names these as running."""
        inventory = tuple(
            Held(assignment_id=a.id, state=AssignmentState.RUNNING) for a in assignments
        )
        self.scheduler.heard(beat(giver_id, inventory=inventory, **fields), self.now)

    def refuse(self, assignment: Assignment, reason: str = "full") -> None:
        refusal = Refusal(assignment_id=assignment.id, reason=reason)
        self.scheduler.heard(beat(assignment.giver_id, refusals=(refusal,)), self.now)

    def pass_time(self, seconds: float) -> None:
        self.seconds += seconds
        self.scheduler.ticked(self.now)


@pytest.fixture
def world() -> World:
    return World()
