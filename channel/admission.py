"""Whether a result may be what it says it is.

Each id of a result follows from the assignment's and the giver's, and the giver is named once more
in the routing key, where the broker can hold it to a user's permissions. One that contradicts
itself is malformed.
"""

from __future__ import annotations

from collections.abc import Sequence

from schemas import identifiers
from schemas.base import MalformedMessage
from schemas.result import Result
from schemas.topology import result_key


def decode(body: bytes) -> tuple[Result, ...]:
    """The results of one message.

    Raises:
        MalformedMessage: one is no result, or its ids do not follow from one another.
    """
    results = Result.decode_all(body)
    for result in results:
        _check(result)
    return results


def _check(result: Result) -> None:
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


def objection(results: Sequence[Result], routing_key: str) -> str | None:
    """Why these may not come in one message under this routing key; `None` if they may."""
    result = results[0]
    expected = result_key(result.giver_id, result.task_id)
    if routing_key == expected:
        for other in results:
            if other.giver_id != result.giver_id:
                return (
                    f"Result: giver_id {other.giver_id!r} and {result.giver_id!r} in one message: "
                    "a giver speaks for itself alone"
                )
        return None
    return (
        f"Result: giver_id {result.giver_id!r} and task_id {result.task_id!r} belong under routing "
        f"key {expected!r}, but it came under {routing_key!r}"
    )
