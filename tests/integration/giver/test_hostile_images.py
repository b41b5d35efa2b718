"""What an image asks for by itself is not for its author to have."""

from __future__ import annotations

import io
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from giver_desk import Assign, Containers, Desk, GiverProcess, none_left, running_giver

from giver.hardening import ASSIGNMENT_LABEL, GIVER_LABEL, GPUS_LABEL
from giver.service import GiverService
from giver.settings import GiverSettings
from schemas.assignment import Assignment
from schemas.identifiers import new_session
from schemas.job import Grants
from schemas.states import Outcome

Make = Callable[..., str]


@pytest.fixture
def make(docker_client: docker.APIClient, image: str) -> Iterator[Make]:
    """Makes an image of the tests' busybox by further lines of a Dockerfile."""
    made: list[str] = []

    def build(*lines: str) -> str:
        name = f"seekgive-test-hostile:{new_session()}"
        recipe = io.BytesIO("\n".join([f"FROM {image}", *lines]).encode())
        for event in docker_client.build(fileobj=recipe, tag=name, forcerm=True, decode=True):
            assert "error" not in event, event
        made.append(name)
        return name

    yield build
    for name in made:
        docker_client.remove_image(name, force=True)


async def killed_in_the_middle(process: GiverProcess, desk: Desk, assignment: Assignment) -> None:
    """And started again."""
    await process.start()
    await desk.dispatch(assignment)
    await desk.held(assignment, "running")
    await process.end(signal.SIGKILL)
    desk.forget_beats()
    await process.start()


async def test_labels_of_an_image_are_not_taken_for_the_givers(
    process: GiverProcess, desk: Desk, assign: Assign, containers: Containers, make: Make
) -> None:
    labels = f"{GPUS_LABEL}=boom {GIVER_LABEL}=another {ASSIGNMENT_LABEL}=none"
    assignment = assign("sleep 4; echo done", image=make(f"LABEL {labels}"))
    await killed_in_the_middle(process, desk, assignment)
    result = await desk.result(assignment)
    assert (result.outcome, result.stdout) == (Outcome.SUCCEEDED, "done\n")
    await none_left(containers)


async def test_a_container_of_the_owners_is_left_alone_whatever_its_image_is_called(
    docker_client: docker.APIClient,
    process: GiverProcess,
    desk: Desk,
    giver_id: str,
    containers: Containers,
    make: Make,
) -> None:
    image = make(f"LABEL {GIVER_LABEL}={giver_id} {ASSIGNMENT_LABEL}=x {GPUS_LABEL}=0,boom")
    own = docker_client.create_container(image, ["sleep", "60"])["Id"]
    docker_client.start(own)
    await process.start()
    await desk.beat(lambda beat: beat.state == "ready")
    assert [each["Id"] for each in containers()] == [own]


async def test_a_volume_is_in_memory_and_has_an_end(
    giver: GiverService, desk: Desk, assign: Assign, make: Make
) -> None:
    assignment = assign("yes > /data/f; echo over", image=make("VOLUME /data"))
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert result.stdout == "over\n"
    assert "No space left" in result.stderr


@pytest.mark.parametrize("user", ["00", "toor", "nosuch", "0:0"])
async def test_whoever_an_image_names_is_nobody(
    giver: GiverService, desk: Desk, assign: Assign, make: Make, user: str
) -> None:
    assignment = assign("id -u; id -g", image=make(f"USER {user}"))
    await desk.dispatch(assignment)
    assert (await desk.result(assignment)).stdout == "65534\n65534\n"


async def test_a_user_that_does_not_exist_is_the_images_fault(
    desk: Desk, assign: Assign, make: Make, settings: GiverSettings, tmp_path: Path
) -> None:
    policy = tmp_path / "policy.yaml"
    policy.write_text("grants: {writable_root: true}")
    image = make("USER nosuch")
    assignment = assign("true", image=image, grants=Grants(writable_root=True))
    async with running_giver(settings.model_copy(update={"policy": policy})):
        await desk.dispatch(assignment)
        result = await desk.result(assignment)
    assert result.outcome is Outcome.IMAGE_ERROR
    assert "nosuch" in result.reason


async def test_no_health_check_is_run(
    docker_client: docker.APIClient,
    giver: GiverService,
    desk: Desk,
    assign: Assign,
    containers: Containers,
    make: Make,
) -> None:
    assignment = assign("sleep 2", image=make("HEALTHCHECK --interval=1s CMD true"))
    await desk.dispatch(assignment)
    await desk.held(assignment, "running")
    (container,) = containers()
    assert "Health" not in docker_client.inspect_container(container["Id"])["State"]


async def test_what_a_log_may_have_lost_is_no_vote(
    desk: Desk, assign: Assign, settings: GiverSettings, containers: Containers, image: str
) -> None:
    process = GiverProcess(settings.model_copy(update={"output_limit": 300_000}))
    assignment = assign("yes | head -n 50000; sleep 4")
    await killed_in_the_middle(process, desk, assignment)
    result = await desk.result(assignment)
    await process.end(signal.SIGTERM)
    assert result.outcome is Outcome.SUCCEEDED
    assert result.stdout_stream.bytes < 100_000
    assert not result.exact_output
