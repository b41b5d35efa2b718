"""What one turn writes to the seeker's database. Pure.

Documents are encoded when the turn ends: what later turns change cannot slip into them, and what
cannot be written is known before anything else of its job is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import bson
from bson.raw_bson import RawBSONDocument
from pymongo import DeleteOne, ReplaceOne, UpdateMany, UpdateOne

from schemas.identifiers import job_of
from schemas.result import StoredResult
from schemas.states import TaskState
from seeker import documents
from seeker.changes import Changes
from seeker.documents import Document
from seeker.model import Job, Now, Task

Write = ReplaceOne[Any] | UpdateOne | UpdateMany | DeleteOne

LARGEST_DOCUMENT = 16 << 20
"""Bytes; the database takes no more."""

UNFINISHED = [state.value for state in TaskState if not state.final]


class TooLarge(ValueError):
    """A document exceeds what the database takes."""


@dataclass(slots=True)
class Writes:
    """All but `ended` may be written side by side, `ended` when the tasks are."""

    new_tasks: list[RawBSONDocument] = field(default_factory=list)
    tasks: list[Write] = field(default_factory=list)
    new_jobs: list[RawBSONDocument] = field(default_factory=list)
    jobs: list[Write] = field(default_factory=list)
    ended: list[Write] = field(default_factory=list)
    """Jobs that are over: a leader that starts never looks at their tasks again."""
    givers: list[Write] = field(default_factory=list)
    """To be written in this order where `in_order` says so."""
    in_order: bool = False
    """A giver that was forgotten, or purged, may have come back in the same turn."""
    about: set[str] = field(default_factory=set)
    """Ids of the jobs and givers that the documents belong to."""
    broken: dict[str, Exception] = field(default_factory=dict)
    """Jobs of which nothing is written, as something of them cannot be; and why not."""

    @classmethod
    def of(cls, changes: Changes, now: Now) -> Writes:
        writes = cls()
        tasks: dict[str, list[Task]] = {job_id: [] for job_id in changes.jobs}
        for task in changes.tasks.values():
            tasks.setdefault(task.job.id, []).append(task)
        for job_id in {**changes.new_jobs, **tasks}:
            try:
                writes._add_job(job_id, tasks.get(job_id, ()), changes)
            except Exception as error:
                writes.broken[job_id] = error
        for job in changes.abandoned.values():
            writes._add_abandoned(job)
        for task_id, review in changes.reviews.items():
            writes.tasks.append(UpdateOne({"_id": task_id}, {"$set": {"review": review}}))
            writes.about.add(job_of(task_id))
        for result in changes.late_results:
            writes.tasks.append(_late(result))
            writes.about.add(result.job_id)
        writes._add_givers(changes, now)
        return writes

    def __bool__(self) -> bool:
        return bool(self.about)

    def _add_job(self, job_id: str, tasks: Iterable[Task], changes: Changes) -> None:
        new_tasks = []
        known_tasks: list[Write] = []
        for task in tasks:
            document = _encoded(documents.task(task))
            if task.id in changes.new_tasks:
                new_tasks.append(document)
            else:
                known_tasks.append(ReplaceOne({"_id": task.id}, document, upsert=True))
        if job_id in changes.new_jobs:
            job = changes.new_jobs[job_id]
            whole = _encoded(
                {"_id": job_id, **documents.new_job(job), **documents.job_progress(job)}
            )
            if job.state.final:
                self.ended.append(ReplaceOne({"_id": job_id}, whole, upsert=True))
            else:
                self.new_jobs.append(whole)
        elif job_id in changes.jobs:
            job = changes.jobs[job_id]
            known = UpdateOne({"_id": job_id}, {"$set": _encoded(documents.job_progress(job))})
            (self.ended if job.state.final else self.jobs).append(known)
        self.new_tasks += new_tasks
        self.tasks += known_tasks
        self.about.add(job_id)

    def _add_abandoned(self, job: Job) -> None:
        """Of its tasks nothing is known for sure but that they end with it."""
        assert job.withdrawn is not None
        end = {"state": job.withdrawn.state.value, "reason": job.withdrawn.reason}
        unfinished = {"job_id": job.id, "state": {"$in": UNFINISHED}}
        self.tasks.append(UpdateMany(unfinished, {"$set": end}))
        fields = {"$set": documents.job_progress(job), "$setOnInsert": documents.new_job(job)}
        self.ended.append(UpdateOne({"_id": job.id}, fields, upsert=True))
        self.about.add(job.id)

    def _add_givers(self, changes: Changes, now: Now) -> None:
        self.in_order = bool(changes.forgotten or changes.purged)
        self.givers += [DeleteOne({"_id": giver_id}) for giver_id in changes.forgotten]
        for giver in changes.purged.values():
            gone = {**documents.giver(giver), "member": False, "purged_at": now.wall}
            self.givers.append(UpdateOne({"_id": giver.id}, {"$set": gone}, upsert=True))
        for giver_id, former in changes.former.items():
            self.givers.append(UpdateOne({"_id": giver_id}, {"$set": documents.former(former)}))
        self.givers += [
            UpdateOne({"_id": giver.id}, {"$set": documents.giver(giver)}, upsert=True)
            for giver in changes.givers.values()
        ]
        self.about |= {*changes.forgotten, *changes.purged, *changes.former, *changes.givers}


def _encoded(document: Document) -> RawBSONDocument:
    """
    Raises:
        TooLarge: for the database.
        bson.errors.BSONError, OverflowError: it cannot be encoded.
    """
    body = bson.encode(document)
    if len(body) > LARGEST_DOCUMENT:
        raise TooLarge(f"its record has {len(body)} bytes, the database takes {LARGEST_DOCUMENT}")
    return RawBSONDocument(body)


def _late(result: StoredResult) -> UpdateOne:
    """The task is no longer in memory: recorded; what it says of its giver is yet to be counted."""
    unrecorded = {"assignment_id": result.assignment_id, "outcome": None}
    said = {"late": True, "outcome": result.outcome.value, "uncounted": True}
    return UpdateOne(
        {"_id": result.task_id, "assignments": {"$elemMatch": unrecorded}},
        {"$set": {f"assignments.$.{name}": value for name, value in said.items()}},
    )
