"""Results to send and to store."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from schemas import identifiers
from schemas.result import Result
from schemas.states import Outcome

JOB = "01JDZZZZZZZZZZZZZZZZZZZZZZ"
NOON = datetime(2026, 1, 2, 12, 0, 0, 345000, tzinfo=UTC)


def a_result(
    index: int = 0, *, job: str = JOB, attempt: int = 1, giver: str = "giver-1", **fields: Any
) -> Result:
    """Of the task with that index; `fields` replace what is there."""
    task_id = identifiers.task_id(job, index)
    assignment_id = identifiers.assignment_id(task_id, attempt)
    content: dict[str, Any] = {
        "result_id": identifiers.result_id(assignment_id, giver),
        "assignment_id": assignment_id,
        "task_id": task_id,
        "job_id": job,
        "giver_id": giver,
        "sent_at": NOON,
        "outcome": Outcome.SUCCEEDED,
        "exit_code": 0,
        "stdout": "hello\n",
    }
    return Result(**{**content, **fields})
