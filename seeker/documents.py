"""How jobs, tasks and givers look in the seeker's database, and back.

jobs    {_id: job id, spec, submitted_at, accepted_at, state, counts: {state: n}, withdrawn,
         waiting_reason, finished_at, pinned_image}
tasks   {_id: task id, job_id, index, state, assignments: [...], votes: [...], earlier_votes,
         rounds, round_began, chosen, reason, disputed, alone, review, comparisons,
        withdrawn};
        exists from its first
         assignment on
givers  {_id: giver id, member, strikes, beat: the latest heartbeat, session, load, setbacks,
         standing, cordon, joined_at, heard_at, purged_at}; a purged one stays as a tombstone
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from schemas.heartbeat import Heartbeat, Progress
from schemas.job import JobSpec
from schemas.states import AssignmentState, Outcome, TaskState
from seeker.agreement import Vote
from seeker.comparators import Pair
from seeker.fleet import Former
from seeker.model import (
    Assignment,
    Cordon,
    Giver,
    Job,
    Load,
    Now,
    Setback,
    Standing,
    Task,
    Withdrawal,
)
from seeker.reputation import Record, Reputation

Document = dict[str, Any]


def new_job(job: Job) -> Document:
    """The fields that never change."""
    return {
        "spec": job.spec.model_dump_json(),
        "submitted_at": job.submitted_at,
        "accepted_at": job.accepted_at,
    }


def job_progress(job: Job) -> Document:
    return {
        "state": job.state.value,
        "counts": {state.value: count for state, count in job.counts.items()},
        "withdrawn": _withdrawal(job.withdrawn),
        "waiting_reason": job.waiting_reason,
        "finished_at": job.finished_at,
        "pinned_image": job.pinned_image,
    }


def job_from(document: Document) -> Job:
    """The job without its tasks: all of them still to be started."""
    spec = JobSpec.model_validate_json(document["spec"])
    submitted_at: datetime = document["submitted_at"]
    accepted_at: datetime = document.get("accepted_at") or submitted_at
    job = Job.new(document["_id"], spec, submitted_at, accepted_at)
    job.state = TaskState(document["state"])
    job.withdrawn = _withdrawal_from(document["withdrawn"])
    job.waiting_reason = document["waiting_reason"]
    job.finished_at = document["finished_at"]
    job.pinned_image = document.get("pinned_image", "")
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
        "alone": task.alone,
        "review": task.review,
        "comparisons": [[*pair, agree] for pair, agree in task.comparisons.items()],
        "withdrawn": _withdrawal(task.withdrawn),
        "rounds": task.rounds,
        "round_began": task.round_began,
        "assignments": [
            {
                "assignment_id": a.id,
                "giver_id": a.giver_id,
                "group": a.group,
                "parts": a.parts,
                "state": a.state.value,
                "reason": a.reason,
                "outcome": a.outcome.value if a.outcome else None,
                "late": a.late,
                "placed_at": a.placed_at,
                "progress": a.progress.model_dump() if a.progress else None,
                "platform": a.platform,
            }
            for a in task.assignments
        ],
        "votes": [_vote(vote) for vote in task.votes],
        "earlier_votes": [_vote(vote) for vote in task.earlier_votes],
    }


def _vote(vote: Vote) -> Document:
    return {
        "result_id": vote.result_id,
        "giver_id": vote.giver_id,
        "digest": vote.digest,
        "outcome": vote.outcome.value,
        "exit_code": vote.exit_code,
        "comparable": vote.comparable,
        "files_digest": vote.files_digest,
        "image_digest": vote.image_digest,
    }


def vote_from(document: Document) -> Vote:
    return Vote(
        result_id=document["result_id"],
        giver_id=document["giver_id"],
        digest=document["digest"],
        outcome=Outcome(document["outcome"]),
        exit_code=document.get("exit_code"),
        comparable=document.get("comparable"),
        files_digest=document.get("files_digest"),
        image_digest=document.get("image_digest"),
    )


def _withdrawal(withdrawal: Withdrawal | None) -> Document | None:
    if withdrawal is None:
        return None
    return {"state": withdrawal.state.value, "reason": withdrawal.reason}


def _withdrawal_from(document: Document | None) -> Withdrawal | None:
    if document is None:
        return None
    state = TaskState(document["state"])
    assert state is TaskState.CANCELLED or state is TaskState.FAILED
    return Withdrawal(state=state, reason=document["reason"])


def task_from(document: Document, job: Job) -> Task:
    """The task with its assignments and votes; its job's counts are not touched."""
    task = Task(
        job=job,
        index=document["index"],
        state=TaskState(document["state"]),
        chosen=document["chosen"],
        reason=document["reason"],
        disputed=document["disputed"],
        alone=document.get("alone", False),
        review=document.get("review", ""),
        comparisons=comparisons_from(document),
        withdrawn=_withdrawal_from(document["withdrawn"]),
        rounds=document["rounds"],
        round_began=document["round_began"],
        votes=[vote_from(vote) for vote in document["votes"]],
        earlier_votes=[vote_from(vote) for vote in document["earlier_votes"]],
    )
    for item in document["assignments"]:
        task.assignments.append(
            Assignment(
                task=task,
                number=int(item["assignment_id"].rpartition("-")[2]),
                giver_id=item["giver_id"],
                group=item["group"],
                parts=item["parts"],
                state=AssignmentState(item["state"]),
                reason=item["reason"],
                outcome=Outcome(item["outcome"]) if item["outcome"] else None,
                late=item["late"],
                placed_at=item["placed_at"],
                progress=Progress(**item["progress"]) if item.get("progress") else None,
                platform=item.get("platform", ""),
            )
        )
    return task


