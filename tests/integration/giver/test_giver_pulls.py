"""Pulls from a registry that asks for a password, and what becomes of the images."""

from __future__ import annotations

import contextlib
import io
import tarfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import docker
import pytest
from giver_desk import Assign, Desk, running_giver, until
from private_registry import (
    PASSWORD,
    USER,
    NarrowWay,
    Registry,
    docker_config,
    missing,
    noise,
)

from giver.doctor import examine
from giver.pulled_images import PulledImages
from giver.settings import GiverSettings
from schemas.job import RegistryAuth
from schemas.states import Outcome

pytestmark = pytest.mark.skipif(bool(missing()), reason=missing())

LARGE = 4 << 20


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(tmp_path_factory.mktemp("registry"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def large(docker_client: docker.APIClient, image: str) -> Iterator[str]:
    """An image of some megabytes, made anew each time."""
    context = io.BytesIO()
    with tarfile.open(fileobj=context, mode="w") as tar:
        for name, content in (
            ("Dockerfile", f"FROM {image}\nADD noise /noise\n".encode()),
            ("noise", noise(LARGE)),
        ):
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            tar.addfile(entry, io.BytesIO(content))
    context.seek(0)
    tag = "seekgive-test-giver:large"
    for event in docker_client.build(
        fileobj=context, custom_context=True, tag=tag, rm=True, forcerm=True, decode=True
    ):
        assert "error" not in event, event
    yield tag
    with contextlib.suppress(docker.errors.ImageNotFound):
        docker_client.remove_image(tag)


@pytest.fixture(scope="module")
def pushed(registry: Registry, docker_client: docker.APIClient, large: str) -> Iterator[str]:
    """The name of an image that only the registry has: its repository and digest."""
    digest = registry.push(docker_client, large, "private/large:1")
    docker_client.remove_image(large)
    name = f"{registry.name}/private/large"
    yield f"{name}@{digest}"
    for reference in (f"{name}@{digest}", f"{name}:1"):
        with contextlib.suppress(docker.errors.ImageNotFound):
            docker_client.remove_image(reference, force=True)


@pytest.fixture
def logged_in(settings: GiverSettings, registry: Registry, tmp_path: Path) -> GiverSettings:
    config = docker_config(tmp_path, registry.name)
    return settings.model_copy(update={"docker_config": config})


@pytest.fixture
async def narrow(registry: Registry) -> AsyncIterator[NarrowWay]:
    way = NarrowWay(registry, LARGE // 2)
    await way.start()
    yield way
    await way.stop()


async def test_without_credentials_the_image_cannot_be_used(
    settings: GiverSettings,
    desk: Desk,
    assign: Assign,
    pushed: str,
    registry: Registry,
    tmp_path: Path,
) -> None:
    wrong = docker_config(tmp_path, registry.name, password="guessed")
    async with running_giver(settings.model_copy(update={"docker_config": wrong})):
        assignment = assign("true", image=pushed)
        await desk.dispatch(assignment)
        result = await desk.result(assignment)
        assert result.outcome is Outcome.IMAGE_ERROR
        assert pushed in result.reason


async def test_a_job_brings_credentials_of_its_own(
    settings: GiverSettings,
    desk: Desk,
    assign: Assign,
    pushed: str,
    registry: Registry,
    docker_client: docker.APIClient,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    nobody = settings.model_copy(update={"docker_config": docker_config(tmp_path)})
    right = RegistryAuth(registry=registry.name, username=USER, password=PASSWORD)
    wrong = right.model_copy(update={"password": "not-this-one"})
    try:
        async with running_giver(nobody):
            # At the same time, and yet each gets what its own credentials are good for.
            assignments = [
                assign("echo ran", image=pushed, registry_auth=auth)
                for auth in (wrong, right, None, right)
            ]
            await desk.dispatch(*assignments)
            results = [await desk.result(assignment) for assignment in assignments]
        outcomes = [result.outcome for result in results]
        assert outcomes[1] == outcomes[3] == Outcome.SUCCEEDED, results
        # Whoever comes when the image is there needs none.
        assert outcomes[0] in (Outcome.IMAGE_ERROR, Outcome.SUCCEEDED)
        told = "".join([*capfd.readouterr(), *(result.model_dump_json() for result in results)])
        assert "not-this-one" not in told
    finally:
        with contextlib.suppress(docker.errors.ImageNotFound):
            docker_client.remove_image(pushed, force=True)


async def test_a_job_with_wrong_credentials_does_not_use_the_owners(
    logged_in: GiverSettings,
    desk: Desk,
    assign: Assign,
    registry: Registry,
    docker_client: docker.APIClient,
    image: str,
) -> None:
    registry.push(docker_client, image, "private/owners:1")
    wrong = RegistryAuth(registry=registry.name, username=USER, password="not-this-one")
    # By a tag that this host does not have, for it has the image itself.
    assignment = assign("true", image=f"{registry.name}/private/owners:1", registry_auth=wrong)
    async with running_giver(logged_in):
        await desk.dispatch(assignment)
        result = await desk.result(assignment)
    assert result.outcome is Outcome.IMAGE_ERROR
    assert "not-this-one" not in result.reason


async def test_a_digest_that_the_registry_does_not_have_is_final(
    logged_in: GiverSettings, desk: Desk, assign: Assign, pushed: str
) -> None:
    wrong = f"{pushed.partition('@')[0]}@sha256:{'0' * 64}"
    assignment = assign("true", image=wrong)
    async with running_giver(logged_in.model_copy(update={"pull_attempts": 100})):
        await desk.dispatch(assignment)
        result = await desk.result(assignment)
    assert result.outcome is Outcome.IMAGE_ERROR
    assert wrong in result.reason


async def test_what_is_pulled_with_credentials_runs_and_goes_when_the_disk_is_full(
    logged_in: GiverSettings,
    desk: Desk,
    assign: Assign,
    pushed: str,
    image: str,
    registry: Registry,
    docker_client: docker.APIClient,
) -> None:
    def there(reference: str) -> bool:
        with contextlib.suppress(docker.errors.ImageNotFound):
            return bool(docker_client.inspect_image(reference))
        return False

    assignments = [assign("echo ran", image=pushed) for _ in range(3)]
    async with running_giver(logged_in):
        await desk.dispatch(*assignments)
        for assignment in assignments:
            result = await desk.result(assignment)
            assert (result.outcome, result.stdout) == (Outcome.SUCCEEDED, "ran\n"), result.reason
            assert result.image_digest == pushed
            assert result.usage.pull_s
    assert PulledImages(logged_in.state_dir).idle(()) == [
        (pushed, docker_client.inspect_image(pushed)["Id"])
    ]
    busy = assign("sleep 3; echo ran", image=pushed)
    full = logged_in.model_copy(update={"evict_above": 0.0, "evict_below": 0.0})
    desk.forget_beats()
    async with running_giver(full):
        await desk.dispatch(busy)
        await desk.held(busy, "running")
        assert there(pushed)
        await desk.result(busy)
        await until(lambda: not there(pushed))
        assert there(image)


async def test_an_image_that_was_there_under_another_name_is_not_the_givers_to_remove(
    logged_in: GiverSettings,
    desk: Desk,
    assign: Assign,
    image: str,
    registry: Registry,
    docker_client: docker.APIClient,
) -> None:
    registry.push(docker_client, image, "private/known:1")
    reference = f"{registry.name}/private/known:1"
    assignment = assign("echo ran", image=reference)
    try:
        async with running_giver(logged_in):
            await desk.dispatch(assignment)
            assert (await desk.result(assignment)).stdout == "ran\n"
        assert PulledImages(logged_in.state_dir).idle(()) == []
    finally:
        docker_client.remove_image(reference)


async def test_how_far_a_pull_is_travels_with_the_heartbeat_and_silence_ends_it(
    settings: GiverSettings,
    narrow: NarrowWay,
    desk: Desk,
    assign: Assign,
    pushed: str,
    tmp_path: Path,
) -> None:
    hasty = settings.model_copy(
        update={
            "docker_config": docker_config(tmp_path, narrow.name),
            "pull_inactivity_s": 2.0,
            "heartbeat_interval_s": 0.2,
        }
    )
    reference = f"{narrow.name}/{pushed.partition('/')[2]}"
    assignment = assign("true", image=reference)
    async with running_giver(hasty):
        await desk.dispatch(assignment)
        beat = await desk.beat(lambda beat: bool(beat.pulls and beat.pulls[0].done_bytes))
        assert beat.pulls[0].image == reference
        assert 0 < beat.pulls[0].done_bytes < beat.pulls[0].total_bytes
        assert LARGE <= beat.pulls[0].total_bytes < 2 * LARGE
        result = await desk.result(assignment)
        assert result.outcome is Outcome.INFRASTRUCTURE_ERROR
        assert "broke off" in result.reason
        await desk.beat(lambda beat: not beat.pulls)


async def test_a_registry_that_hangs_ends_the_pull_by_inactivity(
    settings: GiverSettings, desk: Desk, assign: Assign, tmp_path: Path
) -> None:
    registry = Registry(tmp_path)
    hasty = settings.model_copy(update={"pull_inactivity_s": 1.0})
    try:
        async with running_giver(hasty):
            await desk.beat(lambda _: True)
            registry.freeze()
            assignment = assign("true", image=f"{registry.name}/any:1")
            began = time.monotonic()
            await desk.dispatch(assignment)
            await desk.held(assignment, "pulling")
            result = await desk.result(assignment)
            assert time.monotonic() - began < 10
    finally:
        registry.close()
    assert result.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert "broke off" in result.reason


async def test_a_doctor_names_the_registries_that_it_has_credentials_for(
    logged_in: GiverSettings, registry: Registry, image: str, tmp_path: Path
) -> None:
    checks = {check.name: check for check in await examine(logged_in, image)}
    assert checks["registries"].found == f"credentials for {registry.name}"
    (tmp_path / "config.json").write_text("no JSON")
    checks = {check.name: check for check in await examine(logged_in, image)}
    assert checks["registries"].verdict == "failed"
    assert str(tmp_path / "config.json") in checks["registries"].found
