"""What a giver decided alone is run again by others once it is caught lying."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from schemas.job import Agreement, ContainerSpec, JobSpec, Placement, Submission
from seeker import placer
from seeker.fleet import Fleet
from seeker.reputation import TRUSTED_AFTER
from seeker.reviews import Reviewer, review_of
from tests.unit.seeker.conftest import World, beat

SINCE = datetime(2026, 1, 1, tzinfo=UTC)
JOB = "01JD0000000000000000000000"
SPEC = JobSpec(
    container=ContainerSpec(image="image", command=("echo", "{{index}}")),
    agreement=Agreement(replicas=2, quorum=2, adaptive=True),
    placement=Placement(require="cpus >= 2.0"),
    deadline_s=5,
    count=10,
)


def test_a_review_asks_two_others_about_the_same_tasks() -> None:
    review = review_of("g1", JOB, SPEC, [3, 7], SINCE)
    assert review.spec.count == 2
    assert review.spec.matrix == {"index": ("3", "7")}
    assert review.spec.placement.require == '(cpus >= 2.0) && id != "g1"'
    assert (review.spec.agreement.quorum, review.spec.agreement.adaptive) == (2, False)
    assert review.spec.deadline_s is None


def test_a_review_has_the_same_id_however_often_it_is_made() -> None:
    assert review_of("g1", JOB, SPEC, [3], SINCE) == review_of("g1", JOB, SPEC, [3], SINCE)
    others = [("g2", [3]), ("g1", [4])]
    ids = {review_of(giver, JOB, SPEC, indices, SINCE).job_id for giver, indices in others}
    assert review_of("g1", JOB, SPEC, [3], SINCE).job_id not in ids


class Broker:
    """Takes what is published."""

    def __init__(self) -> None:
        self.submissions: list[Submission] = []

    async def publish(self, *, body: bytes, **_: Any) -> None:
        self.submissions.append(Submission.decode(body))


async def test_a_seeker_that_starts_goes_on_with_what_was_to_be_reviewed(world: World) -> None:
    fleet = Fleet(strikes=3)
    giver, _ = fleet.hear(beat("g1"), world.now)
    reputation = giver.standing.reputation
    for each in (f"{JOB}-3", f"{JOB}-7", "01JD0000000000000000000001-0"):
        reputation.believed_alone(each)
    reputation.count(f"{JOB}-9", "image", agrees=False, now=SINCE)
    told: asyncio.Future[tuple[str, Mapping[str, str]]] = asyncio.Future()

    async def specs(job_ids: Sequence[str]) -> Mapping[str, JobSpec]:
        return {job_id: SPEC for job_id in job_ids if job_id == JOB}

    broker = Broker()
    reviewer = Reviewer(
        fleet,
        specs,
        broker,  # type: ignore[arg-type]
        lambda *marks: told.set_result(marks),
    )
    running = asyncio.create_task(reviewer.run())
    giver_id, marks = await asyncio.wait_for(told, 5)
    running.cancel()
    (review,) = broker.submissions
    assert giver_id == "g1"
    assert marks == {
        f"{JOB}-3": f"{review.job_id}-0",
        f"{JOB}-7": f"{review.job_id}-1",
        "01JD0000000000000000000001-0": "",
    }


def test_a_lie_found_marks_what_was_believed_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(placer, "SPOT_CHECKS", 0.0)
    world.join("g1", "g2", "g3")
    for number in range(TRUSTED_AFTER):
        for giver in world.fleet.givers.values():
            giver.standing.reputation.count(f"{number}", "image", agrees=True, now=SINCE)
    world.submit(replicas=2, quorum=2, adaptive=True)
    (only,) = world.dispatched()
    world.report(only)
    world.turn()
    monkeypatch.setattr(placer, "SPOT_CHECKS", 1.0)
    world.submit(replicas=3, quorum=2)
    for assignment in world.dispatched():
        world.report(assignment, "lie" if assignment.giver_id == only.giver_id else "right")
    changes = world.turn()
    assert changes.reviewers == {only.giver_id}
    world.scheduler.reviewed(only.giver_id, {only.task.id: "review-0"})
    changes = world.turn()
    assert changes.reviews == {only.task.id: "review-0"}
    assert world.fleet.reputation(only.giver_id).to_review == []
