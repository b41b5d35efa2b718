"""Whose answer is believed, with real containers: comparison by tolerance, liars, evidence."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from deploy.local.layout import CHECKOUT
from deploy.local.progress import Silent
from tests.acceptance.conftest import User

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

NOISE = "head -c 6 /dev/urandom | od -An -tu1 | tr -dc 0-9 | head -c 6"
TWO = ("--replicas", "2", "--quorum", "2")


def evidence(user: User, job: str, index: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = user.run("seeker", "votes", f"{job}-{index}", "--json").json
    return found


def agreed(user: User, *arguments: str) -> dict[str, Any]:
    job = user.enqueue(*arguments)
    assert user.run("seeker", "wait", job, "--timeout", "60").code == 0
    return evidence(user, job)


@pytest.mark.parametrize(
    ("options", "command"),
    [
        (("--compare", "json", "--tolerance", "1e-6"), f'echo "{{\\"x\\": 0.5000000$({NOISE})}}"'),
        (
            ("--compare", "numbers", "--absolute-tolerance", "1e-6"),
            f"echo E = -7.0000000$({NOISE})",
        ),
        (("--compare", "lines"), "seq 1000 1100 | shuf"),
    ],
)
def test_a_comparison_as_the_job_needs_it(
    user: User, options: tuple[str, ...], command: str
) -> None:
    found = agreed(user, *TWO, *options, "busybox:local", "--", "sh", "-c", command)
    first, second = found["votes"]
    assert first["agrees_with"] == [second["giver_id"]]
    assert not found["disputed"]
    bytes_differ = [
        user.run("channel", "get", vote["result_id"], "--json").json["stdout"]
        for vote in (first, second)
    ]
    assert bytes_differ[0] != bytes_differ[1]


def test_the_users_own_container_compares(user: User, tmp_path: Path) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(
        f"""
image: busybox:local
command: [sh, -c, "echo about 12.$({NOISE})"]
trust: quorum
comparator: busybox:local
comparator_command: [sh, -c, '[ "${{RESULT_A%%.*}}" = "${{RESULT_B%%.*}}" ]']
"""
    )
    found = agreed(user, "-f", str(path))
    first, second = found["votes"]
    assert first["digest"] != second["digest"]
    assert first["agrees_with"] == [second["giver_id"]]


@pytest.fixture
def liar(user: User) -> Iterator[str]:
    """The third giver lies, always."""
    name = "giver-3"
    user.stack.stop(name)
    user.stack.start(
        name,
        Silent(),
        environment={"BENCH_LIES": "1.0", "PYTHONPATH": str(CHECKOUT)},
        command=(sys.executable, "-m", "benchmarks.lying_giver"),
    )
    yield user.stack.giver_ids[name]
    user.stack.stop(name)
    user.stack.start(name, Silent())


def test_a_liar_is_outvoted_and_its_reputation_gone(user: User, liar: str) -> None:
    job = user.enqueue(*TWO, "--array", "1-12", "busybox:local", "--", "echo", "{{index}}")
    assert user.run("seeker", "wait", job, "--timeout", "100").code == 0
    lies = 0
    for index in range(1, 13):
        assert user.run("seeker", "result", f"{job}-{index}").out == f"{index}\n"
        found = evidence(user, job, index)
        mine = [vote for vote in found["votes"] if vote["giver_id"] == liar]
        lies += len(mine)
        assert all(vote["agrees_with"] == [] and not vote["chosen"] for vote in mine)
    assert lies
    standing = user.run("seeker", "givers", "show", liar, "--json").json["standing"]
    assert standing["lies"] == lies
    assert standing["reputation"] < 0.5


def test_where_nobody_is_left_to_ask_the_task_is_disputed_or_fails_as_told(
    user: User, liar: str
) -> None:
    only = ("--require", f'id in ["{liar}", "{user.stack.giver_ids["giver-1"]}"]')
    command = ("busybox:local", "--", "echo", "x")
    disputed = user.enqueue(*TWO, *only, *command)
    failing = user.enqueue(*TWO, *only, "--on-disagreement", "fail", *command)
    assert user.run("seeker", "wait", disputed, "--timeout", "60").code == 0
    assert user.run("seeker", "wait", failing, "--timeout", "60").code == 1
    assert evidence(user, disputed)["disputed"]
    assert "disagree" in evidence(user, failing)["reason"]
    shown = user.run("seeker", "votes", failing).out
    assert "nobody" in shown
