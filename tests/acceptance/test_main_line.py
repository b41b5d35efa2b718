"""A task's whole way, and what a person sees when something is wrong."""

from __future__ import annotations

import asyncio
from pathlib import Path

import httpx
import pytest

from broker import Link
from schemas import topology
from tests.acceptance.conftest import User

pytestmark = pytest.mark.timeout(300)


def test_a_result_comes_back_by_seeker_by_channel_and_by_rest(user: User) -> None:
    job = user.enqueue("busybox:local", "--", "sh", "-c", "wc -c < /etc/hostname")
    assert user.run("seeker", "wait", job).code == 0
    answer = user.run("seeker", "result", job)
    assert answer.code == 0
    assert int(answer.out) > 0

    (result,) = user.run("channel", "results", f"{job}-0", "--json").json
    assert result["stdout"] == answer.out
    assert result["outcome"] == "succeeded"
    task = user.run("seeker", "status", f"{job}-0", "--json").json
    assert task["chosen"] == result["result_id"]
    url = f"{user.stack.env['CHANNEL_URL']}/v1/results/{result['result_id']}"
    assert httpx.get(url).json()["digest"] == result["digest"]


def test_a_giver_of_the_stack_says_what_it_is(user: User) -> None:
    first, second, _ = user.stack.giver_ids.values()
    assert user.run("giver", "info", "--json").json["giver_id"] == first
    others = (each.address for each in user.stack.status() if each.name == "giver-2")
    assert user.run("giver", "info", "--json", "--url", *others).json["giver_id"] == second


def test_every_vote_is_kept(user: User) -> None:
    job = user.enqueue("busybox:local", "--replicas", "3", "--quorum", "3", "--", "echo", "x")
    assert user.run("seeker", "wait", job).code == 0
    task = user.run("seeker", "status", f"{job}-0", "--json").json
    assert len({vote["giver_id"] for vote in task["votes"]}) == 3
    assert len({vote["digest"] for vote in task["votes"]}) == 1


def test_a_failing_command_fails_the_job_with_its_output(user: User) -> None:
    job = user.enqueue("busybox:local", "--", "sh", "-c", "echo why >&2; exit 3")
    assert user.run("seeker", "wait", job).code == 1
    answer = user.run("seeker", "result", job)
    assert answer.code == 1
    assert "why" in answer.err
    assert user.run("seeker", "result", job, "--json").json["exit_code"] == 3


def test_a_cancelled_job_ends_cancelled(user: User) -> None:
    job = user.enqueue("busybox:local", "--array", "1-20", "--", "sleep", "600")
    assert user.run("seeker", "cancel", job).code == 0
    answer = user.run("seeker", "wait", job)
    assert (answer.code, answer.out.strip()) == (1, "cancelled")


def test_an_unknown_image_ends_in_a_visible_failure(user: User) -> None:
    job = user.enqueue("127.0.0.1:1/no/such:image", "--max-attempts", "2", "--", "true")
    assert user.run("seeker", "wait", job).code == 1
    task = user.run("seeker", "status", f"{job}-0", "--json").json
    assert task["state"] == "failed"
    assert "no/such:image" in task["reason"]


def test_impossible_resources_wait_and_say_why(user: User) -> None:
    job = user.enqueue("busybox:local", "--cpus", "4000", "--", "true")
    answer = user.run("seeker", "wait", job, "--timeout", "2")
    assert answer.code == 1
    assert "still pending" in answer.err
    assert "4000 are needed" in user.run("seeker", "status", job).out.replace("\n", " ")
    assert user.run("seeker", "cancel", job).code == 0
    assert user.run("seeker", "wait", job).out.strip() == "cancelled"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("image: [", "is not YAML"),
        ("just words", "holds no job"),
        ("image: x\nimagen: y", "imagen"),
        ("image: x\nreplicas: many", "replicas"),
        ("image: x\nreplicas: 2\nquorum: 3", "quorum 3 cannot be reached"),
        ("image: x\ntimeout: soon", "not a duration"),
        ("image: x\nresources: {memory: lots}", "memory"),
        ("image: x\ncommand: ['{{size}}']\nparameters: [{seed: 1}]", "{{size}}"),
    ],
)
def test_a_wrong_job_file_is_refused_with_the_reason(
    user: User, tmp_path: Path, text: str, told: str
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(text)
    answer = user.run("seeker", "enqueue", "-f", str(path))
    assert answer.code == 2
    assert str(path) in answer.err
    assert told in answer.err


def test_a_submission_too_large_is_refused(user: User, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(f"image: x\nenv: {{BIG: {'x' * 20_000_000}}}")
    answer = user.run("seeker", "enqueue", "-f", str(path))
    assert answer.code == 2
    assert "at most 1048576 are possible" in answer.err


@pytest.mark.parametrize(
    ("command", "arguments", "setting", "value", "told"),
    [
        ("seeker", ["enqueue", "x"], "SEEKER_BROKER_URL", "amqp://127.0.0.1:1/", "RabbitMQ"),
        ("seeker", ["status"], "SEEKER_MONGODB_URL", "mongodb://127.0.0.1:1/", "MongoDB"),
        ("channel", ["givers"], "CHANNEL_URL", "http://127.0.0.1:1", "channel"),
    ],
)
def test_a_service_that_is_away_is_named(
    user: User, command: str, arguments: list[str], setting: str, value: str, told: str
) -> None:
    answer = user.run(command, *arguments, **{setting: value})
    assert answer.code == 3
    assert told in answer.err


def test_malformed_messages_are_set_aside_and_the_rest_flows(user: User) -> None:
    env = user.stack.env
    queues = [
        topology.SUBMISSIONS.name,
        topology.COMMANDS.name,
        topology.SEEKER_STORED.name,
        topology.CHANNEL_RESULTS.name,
    ]

    async def spoil() -> set[str]:
        link = Link(env["SEEKER_BROKER_URL"], name="test", topology=topology.DURABLE)
        publisher = link.publisher()
        dead = link.consumer(queue=lambda _: topology.DEAD, decode=bytes, quarantine=False)
        await link.start(timeout_s=10)
        try:
            for queue in queues:
                await publisher.publish(
                    exchange="", routing_key=queue, body=b"\xff nonsense", message_id=queue
                )
            await publisher.publish(
                exchange=topology.HEARTBEATS.name,
                routing_key="",
                body=b"{}",
                message_id="heartbeat",
            )
            found: set[str] = set()
            async with asyncio.timeout(30):
                while len(found) < len(queues) + 1:
                    batch = await dead.take()
                    found |= {str(delivery.message_id) for delivery in batch}
                    dead.ack(batch)
            return found
        finally:
            await link.stop()

    assert asyncio.run(spoil()) == {*queues, "heartbeat"}
    job = user.enqueue("busybox:local", "--", "true")
    assert user.run("seeker", "wait", job, "--timeout", "60").code == 0
