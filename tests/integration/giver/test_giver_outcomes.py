"""Each way a run can end, on real Docker: the result must say what really happened."""

from __future__ import annotations

import base64
import hashlib
import io
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import docker
import pytest
from giver_desk import Assign, Containers, Desk, none_left, running_giver

from giver.service import GiverService
from giver.settings import GiverSettings
from schemas import digests
from schemas.states import Outcome


@pytest.fixture
def registry() -> Iterator[str]:
    """A registry that is up and has nothing."""

    class Empty(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            found = self.path == "/v2/"
            body = b"{}" if found else b'{"errors":[{"code":"MANIFEST_UNKNOWN"}]}'
            self.send_response(200 if found else 404)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Empty)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


async def test_a_run_that_succeeds_says_what_it_wrote_and_used(
    giver: GiverService, desk: Desk, assign: Assign, containers: Containers
) -> None:
    assignment = assign("echo out; echo err >&2; sleep 0.3")
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert (result.outcome, result.exit_code, result.reason) == (Outcome.SUCCEEDED, 0, "")
    assert (result.stdout, result.stderr) == ("out\n", "err\n")
    assert result.stdout_stream.sha256 == hashlib.sha256(b"out\n").hexdigest()
    assert result.exact_output
    assert result.image_digest is not None
    assert result.usage.wall_s is not None
    # Docker's two times are of the wall clock, which may be slewed meanwhile.
    assert 0.29 <= result.usage.wall_s < 20
    assert result.usage.pull_s == 0
    assert result.platform is not None
    await none_left(containers)


async def test_the_digest_is_that_of_what_was_computed(
    giver: GiverService, desk: Desk, assign: Assign
) -> None:
    same = assign("echo 42"), assign("echo 42; echo noise >&2")
    other = assign("echo 43")
    await desk.dispatch(*same, other)
    found = [digests.digest(await desk.result(each)) for each in (*same, other)]
    assert found[0] is not None
    assert found[0] == found[1]
    assert found[0] != found[2]


async def test_an_exit_code_is_passed_on(giver: GiverService, desk: Desk, assign: Assign) -> None:
    assignment = assign("exit 3")
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 3)
    assert result.exact_output


async def test_a_container_deaf_to_sigterm_is_dead_soon_after_its_timeout(
    giver: GiverService, desk: Desk, assign: Assign, containers: Containers
) -> None:
    assignment = assign("trap '' TERM; echo begun; while true; do sleep 1; done", timeout_s=1.0)
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert result.outcome is Outcome.TIMED_OUT
    assert result.stdout == "begun\n"
    assert result.usage.wall_s is not None
    assert result.usage.wall_s < 1 + 1 + 5
    assert result.usage.cpu_s is not None
    await none_left(containers)


async def test_running_out_of_memory_is_told_from_being_killed(
    giver: GiverService,
    desk: Desk,
    assign: Assign,
    docker_client: docker.APIClient,
    containers: Containers,
) -> None:
    greedy, victim = assign("tail /dev/zero"), assign("echo here; sleep 60")
    await desk.dispatch(greedy, victim)
    await desk.held(victim, "running")
    (name,) = (
        container["Id"]
        for container in containers()
        if victim.assignment_id in container["Names"][0]
    )
    docker_client.kill(name)
    assert (await desk.result(greedy)).outcome is Outcome.OUT_OF_MEMORY
    killed = await desk.result(victim)
    assert (killed.outcome, killed.exit_code) == (Outcome.KILLED, 137)
    await none_left(containers)


async def test_endless_output_ends_at_the_limit(
    settings: GiverSettings, desk: Desk, assign: Assign, containers: Containers
) -> None:
    limited = settings.model_copy(update={"output_limit": 1 << 20})
    async with running_giver(limited):
        assignment = assign(command=("yes",))
        await desk.dispatch(assignment)
        result = await desk.result(assignment)
        await none_left(containers)
    assert result.outcome is Outcome.OUTPUT_LIMIT
    assert result.stdout_stream.truncated
    assert len(result.stdout) == 64 << 10
    assert len(result.stdout_stream.tail) == 16 << 10
    assert 1 << 20 < result.stdout_stream.bytes < 2 << 20


