"""What `seeker watch --json` prints."""

from __future__ import annotations

import json
from datetime import UTC, datetime

import pytest

from schemas.job import ContainerSpec, JobSpec
from seeker.commands.follow import _printer


def test_only_what_has_changed_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    document = {
        "_id": "job",
        "spec": JobSpec(container=ContainerSpec(image="image")).model_dump_json(),
        "submitted_at": datetime.now(UTC),
        "finished_at": None,
        "waiting_reason": "",
        "withdrawn": None,
    }
    show = _printer()
    for state in ("pending", "pending", "active", "active", "active", "succeeded"):
        show({**document, "state": state, "counts": {state: 1}})
    lines = capsys.readouterr().out.splitlines()
    states = [json.loads(line)["state"] for line in lines]
    assert states == ["pending", "active", "succeeded"]


def test_a_change_of_progress_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    document = {
        "_id": "job",
        "spec": JobSpec(container=ContainerSpec(image="image")).model_dump_json(),
        "submitted_at": datetime.now(UTC),
        "finished_at": None,
        "waiting_reason": "",
        "withdrawn": None,
        "state": "active",
        "counts": {"active": 1},
    }
    show = _printer()
    for fraction in (0.1, 0.1, 0.2):
        show({**document, "progress": [{"task_id": "job-0", "fraction": fraction, "note": ""}]})
    lines = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["progress"][0]["fraction"] for line in lines] == [0.1, 0.2]
