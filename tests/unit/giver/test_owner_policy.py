"""What the owner's policy file says, and what is said of one that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner

from giver import policy_file
from giver.cli import main
from giver.doctor import grants
from giver.policy import NO_POLICY, PolicyError, parse
from runtime.settings import SettingsError
from schemas.heartbeat import Capacity
from schemas.policy import Policy

FULL = f"""
grants:
  network: tasks
  capabilities: [net_raw, CAP_SYS_PTRACE]
  writable_root: true
  runtimes: [runsc]
images: ["ghcr.io/alice/*", "python@sha256:{"1" * 64}"]
task: {{cpus: 2, memory: 4GiB, disk: 1GiB, gpus: 1, pids: 64, timeout: 1h30m}}
host: {{cpus: 3, memory: 8GiB, disk: 0, gpus: 0, tasks: 2}}
"""


def test_every_key_arrives_in_what_a_task_may_have() -> None:
    assert parse(FULL.encode()).of_a_task() == Policy(
        network=True,
        capabilities=("NET_RAW", "SYS_PTRACE"),
        writable_root=True,
        runtimes=("runsc",),
        images=("ghcr.io/alice/*", f"python@sha256:{'1' * 64}"),
        cpus=2,
        memory_bytes=4 << 30,
        disk_bytes=1 << 30,
        gpus=1,
        pids=64,
        timeout_s=5400,
    )


def test_all_tasks_together_get_the_lesser_of_host_and_policy() -> None:
    has = Capacity(cpus=2, memory_bytes=16 << 30, disk_bytes=1 << 40, gpus=4, containers=8)
    assert parse(FULL.encode()).cap(has) == Capacity(
        cpus=2, memory_bytes=8 << 30, disk_bytes=0, gpus=0, containers=2
    )
    assert NO_POLICY.cap(has) == has


@pytest.mark.parametrize("text", ["# nothing yet\n", "grants:\ntask:\nhost:\n", "{}"])
def test_what_is_left_out_stays_as_without_a_policy(text: str) -> None:
    assert parse(text.encode()).of_a_task() == Policy()


def test_a_network_can_be_denied_as_yaml_has_it() -> None:
    assert not parse(b"grants: {network: no}").of_a_task().network
    assert not parse(b"grants: {network:}").of_a_task().network


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("grant: {}", "grant: there is no such key"),
        ("task: {cpu: 1}", "task.cpu: there is no such key (got 1)"),
        ("task: {cpus: 0}", "task.cpus: Input should be greater than 0 (got 0)"),
        ("task: {memory: lots}", "task.memory: "),
        ("task: {timeout: soon}", "task.timeout: not a duration"),
        ("grants: {network: host}", "grants.network: that gives tasks whatever listens"),
        ("grants: {network: 'container:x'}", "grants.network: that gives tasks"),
        ("grants: {network: yes}", "grants.network: name a network"),
        ("grants: {capabilities: [ALL]}", "grants.capabilities.0: name each capability by itself"),
        ("images: ['busybox:1']", "images.0: write REPOSITORY or REPOSITORY@sha256"),
        ("images: busybox", "images: "),
        ("task: {cpus: 1}\ntask: {cpus: 2}", "'task' is there twice, in line 1 and in line 2"),
        ("[1, 2]", "it holds no policy"),
        ("{", "it is not YAML"),
        ("", "it is empty: remove it"),
        (" \n", "it is empty: remove it"),
    ],
)
def test_a_wrong_key_is_named_with_what_is_expected(text: str, told: str) -> None:
    with pytest.raises(PolicyError) as caught:
        parse(text.encode())
    assert told in str(caught.value)


def test_a_policy_is_read_from_where_it_is_said_to_be(tmp_path: Path) -> None:
    named = tmp_path / "named.yaml"
    assert policy_file.read(None, tmp_path).policy == NO_POLICY
    with pytest.raises(SettingsError, match=r"GIVER_POLICY names .* does not exist"):
        policy_file.read(named, tmp_path)
    (tmp_path / policy_file.DEFAULT_NAME).write_text("host: {tasks: 1}")
    named.write_text("host: {tasks: 2}")
    assert policy_file.read(None, tmp_path).policy.host.tasks == 1
    found = policy_file.read(named, tmp_path)
    assert (found.policy.host.tasks, found.source) == (2, str(named))


def test_a_giver_does_not_start_with_a_policy_it_does_not_understand(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text("images: [busybox:1]")
    env = {
        "GIVER_BROKER_URL": "amqp://127.0.0.1:1/",
        "GIVER_STATE_DIR": str(tmp_path / "state"),
        "GIVER_POLICY": str(file),
    }
    run = CliRunner().invoke(main, ["run"], env=env)
    assert run.exit_code == 2
    assert f"the owner's policy {file}: images.0: write REPOSITORY" in run.output


def test_what_docker_lacks_fails_the_doctors_check_with_a_remedy() -> None:
    assert grants(()).verdict == "ok"
    check = grants(("network tasks", "runtime runsc"))
    assert check.verdict == "failed"
    assert "network tasks, runtime runsc" in check.found
    assert "docker network create" in check.remedy
