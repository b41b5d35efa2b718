"""What the seeker asks of a giver."""

from __future__ import annotations

from typing import ClassVar

from pydantic import Field

from schemas.base import Message, Part
from schemas.comparison import Comparison
from schemas.data import DataAccess
from schemas.identifiers import AssignmentId, GiverId, JobId, TaskId
from schemas.job import MIB, ContainerSpec


class Assignment(Part):
    """One try at a task, by one giver."""

    assignment_id: AssignmentId
    task_id: TaskId
    job_id: JobId
    container: ContainerSpec
    """With the task's parameters filled in."""
    comparison: Comparison = Comparison()
    """For the result to repeat."""
    data: DataAccess | None = None
    """`None`: the container has neither inputs nor outputs."""


class Dispatch(Message):
    """On `tasks.<giver>.<session>`: one or more assignments for that giver.

    Several travel in one message because a message costs the broker and both ends far more than
    an assignment does. Receiving an assignment again has no effect, but that a result already
    made is sent again.
    """

    MAX_BYTES: ClassVar[int] = 16 * MIB

    giver_id: GiverId
    assignments: tuple[Assignment, ...] = Field(min_length=1)


class CancelAssignments(Message):
    """On `control.<giver>.<session>`: stop these, and report each as cancelled.

    An assignment that the giver does not know is remembered as cancelled, should it arrive late.
    Without any it asks for nothing: that the broker takes it shows that the giver is connected.
    """

    assignment_ids: tuple[AssignmentId, ...]
