"""What the leading seeker writes down before it acts, and its right to lead.

Every write is idempotent, as it says what is and not what changed, and is acknowledged by a
majority of the database's members before anything that follows from it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Sequence

from pymongo import DeleteOne, ReplaceOne, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import BulkWriteError, DuplicateKeyError

from schemas.states import TaskState
from seeker import documents
from seeker.changes import Changes
from seeker.database import Database
from seeker.documents import Document
from seeker.fleet import Former
from seeker.model import Giver, Job, Now

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
        caller to find in the tasks.
        """
        async with self._translated():
            givers: dict[str, Giver] = {}
            former: dict[str, Former] = {}
            async for document in self._givers.find():
                if document["member"]:
                    givers[document["_id"]] = documents.giver_from(document, now)
                else:
                    former[document["_id"]] = documents.former_from(document)
            unfinished = [state.value for state in TaskState if not state.final]
            found = self._jobs.find({"state": {"$in": unfinished}})
            jobs = [documents.job_from(document) async for document in found]
            for start in range(0, len(jobs), JOBS_READ_AT_ONCE):
                await self._load_tasks(jobs[start : start + JOBS_READ_AT_ONCE])
        return jobs, list(givers.values()), former

    async def _load_tasks(self, jobs: Sequence[Job]) -> None:
        by_id = {job.id: job for job in jobs}
        final = {state.value: state for state in TaskState if state.final}
        async for document in self._tasks.find(
            {"job_id": {"$in": list(by_id)}, "state": {"$in": list(final)}},
            {"_id": 0, "job_id": 1, "state": 1, "index": 1},
        ).batch_size(TASKS_READ_AT_ONCE):
            job = by_id[document["job_id"]]
            job.started(document["index"])
            job.counts[TaskState.PENDING] -= 1
            job.counts[final[document["state"]]] += 1
        unfinished = [state.value for state in TaskState if not state.final]
        async for document in self._tasks.find(
            {"job_id": {"$in": list(by_id)}, "state": {"$in": unfinished}}
        ):
            job = by_id[document["job_id"]]
            task = documents.task_from(document, job)
            job.tasks[task.index] = task
            job.started(task.index)
            job.counts[TaskState.PENDING] -= 1
            job.counts[task.state] += 1

    async def commit(self, changes: Changes, now: Now) -> None:
        """Write down all of a turn. Repeating it has no further effect."""
        jobs = {**changes.new_jobs, **changes.jobs}.values()
        async with self._translated():
            # Side by side, so that one flush of the database serves them all.
            await _all(
                self._commit_tasks(changes),
                self._commit_jobs([job for job in jobs if not job.state.final], changes),
                self._commit_givers(changes, now),
            )
            # A job that has ended is not looked at again: first its tasks, then the job.
            await self._commit_jobs([job for job in jobs if job.state.final], changes)

    async def _commit_tasks(self, changes: Changes) -> None:
        fresh = [documents.task(changes.tasks[task_id]) for task_id in changes.new_tasks]
        known = [
            documents.task(task)
            for task_id, task in changes.tasks.items()
            if task_id not in changes.new_tasks
        ]
        await _all(_insert(self._tasks, fresh), _replace(self._tasks, known))
        if changes.late_results:
            await self._tasks.bulk_write(
                [
                    UpdateOne(
                        {
                            "_id": late.task_id,
                            "assignments": {
                                "$elemMatch": {
                                    "assignment_id": late.assignment_id,
                                    "outcome": None,
                                }
                            },
                        },
                        {
                            "$set": {
                                "assignments.$.late": True,
                                "assignments.$.outcome": late.outcome.value,
                            }
                        },
                    )
                    for late in changes.late_results
                ],
                ordered=False,
            )

    async def _commit_jobs(self, jobs: Sequence[Job], changes: Changes) -> None:
        fresh = [
            {"_id": job.id, **documents.new_job(job), **documents.job_progress(job)}
            for job in jobs
            if job.id in changes.new_jobs
        ]
        known = [
            UpdateOne({"_id": job.id}, {"$set": documents.job_progress(job)})
            for job in jobs
            if job.id not in changes.new_jobs
        ]
        await _insert(self._jobs, fresh)
        if known:
            await self._jobs.bulk_write(known, ordered=False)

    async def _commit_givers(self, changes: Changes, now: Now) -> None:
        writes: list[UpdateOne | DeleteOne] = [
            DeleteOne({"_id": giver_id}) for giver_id in changes.forgotten
        ]
        for giver in changes.purged.values():
            gone = {**documents.giver(giver), "member": False, "purged_at": now.wall}
            writes.append(UpdateOne({"_id": giver.id}, {"$set": gone}, upsert=True))
        for giver_id, former in changes.former.items():
            writes.append(UpdateOne({"_id": giver_id}, {"$set": documents.former(former)}))
        writes += [
            UpdateOne({"_id": giver.id}, {"$set": documents.giver(giver)}, upsert=True)
            for giver in changes.givers.values()
        ]
        if writes:
            # In order: one that was forgotten, or purged, may have come back in the same turn.
            await self._givers.bulk_write(writes, ordered=bool(changes.forgotten or changes.purged))

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


async def _insert(collection: AsyncCollection[Document], fresh: Sequence[Document]) -> None:
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
        await _replace(collection, [fresh[each["index"]] for each in failed])


async def _replace(collection: AsyncCollection[Document], known: Sequence[Document]) -> None:
    if known:
        await collection.bulk_write(
            [ReplaceOne({"_id": each["_id"]}, each, upsert=True) for each in known], ordered=False
        )


async def _all(*writes: Awaitable[None]) -> None:
    """Side by side; none still runs when this ends, even with an error."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if outcome is not None:
            raise outcome