def comparisons_from(task: Document) -> dict[Pair, bool]:
    """What the user's own container said of pairs of a task's results."""
    return {(one, other): agree for one, other, agree in task.get("comparisons", ())}


def giver(giver: Giver) -> Document:
    return {
        "member": True,
        "strikes": giver.strikes,
        "beat": giver.beat.model_dump_json(exclude={"inventory", "refusals"}),
        "session": None if giver.unreachable else giver.session,
        "load": asdict(giver.load),
        "setbacks": [
            {"image": image, "count": setback.count, "until": setback.until_wall}
            for image, setback in giver.setbacks.items()
        ],
        "joined_at": giver.joined_at,
        "heard_at": giver.heard_at,
        "purged_at": None,
        **former(Former(standing=giver.standing, cordon=giver.cordon)),
    }


def former(former: Former) -> Document:
    """What outlives a membership."""
    return {
        "standing": _standing(former.standing),
        "cordon": asdict(former.cordon) if former.cordon else None,
    }


def giver_from(document: Document, now: Now) -> Giver:
    """The giver without its assignments, and not reachable until it is heard."""
    kept = former_from(document)
    return Giver(
        id=document["_id"],
        beat=Heartbeat.model_validate_json(document["beat"]),
        last_heard=now.monotonic,
        joined_at=document["joined_at"],
        heard_at=document["heard_at"],
        strikes=document["strikes"],
        standing=kept.standing,
        cordon=kept.cordon,
        setbacks={
            item["image"]: Setback(
                count=item["count"],
                until=now.monotonic + (item["until"] - now.wall).total_seconds(),
                until_wall=item["until"],
            )
            for item in document["setbacks"]
        },
    )


def giver_as_seen(document: Document, now: Now) -> Giver:
    """The giver as the leader last wrote it down, for explanations."""
    giver = giver_from(document, now)
    giver.session = document["session"]
    giver.load = Load(**document["load"])
    return giver


def former_from(document: Document) -> Former:
    return Former(
        standing=_standing_from(document["standing"]),
        cordon=Cordon(**document["cordon"]) if document["cordon"] else None,
    )


def _standing(standing: Standing) -> Document:
    document = asdict(standing)
    reputation = document["reputation"]
    # An image may be named as the database would not let a field be named.
    reputation["by_class"] = list(reputation["by_class"].items())
    return document


def _standing_from(document: Document) -> Standing:
    said = document["reputation"]
    reputation = Reputation(
        **{
            **said,
            "overall": Record(**said["overall"]),
            "by_class": {kind: Record(**record) for kind, record in said["by_class"]},
        }
    )
    return Standing(**{**document, "reputation": reputation})
