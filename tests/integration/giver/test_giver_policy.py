"""What an owner grants is given, what they do not is refused, on real containers."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import docker
import pytest
from giver_desk import Assign, Containers, Desk, GiverProcess, running_giver

from giver.settings import GiverSettings
from schemas.data import MOST_ENTRIES
from schemas.identifiers import new_session
from schemas.job import Grants
from schemas.policy import Policy
from schemas.states import Outcome

Under = Callable[[str], GiverSettings]


@pytest.fixture
def under(settings: GiverSettings, tmp_path: Path) -> Under:
    """The giver's settings with a policy."""

    def made(text: str) -> GiverSettings:
        path = tmp_path / "policy.yaml"
        path.write_text(text)
        return settings.model_copy(update={"policy": path})

    return made


async def test_what_is_not_allowed_is_refused_with_the_reason_and_never_runs(
    under: Under, desk: Desk, assign: Assign, containers: Containers, image: str
) -> None:
    wide = assign("true", resources={"cpus": 1.5})
    asked = {
        "its owner grants no network": assign("true", grants=Grants(network=True)),
        "its owner grants no writable root": assign("true", grants=Grants(writable_root=True)),
        "its owner grants no capability NET_RAW (it grants: SYS_PTRACE)": assign(
            "true", grants=Grants(capabilities=("NET_RAW",))
        ),
        "its owner grants no runtime runsc (it grants: none)": assign(
            "true", grants=Grants(runtime="runsc")
        ),
        "its owner allows a task 1 CPUs, 1.5 are asked for": wide,
        "its owner allows a task 60 s of run time, 61 are asked for": assign("true", timeout_s=61),
        f"its owner does not allow image evil:1 (it allows: {image.partition(':')[0]})": assign(
            "true", image="evil:1", timeout_s=60
        ),
    }
    allowed = assign("echo ran", timeout_s=60)
    policy = f"""
        grants: {{capabilities: [SYS_PTRACE]}}
        images: [{image.partition(":")[0]}]
        task: {{cpus: 1, timeout: 1m}}
        host: {{tasks: 1}}
    """
    async with running_giver(under(policy)):
        beat = await desk.beat(lambda _: True)
        assert beat.policy == Policy(
            capabilities=("SYS_PTRACE",), images=(image.partition(":")[0],), cpus=1, timeout_s=60
        )
        assert beat.capacity.containers == 1
        await desk.dispatch(*asked.values(), allowed)
        beat = await desk.beat(lambda beat: len(beat.refusals) == len(asked))
        assert {each.reason: each.assignment_id for each in beat.refusals} == {
            reason: each.assignment_id for reason, each in asked.items()
        }
        assert (await desk.result(allowed)).stdout == "ran\n"
    assert len(desk.results) == 1


async def test_what_is_granted_is_given_to_those_who_ask(
    under: Under, desk: Desk, assign: Assign
) -> None:
    look = "grep CapEff /proc/self/status; echo x > /bin/x && cat /bin/x; id -u"
    policy = "grants: {capabilities: [NET_RAW], writable_root: true, runtimes: [runc]}"
    grants = Grants(capabilities=("NET_RAW",), writable_root=True, runtime="runc")
    with_it, without = assign(look, grants=grants), assign(look)
    async with running_giver(under(policy)):
        await desk.dispatch(with_it, without)
        result = await desk.result(with_it)
        assert result.stdout.split() == ["CapEff:", f"{1 << 13:016x}", "x", "0"], result.stderr
        assert (await desk.result(without)).stdout.split() == ["CapEff:", "0" * 16, "65534"]


async def test_a_writable_root_holds_only_so_many_files(
    under: Under, desk: Desk, assign: Assign
) -> None:
    write = "mkdir /many && cd /many && seq {} | xargs touch && sleep {}"
    grants = Grants(writable_root=True)
    many = assign(write.format(MOST_ENTRIES + 20_000, 60), grants=grants)
    less = assign(write.format(1000, 2), grants=grants)
    async with running_giver(under("grants: {writable_root: true}")):
        await desk.dispatch(many, less)
        result = await desk.result(many)
        assert result.outcome is Outcome.OUTPUT_LIMIT, (result.outcome, result.reason)
        assert result.reason == f"its root holds more than {MOST_ENTRIES} new files and folders"
        assert (await desk.result(less)).outcome is Outcome.SUCCEEDED


@pytest.fixture
def network(docker_client: docker.APIClient) -> Iterator[str]:
    name = f"seekgive-test-{new_session()}"
    try:
        docker_client.create_network(name, driver="bridge", internal=True)
    except docker.errors.APIError as error:
        pytest.skip(f"no bridge here: {error}")
    yield name
    docker_client.remove_network(name)


async def test_a_granted_network_is_the_owners_and_its_traffic_is_measured(
    under: Under, desk: Desk, assign: Assign, network: str
) -> None:
    look = "sleep 0.5; grep -c eth0 /proc/net/dev"
    with_it, without = assign(look, grants=Grants(network=True)), assign(look)
    async with running_giver(under(f"grants: {{network: {network}}}")):
        await desk.dispatch(with_it, without)
        result = await desk.result(with_it)
        assert (result.outcome, result.stdout) == (Outcome.SUCCEEDED, "1\n"), result.reason
        assert result.usage.received_bytes is not None
        assert (await desk.result(without)).stdout == "0\n"


async def test_an_image_allowed_by_another_digest_does_not_run(
    under: Under, desk: Desk, assign: Assign, image: str, containers: Containers
) -> None:
    assignment = assign("true")
    policy = f"images: ['{image.partition(':')[0]}@sha256:{'0' * 64}']"
    async with running_giver(under(policy)):
        await desk.dispatch(assignment)
        result = await desk.result(assignment)
        assert result.outcome is Outcome.INFRASTRUCTURE_ERROR
        assert f"the giver's owner allows image {image} only as sha256:0000" in result.reason
        assert containers() == []


async def test_what_was_accepted_under_an_earlier_policy_does_not_start_under_a_stricter_one(
    under: Under, desk: Desk, assign: Assign, containers: Containers
) -> None:
    running, waiting = assign("sleep 2; echo done"), assign("echo never", timeout_s=100)
    process = GiverProcess(under("host: {tasks: 1}"))
    await process.start()
    await desk.dispatch(running, waiting)
    await desk.held(running, "running")
    await process.end(signal.SIGKILL)
    desk.forget_beats()
    async with running_giver(under("task: {timeout: 10}")):
        # What runs was begun rightly.
        assert (await desk.result(running)).stdout == "done\n"
        result = await desk.result(waiting)
    assert result.outcome is Outcome.INFRASTRUCTURE_ERROR
    assert result.reason == "the giver's owner allows a task 10 s of run time, 100 are asked for"
