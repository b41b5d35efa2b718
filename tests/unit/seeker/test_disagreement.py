"""When votes disagree and nobody is left to ask; and when only one platform may be asked."""

from __future__ import annotations

import pytest

from schemas.heartbeat import Platform
from schemas.job import Agreement, ContainerSpec, JobSpec, Placement
from schemas.states import Outcome, TaskState
from seeker import documents, images, rendering
from tests.unit.seeker.conftest import World

ARM = Platform(os="linux", architecture="arm64")
AMD = Platform(os="linux", architecture="amd64")
DIGEST = f"sha256:{'ab' * 32}"


def test_the_task_fails_where_its_job_says_so(world: World) -> None:
    world.join("g1", "g2", interval_s=3600.0)
    world.submit(replicas=2, quorum=2, on_disagreement="fail")
    first, second = world.dispatched()
    world.report(first, "x")
    world.report(second, "y")
    world.turn()
    world.pass_time(60)
    assert first.task.state is TaskState.FAILED
    assert first.task.chosen is None
    assert len(first.task.votes) == 2
    assert "disagree" in first.task.reason


def test_nobody_is_blamed_for_a_task_that_was_not_decided(world: World) -> None:
    test_the_task_fails_where_its_job_says_so(world)
    assert {world.fleet.reputation(each).lies for each in ("g1", "g2")} == {0}


def test_a_late_vote_changes_nothing_but_its_givers_reputation(world: World) -> None:
    world.join("g1", "g2", "g3", interval_s=3600.0)
    world.submit(replicas=3, quorum=2)
    first, second, third = world.dispatched()
    world.report(first)
    world.report(second)
    world.report(third, "other")
    assert first.task.chosen == f"{first.id}@{first.giver_id}"
    assert world.fleet.reputation(third.giver_id).lies == 1


def test_all_tries_of_a_task_on_the_platform_of_the_first(world: World) -> None:
    world.join("a1", platform=ARM)
    world.join("x1", "x2", "x3", platform=AMD)
    spec = JobSpec(
        container=ContainerSpec(image="image"),
        agreement=Agreement(replicas=2, quorum=2),
        placement=Placement(homogeneous=True),
        count=2,
    )
    world.submit_spec(spec)
    placed = world.dispatched()
    by_task: dict[str, list[str]] = {}
    for assignment in placed:
        by_task.setdefault(assignment.task.id, []).append(assignment.platform)
    assert all(len(set(platforms)) == 1 for platforms in by_task.values())
    waiting = [task for task in {a.task for a in placed} if task.wanted]
    assert all(task.platform == "linux/arm64" for task in waiting)
    world.join("a2", "a3", platform=ARM)
    assert {a.platform for a in world.dispatched()} <= {"linux/arm64"}


def test_an_image_is_pinned_once_enough_have_run_the_same(world: World) -> None:
    world.join("g1", "g2", "g3")
    world.submit(replicas=2, quorum=2, count=3)
    first, second = world.dispatched()[0].task.assignments
    job = first.task.job
    for assignment in (first, second):
        world.report(assignment, image_digest=f"image@{DIGEST}")
    assert job.pinned_image == f"image@{DIGEST}"
    assert rendering.message_of(first).container.image == f"image@{DIGEST}"
    assert world.turn().jobs[job.id].pinned_image
    assert documents.job_progress(job)["pinned_image"] == f"image@{DIGEST}"


@pytest.mark.parametrize(
    ("image", "ran", "pinned"),
    [
        ("image:1", {f"image@{DIGEST}"}, f"image@{DIGEST}"),
        ("host:5000/a/image", {f"host:5000/a/image@{DIGEST}"}, f"host:5000/a/image@{DIGEST}"),
        ("image:1", {f"of/liars@{DIGEST}"}, f"image@{DIGEST}"),
        ("image:1", {"image@sha256:ab"}, ""),
        ("image:1", {f"image@{DIGEST}\n"}, ""),
        ("image:1", {DIGEST}, ""),
        ("image:1", {f"image@{DIGEST}", None}, ""),
        ("image:1", {None}, ""),
        ("image:1", set(), ""),
        (f"image@{DIGEST}", {f"image@sha256:{'1' * 64}"}, ""),
    ],
)
def test_of_what_givers_say_of_an_image_only_the_digest_counts(
    image: str, ran: set[str | None], pinned: str
) -> None:
    assert images.pinned(image, ran) == pinned


def test_an_image_that_no_registry_has_is_not_pinned_nor_one_giver_believed(world: World) -> None:
    world.join("g1", "g2")
    world.submit(replicas=2, quorum=2)
    first, second = world.dispatched()
    for assignment in (first, second):
        world.report(assignment, image_digest=DIGEST)
    world.submit()
    (only,) = world.dispatched()
    world.report(only, image_digest=f"image@{DIGEST}")
    assert (first.task.job.pinned_image, only.task.job.pinned_image) == ("", "")


def test_votes_that_disagree_do_not_wait_for_a_quorum_that_nobody_is_left_for(
    world: World,
) -> None:
    world.join("g1", "g2", "g3", interval_s=3600.0)
    world.submit(replicas=3, quorum=3, on_disagreement="fail")
    first, second, third = world.dispatched()
    world.report(first, "x")
    world.report(second, "y")
    world.report(third, None, Outcome.INFRASTRUCTURE_ERROR)
    world.command("quarantine", third.giver_id)
    world.turn()
    world.pass_time(60)
    assert first.task.state is TaskState.FAILED
    assert first.task.reason.startswith("2 results disagree and no other giver is there to ask")


def test_votes_that_agree_wait_for_the_rest_of_their_quorum(world: World) -> None:
    world.join("g1", "g2", "g3", interval_s=3600.0)
    world.submit(replicas=3, quorum=3)
    first, second, third = world.dispatched()
    world.report(first)
    world.report(second)
    world.report(third, None, Outcome.INFRASTRUCTURE_ERROR)
    world.command("quarantine", third.giver_id)
    world.turn()
    world.pass_time(60)
    assert not first.task.state.final
    world.join("g4", interval_s=3600.0)
    (fourth,) = world.dispatched()
    assert "waits for a giver" not in first.task.reason
    world.report(fourth)
    assert first.task.state is TaskState.SUCCEEDED


def test_where_reputations_weigh_the_same_the_choice_says_that_the_first_was_taken(
    world: World,
) -> None:
    world.join("g1", "g2", interval_s=3600.0)
    world.submit(replicas=2, quorum=2)
    first, second = world.dispatched()
    world.report(second, "y")
    world.report(first, "x")
    world.turn()
    world.pass_time(60)
    assert first.task.chosen == f"{second.id}@{second.giver_id}"
    assert "the reputations weigh the same, and it was stored first" in first.task.reason
