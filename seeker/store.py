"""What the leading seeker writes down before it acts, and its right to lead.

Every write is idempotent, as it says what is and not what changed, and is acknowledged by a
majority of the database's members before anything that follows from it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Concatenate, ParamSpec, TypeVar

import structlog
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from schemas.job import JobSpec
from schemas.result import StoredResult
from schemas.states import TaskState
from seeker import documents
from seeker.database import Database
from seeker.documents import Document
from seeker.fleet import Former
from seeker.model import Giver, Job, Now, Task
from seeker.writes import UNFINISHED, Write, Writes

P = ParamSpec("P")
T = TypeVar("T")

log = structlog.get_logger(__name__)

TASKS_READ_AT_ONCE = 10_000
JOBS_READ_AT_ONCE = 1_000
"""Whose tasks one query asks for."""

DUPLICATE_KEY = 11000


class Store(Database):
    """The leader's side of the database."""

    async def prepare(self) -> None:
        """Make the indexes, where they are missing."""
        async with self._translated():
            await self._tasks.create_index([("job_id", 1), ("index", 1)])
            # With the index in it, a start reads of tasks that have ended nothing else.
            await self._tasks.create_index([("job_id", 1), ("state", 1), ("index", 1)])
            await self._jobs.create_index([("state", 1)])

    async def load(self, now: Now) -> tuple[list[Job], list[Giver], dict[str, Former]]:
        """Unfinished jobs with their unfinished tasks, members, and what is kept of former ones.

        Live assignments hang on their givers; those of a giver that is no member are left to the
        caller to find in the tasks. What cannot be read is left as it is, with a word in the log.
        """
        async with self._translated():
            givers: dict[str, Giver] = {}
            former: dict[str, Former] = {}
            async for document in self._givers.find():
                if document["member"]:
                    giver = _read(documents.giver_from, document, now)
                    if giver is not None:
                        givers[giver.id] = giver
                else:
                    gone = _read(documents.former_from, document)
                    if gone is not None:
                        former[document["_id"]] = gone
            jobs: dict[str, Job] = {}
            async for document in self._jobs.find({"state": {"$in": UNFINISHED}}):
                job = _read(documents.job_from, document)
                if job is not None:
                    jobs[job.id] = job
            ids = list(jobs)
            for start in range(0, len(ids), JOBS_READ_AT_ONCE):
                await self._load_tasks(jobs, ids[start : start + JOBS_READ_AT_ONCE])
        return list(jobs.values()), list(givers.values()), former

    async def _load_tasks(self, jobs: dict[str, Job], ids: Sequence[str]) -> None:
        """Those of the jobs in `ids`; a job of which one cannot be read leaves `jobs`."""
        final = {state.value: state for state in TaskState if state.final}
        async for document in self._tasks.find(
            {"job_id": {"$in": ids}, "state": {"$in": list(final)}},
            {"_id": 0, "job_id": 1, "state": 1, "index": 1},
        ).batch_size(TASKS_READ_AT_ONCE):
            job = jobs[document["job_id"]]
            job.started(document["index"])
            job.counts[TaskState.PENDING] -= 1
            job.counts[final[document["state"]]] += 1
        unreadable = set()
        async for document in self._tasks.find(
            {"job_id": {"$in": ids}, "state": {"$in": UNFINISHED}}
        ):
            job = jobs[document["job_id"]]
            task = _read(documents.task_from, document, job)
            if task is None:
                unreadable.add(job.id)
                continue
            job.tasks[task.index] = task
            job.started(task.index)
            job.counts[TaskState.PENDING] -= 1
            job.counts[task.state] += 1
        for job_id in unreadable:
            del jobs[job_id]

    async def specs(self, job_ids: Sequence[str]) -> dict[str, JobSpec]:
        """Of those among the jobs that are known, ended or not."""
        async with self._translated():
            found = self._jobs.find({"_id": {"$in": list(job_ids)}})
            jobs = [_read(documents.job_from, document) async for document in found]
        return {job.id: job.spec for job in jobs if job is not None}

    async def late_vote(self, result: StoredResult) -> Task | None:
        """The ended task that a result came too late for, as recorded; but to one call alone, so
        that what it says of its giver counts once. `None` also if that giver did not try it."""
        uncounted = {
            "assignment_id": result.assignment_id,
            "giver_id": result.giver_id,
            "uncounted": True,
        }
        async with self._translated():
            task = await self._tasks.find_one_and_update(
                {"_id": result.task_id, "assignments": {"$elemMatch": uncounted}},
                {"$unset": {"assignments.$.uncounted": True}},
            )
            job = None if task is None else await self._jobs.find_one({"_id": task["job_id"]})
        known = None if job is None else _read(documents.job_from, job)
        if task is None or known is None:
            return None
        return _read(documents.task_from, task, known)

    async def commit(self, writes: Writes) -> None:
        """Write down all of a turn. Repeating it has no further effect."""
        async with self._translated():
            # Side by side, so that one flush of the database serves them all.
            await _all(
                _insert(self._tasks, writes.new_tasks),
                _apply(self._tasks, writes.tasks),
                _insert(self._jobs, writes.new_jobs),
                _apply(self._jobs, writes.jobs),
                _apply(self._givers, writes.givers, ordered=writes.in_order),
            )
            await _apply(self._jobs, writes.ended)

    # -- Leadership -------------------------------------------------------------------------------

    async def take_lease(self, holder: str, lease_s: float) -> str | None:
        """Take or renew the right to lead, by the database's clock.

        Returns:
            `None` when `holder` has it, else who does.
        """
        expires = {"$add": ["$$NOW", int(lease_s * 1000)]}
        free = {"$or": [{"$eq": ["$holder", holder]}, {"$lte": ["$expires_at", "$$NOW"]}]}
        # A missing document compares as expired, because null sorts before every date.
        update = [
            {
                "$set": {
                    "holder": {"$cond": [free, holder, "$holder"]},
                    "expires_at": {"$cond": [free, expires, "$expires_at"]},
                }
            }
        ]
        async with self._translated():
            try:
                document = await self._leases.find_one_and_update(
                    {"_id": "leader"}, update, upsert=True, return_document=True
                )
            except DuplicateKeyError:  # Two seekers made the first lease at the same moment.
                return "another seeker"
        leader = str((document or {}).get("holder"))
        return None if leader == holder else leader

    async def give_up_lease(self, holder: str) -> None:
        """Let the next one lead at once."""
        async with self._translated():
            await self._leases.update_one(
                {"_id": "leader", "holder": holder}, [{"$set": {"expires_at": "$$NOW"}}]
            )


