"""Every process of the line is killed while a job runs; nothing is lost and nothing doubled."""

from __future__ import annotations

from collections import Counter

import pytest

from tests.acceptance.conftest import User

TASKS = 200


@pytest.mark.slow
@pytest.mark.timeout(480)
def test_a_job_ends_complete_though_each_service_is_killed_in_turn(user: User) -> None:
    stack = user.stack
    job = user.enqueue(
        "busybox:local",
        *("--cpus", "0.2", "--array", f"1-{TASKS}"),
        *("--", "sh", "-c", "sleep 0.3; echo {{index}}"),
    )
    for service in ("seeker", "channel", "giver-1", "rabbitmq", "mongodb", "giver-2"):
        counts = user.run("seeker", "status", job, "--json").json["tasks"]
        assert counts["pending"] + counts["active"] > 0, "the job was over before the killing was"
        stack.kill(service)
        stack.start(service)

    answer = user.run("seeker", "wait", job, "--timeout", "240", timeout_s=300)
    assert answer.out.strip() == "succeeded", answer.err
    job_document = user.run("seeker", "status", job, "--json").json
    assert job_document["tasks"]["succeeded"] == TASKS

    results = user.run("channel", "results", "--job", job, "--json").json
    ids = Counter(result["assignment_id"] for result in results)
    assert [i for i, times in ids.items() if times > 1] == []
    right = {r["task_id"] for r in results if r["stdout"] == r["task_id"][27:] + "\n"}
    assert len(right) == TASKS