async def test_binary_output_arrives_byte_for_byte(
    giver: GiverService, desk: Desk, assign: Assign
) -> None:
    assignment = assign(r"printf 'a\000\377\376'")
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert result.stdout_stream.encoding == "base64"
    assert base64.b64decode(result.stdout) == b"a\x00\xff\xfe"


async def test_an_image_that_does_not_exist_is_an_image_error(
    giver: GiverService, desk: Desk, assign: Assign, registry: str
) -> None:
    assignments = [assign("true", image=f"{registry}/nothing:1") for _ in range(3)]
    malformed = assign("true", image="No::Image")
    await desk.dispatch(*assignments, malformed)
    for assignment in (*assignments, malformed):
        result = await desk.result(assignment)
        assert result.outcome is Outcome.IMAGE_ERROR, result.reason
        assert assignment.container.image in result.reason


async def test_a_registry_that_cannot_be_reached_is_not_the_images_fault(
    giver: GiverService, desk: Desk, assign: Assign
) -> None:
    assignment = assign("true", image="127.0.0.1:1/nothing:1")
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert result.outcome is Outcome.INFRASTRUCTURE_ERROR


@pytest.mark.parametrize(("command", "code"), [("/nosuch", 127), ("/bin", 126)])
async def test_a_command_that_cannot_run_fails_as_in_a_shell(
    giver: GiverService,
    desk: Desk,
    assign: Assign,
    command: str,
    code: int,
    containers: Containers,
) -> None:
    assignment = assign(command=(command,))
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, code)
    assert "command" in result.reason
    await none_left(containers)


@pytest.fixture
def talker(docker_client: docker.APIClient, image: str) -> str:
    """An image whose entrypoint says what it was given."""
    tag = f"{image}-talker"
    recipe = f'FROM {image}\nENTRYPOINT ["/bin/echo", "talker:"]\nCMD ["nothing"]\n'
    for event in docker_client.build(
        fileobj=io.BytesIO(recipe.encode()), tag=tag, rm=True, forcerm=True, decode=True
    ):
        assert "error" not in event, event
    return tag


@pytest.mark.parametrize(
    ("entrypoint", "command", "said"),
    [
        ((), (), "talker: nothing\n"),
        ((), ("/bin/echo", "hi"), "talker: /bin/echo hi\n"),
        (("/bin/echo", "instead:"), ("hi",), "instead: hi\n"),
        (("",), ("/bin/echo", "hi"), "hi\n"),
    ],
)
async def test_an_images_entrypoint_stays_is_replaced_or_is_cleared(
    giver: GiverService,
    desk: Desk,
    assign: Assign,
    talker: str,
    entrypoint: tuple[str, ...],
    command: tuple[str, ...],
    said: str,
) -> None:
    assignment = assign(image=talker, entrypoint=entrypoint, command=command)
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert (result.outcome, result.stdout) == (Outcome.SUCCEEDED, said), result.reason


async def test_without_an_init_a_missing_command_fails_alike(
    giver: GiverService, desk: Desk, assign: Assign, containers: Containers
) -> None:
    giver._engine._init = False  # type: ignore[attr-defined]
    assignment = assign(command=("/nosuch",))
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    assert (result.outcome, result.exit_code) == (Outcome.FAILED, 127)
    await none_left(containers)


async def test_a_container_can_do_little(giver: GiverService, desk: Desk, assign: Assign) -> None:
    assignment = assign(
        "id -u; grep -E 'CapEff|NoNewPrivs|Seccomp:' /proc/self/status; "
        "touch /bin/x && echo written; echo ok > /tmp/x && cat /tmp/x; cat /proc/net/dev | tail -1"
    )
    await desk.dispatch(assignment)
    result = await desk.result(assignment)
    lines = result.stdout.split("\n")
    assert lines[0] == "65534"
    assert "CapEff:\t0000000000000000" in lines
    assert "NoNewPrivs:\t1" in lines
    assert "Seccomp:\t2" in lines
    assert "written" not in lines
    assert "ok" in lines
    assert lines[-2].strip().startswith("lo:")
