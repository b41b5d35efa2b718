"""How jobs, tasks and givers look in the seeker's database, and back.

jobs    {_id: job id, spec, submitted_at, state, counts: {state: n}, cancel_requested,
         waiting_reason, finished_at}
tasks   {_id: task id, job_id, index, state, assignments: [...], votes: [...], chosen, reason,
         disputed, cancel_requested}; exists from its first assignment on
givers  {_id: giver id, member, strikes, beat: the latest heartbeat, standing, joined_at,
         heard_at, purged_at}; a purged one stays as a tombstone
"""

from __future__ import annotations

from typing import Any

from schemas.heartbeat import Heartbeat
from schemas.job import JobSpec
from schemas.states import AssignmentState, Outcome, TaskState
from seeker.agreement import Vote
from seeker.model import Assignment, Giver, Job, Standing, Task

Document = dict[str, Any]


def new_job(job: Job) -> Document:
    """The fields that never change."""
    return {"spec": job.spec.model_dump_json(), "submitted_at": job.submitted_at}


def job_progress(job: Job) -> Document:
    return {
        "state": job.state.value,
        "counts": {state.value: count for state, count in job.counts.items()},
        "cancel_requested": job.cancel_requested,
        "waiting_reason": job.waiting_reason,
        "finished_at": job.finished_at,
    }


def job_from(document: Document) -> Job:
    """The job without its tasks: all of them still to be started."""
    spec = JobSpec.model_validate_json(document["spec"])
    job = Job.new(document["_id"], spec, document["submitted_at"])
    job.state = TaskState(document["state"])
    job.cancel_requested = document["cancel_requested"]
    job.waiting_reason = document["waiting_reason"]
    job.finished_at = document["finished_at"]
    return job


def task(task: Task) -> Document:
    return {
        "_id": task.id,
        "job_id": task.job.id,
        "index": task.index,
        "state": task.state.value,
        "chosen": task.chosen,
        "reason": task.reason,
        "disputed": task.disputed,
        "cancel_requested": task.cancel_requested,
        "assignments": [
            {
                "assignment_id": a.id,
                "giver_id": a.giver_id,
                "state": a.state.value,
                "reason": a.reason,
                "outcome": a.outcome.value if a.outcome else None,
                "late": a.late,
                "placed_at": a.placed_at,
            }
            for a in task.assignments
        ],
        "votes": [
            {
                "result_id": vote.result_id,
                "giver_id": vote.giver_id,
                "digest": vote.digest,
                "outcome": vote.outcome.value,
            }
            for vote in task.votes
        ],
    }


def task_from(document: Document, job: Job) -> Task:
    """The task with its assignments and votes; its job's counts are not touched."""
    task = Task(
        job=job,
        index=document["index"],
        state=TaskState(document["state"]),
        chosen=document["chosen"],
        reason=document["reason"],
        disputed=document["disputed"],
        cancel_requested=document["cancel_requested"],
        votes=[
            Vote(
                result_id=vote["result_id"],
                giver_id=vote["giver_id"],
                digest=vote["digest"],
                outcome=Outcome(vote["outcome"]),
            )
            for vote in document["votes"]
        ],
    )
    for number, item in enumerate(document["assignments"], start=1):
        task.assignments.append(
            Assignment(
                task=task,
                number=number,
                giver_id=item["giver_id"],
                state=AssignmentState(item["state"]),
                reason=item["reason"],
                outcome=Outcome(item["outcome"]) if item["outcome"] else None,
                late=item["late"],
                placed_at=item["placed_at"],
            )
        )
    return task


def giver(giver: Giver) -> Document:
    return {
        "member": True,
        "strikes": giver.strikes,
        "beat": giver.beat.model_dump_json(exclude={"inventory", "refusals"}),
        "standing": {"agreed": giver.standing.agreed, "disagreed": giver.standing.disagreed},
        "joined_at": giver.joined_at,
        "heard_at": giver.heard_at,
        "purged_at": None,
    }


def giver_from(document: Document, monotonic: float) -> Giver:
    """The giver without its assignments, and not reachable until it is heard."""
    return Giver(
        id=document["_id"],
        beat=Heartbeat.model_validate_json(document["beat"]),
        last_heard=monotonic,
        joined_at=document["joined_at"],
        heard_at=document["heard_at"],
        strikes=document["strikes"],
        standing=standing_from(document),
    )


def standing_from(document: Document) -> Standing:
    return Standing(**document["standing"])