def _read(
    parse: Callable[Concatenate[Document, P], T],
    document: Document,
    *args: P.args,
    **kwargs: P.kwargs,
) -> T | None:
    """One record that another version wrote, or that is damaged, must not stop everybody's work."""
    try:
        return parse(document, *args, **kwargs)
    except Exception:
        log.exception("record_unreadable", record=document["_id"])
        return None


async def _insert(collection: AsyncCollection[Document], fresh: Sequence[RawBSONDocument]) -> None:
    """Costs the database a fraction of an upsert. What is there already is left from a commit that
    broke off, and replaced."""
    if not fresh:
        return
    try:
        await collection.insert_many(fresh, ordered=False)
    except BulkWriteError as error:
        details = error.details or {}
        failed = details["writeErrors"]
        if details.get("writeConcernErrors") or any(e["code"] != DUPLICATE_KEY for e in failed):
            raise
        again = [fresh[each["index"]] for each in failed]
        await _apply(collection, [ReplaceOne({"_id": each["_id"]}, each) for each in again])


async def _apply(
    collection: AsyncCollection[Document], writes: Sequence[Write], *, ordered: bool = False
) -> None:
    if writes:
        await collection.bulk_write(writes, ordered=ordered)


async def _all(*writes: Awaitable[None]) -> None:
    """Side by side; none still runs when this ends, even with an error."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if outcome is not None:
            raise outcome
