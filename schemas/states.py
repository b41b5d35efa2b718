"""The states of tasks, assignments and givers, and the outcomes of a run.

Which transitions are legal is the seeker's business (`seeker/states.py`).
"""

from __future__ import annotations

from enum import StrEnum


class TaskState(StrEnum):
    """A task, and a job as the sum of its tasks."""

    PENDING = "pending"
    ACTIVE = "active"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"

    @property
    def final(self) -> bool:
        return self in (TaskState.SUCCEEDED, TaskState.FAILED, TaskState.CANCELLED)


class AssignmentState(StrEnum):
    """One giver's try at a task."""

    PLACED = "placed"
    """Written down by the seeker and sent, or about to be."""
    ACCEPTED = "accepted"
    """In the giver's journal, waiting for a free slot there."""
    PULLING = "pulling"
    RUNNING = "running"
    REPORTED = "reported"
    """Its result is stored in the channel."""
    REFUSED = "refused"
    """The giver would not take it."""
    LOST = "lost"
    """The giver was purged, or does not know of it any more."""
    CANCELLED = "cancelled"
    """Withdrawn, and its container is gone."""

    @property
    def final(self) -> bool:
        return self in (
            AssignmentState.REPORTED,
            AssignmentState.REFUSED,
            AssignmentState.LOST,
            AssignmentState.CANCELLED,
        )


class GiverState(StrEnum):
    """What a giver says of itself in its heartbeat."""

    READY = "ready"
    DRAINING = "draining"
    """Finishes what it has, takes nothing new."""
    PAUSED = "paused"
    DEGRADED = "degraded"
    """Cannot run containers now; the heartbeat says why."""


class Outcome(StrEnum):
    """How a run ended."""

    SUCCEEDED = "succeeded"
    FAILED = "failed"
    """Exit code other than 0."""
    TIMED_OUT = "timed_out"
    OUT_OF_MEMORY = "out_of_memory"
    OUTPUT_LIMIT = "output_limit"
    IMAGE_ERROR = "image_error"
    """The image does not exist or cannot be used; trying again would not help."""
    KILLED = "killed"
    """Ended by a signal that neither the giver nor the memory limit sent."""
    CANCELLED = "cancelled"
    INFRASTRUCTURE_ERROR = "infrastructure_error"
    """The giver or its Docker failed, not the task."""
