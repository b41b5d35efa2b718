"""What a turn of the scheduler decided: first to be written down, then to be acted upon."""

from __future__ import annotations

from dataclasses import dataclass, field

from schemas.result import StoredResult
from seeker.fleet import Former
from seeker.model import Assignment, Giver, Job, Task


@dataclass(slots=True)
class Changes:
    new_jobs: dict[str, Job] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)
    tasks: dict[str, Task] = field(default_factory=dict)
    new_tasks: set[str] = field(default_factory=set)
    """Those among `tasks` that came into being in this turn."""
    abandoned: dict[str, Job] = field(default_factory=dict)
    """Jobs that failed by an error of ours, with all of their tasks that had not ended."""
    givers: dict[str, Giver] = field(default_factory=dict)
    purged: dict[str, Giver] = field(default_factory=dict)
    former: dict[str, Former] = field(default_factory=dict)
    """Purged givers of whom something changed."""
    forgotten: set[str] = field(default_factory=set)
    """Ids of givers of which nothing is to be kept."""
    reviewers: set[str] = field(default_factory=set)
    """Ids of givers whose unchecked work is to be reviewed."""
    reviews: dict[str, str] = field(default_factory=dict)
    """By the id of a task that is no longer in memory, that of the task that reviews it."""
    late_results: list[StoredResult] = field(default_factory=list)
    """For tasks that are no longer in memory; recorded, without effect on them."""

    dispatches: dict[str, list[Assignment]] = field(default_factory=dict)
    """To send, by giver."""
    cancels: dict[str, list[str]] = field(default_factory=dict)
    """Assignment ids to send, by giver."""

    def withdraw(self, assignment: Assignment) -> None:
        """Tell its giver to stop; heartbeats make sure that it hears."""
        self.cancels.setdefault(assignment.giver_id, []).append(assignment.id)

    def dispatch(self, assignment: Assignment) -> None:
        self.dispatches.setdefault(assignment.giver_id, []).append(assignment)

    def touch(self, task: Task) -> None:
        """The task and the counts of its job changed."""
        self.tasks[task.id] = task
        self.jobs[task.job.id] = task.job

    def abandon(self, job: Job) -> None:
        """Nothing else of the job is to be written."""
        self.new_jobs.pop(job.id, None)
        self.jobs.pop(job.id, None)
        for task in [task for task in self.tasks.values() if task.job is job]:
            del self.tasks[task.id]
            self.new_tasks.discard(task.id)
        self.abandoned[job.id] = job
