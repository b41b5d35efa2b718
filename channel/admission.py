"""Whether a result may be what it says it is.

Each id of a result follows from the assignment's and the giver's, and the giver is named once more
in the routing key, where the broker can hold it to a user's permissions. One that contradicts
itself is malformed.
"""

from __future__ import annotations

from schemas import identifiers
from schemas.base import MalformedMessage
from schemas.result import Result
from schemas.topology import result_key


def decode(body: bytes) -> Result:
    """
    Raises:
        MalformedMessage: no result, or its ids do not follow from one another.
    """
    result = Result.decode(body)
    task_id = identifiers.task_of(result.assignment_id)
    for field, value, expected in (
        ("task_id", result.task_id, task_id),
        ("job_id", result.job_id, identifiers.job_of(task_id)),
        (
            "result_id",
            result.result_id,
            identifiers.result_id(result.assignment_id, result.giver_id),
        ),
    ):
        if value != expected:
            raise MalformedMessage(
                f"Result: {field}: {value!r} does not follow from assignment_id "
                f"{result.assignment_id!r} and giver_id {result.giver_id!r}, expected {expected!r}"
            )
    return result


def objection(result: Result, routing_key: str) -> str | None:
    """Why a result may not come under this routing key; `None` if it may."""
    expected = result_key(result.giver_id, result.task_id)
    if routing_key == expected:
        return None
    return (
        f"Result: giver_id {result.giver_id!r} and task_id {result.task_id!r} belong under routing "
        f"key {expected!r}, but it came under {routing_key!r}"
    )
