"""The seeker's database: what the leader writes down before it acts, and what the CLI reads.

Every write is idempotent, as it says what is and not what changed, and is acknowledged by a
majority of the database's members before anything that follows from it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Sequence
from datetime import UTC
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, ReplaceOne, UpdateOne
from pymongo.asynchronous.collection import AsyncCollection
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    DuplicateKeyError,
    InvalidURI,
    NetworkTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from runtime.command_line import redact
from schemas import identifiers
from schemas.states import TaskState
from seeker import documents
from seeker.changes import Changes
from seeker.documents import Document
from seeker.model import Giver, Job, Now, Standing

MAJORITY = WriteConcern(w="majority", j=True)

TASKS_READ_AT_ONCE = 10_000

DUPLICATE_KEY = 11000
CHANGING_PRIMARY = {91, 189, 10107, 11600, 11602, 13435}
"""Shutting down, interrupted by that, stepping down, or no primary (any more)."""


class StoreError(RuntimeError):
    """The database refused for good; the message says what and why."""


class StoreUnreachable(StoreError):
    """The database does not answer now; the message names it (without password) and the remedy."""


class Store:
    """One connection pool; `close` ends it."""

    def __init__(self, url: str, database: str, timeout_s: float = 5.0) -> None:
        """
        Args:
            timeout_s: seconds until an unanswered operation fails.

        Raises:
            StoreError: the URL is malformed.
        """
        self._url = redact(url)
        try:
            self._client: AsyncMongoClient[Document] = AsyncMongoClient(
                url,
                tz_aware=True,
                serverSelectionTimeoutMS=int(timeout_s * 1000),
                timeoutMS=int(timeout_s * 1000),
                # Whoever writes here tries again himself; the driver's way of doing so costs the
                # database one more write for each.
                retryWrites=False,
                appname="seeker",
            )
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise StoreError(
                f"{self._url} is no MongoDB URL ({error}): mend SEEKER_MONGODB_URL"
            ) from error
        options: CodecOptions[Document] = CodecOptions(tz_aware=True, tzinfo=UTC)
        self._database = self._client.get_database(
            database,
            codec_options=options,
            write_concern=MAJORITY,
            read_concern=ReadConcern("local"),
        )
        self._jobs = self._database["jobs"]
        self._tasks = self._database["tasks"]
        self._givers = self._database["givers"]
        self._leases = self._database["leases"]

    async def close(self) -> None:
        await self._client.close()

    # -- The leader's side -----------------------------------------------------------------------

    async def prepare(self) -> None:
        """Make the indexes, where they are missing."""
        async with _translated(self._url):
            await self._tasks.create_index([("job_id", 1), ("index", 1)])
            await self._tasks.create_index([("job_id", 1), ("state", 1)])
            await self._jobs.create_index([("state", 1)])

    async def known_jobs(self, job_ids: Collection[str]) -> set[str]:
        async with _translated(self._url):
            found = self._jobs.find({"_id": {"$in": list(job_ids)}}, {"_id": 1})
            return {document["_id"] async for document in found}

    async def load(self, monotonic: float) -> tuple[list[Job], list[Giver], dict[str, Standing]]:
        """Unfinished jobs with their unfinished tasks, members, and standings of former members.

        Live assignments hang on their givers; those of a giver that is no member are left to the
        caller to find in the tasks.
        """
        async with _translated(self._url):
            givers: dict[str, Giver] = {}
            former: dict[str, Standing] = {}
            async for document in self._givers.find():
                if document["member"]:
                    givers[document["_id"]] = documents.giver_from(document, monotonic)
                else:
                    former[document["_id"]] = documents.standing_from(document)
            jobs = []
            unfinished = {"$in": [TaskState.PENDING.value, TaskState.ACTIVE.value]}
            async for document in self._jobs.find({"state": unfinished}):
                job = documents.job_from(document)
                await self._load_tasks(job)
                jobs.append(job)
        return jobs, list(givers.values()), former

    async def _load_tasks(self, job: Job) -> None:
        final = [state.value for state in TaskState if state.final]
        async for document in self._tasks.find(
            {"job_id": job.id, "state": {"$in": final}}, {"index": 1, "state": 1}
        ).batch_size(TASKS_READ_AT_ONCE):
            job.started(document["index"])
            job.counts[TaskState.PENDING] -= 1
            job.counts[TaskState(document["state"])] += 1
        async for document in self._tasks.find({"job_id": job.id, "state": {"$nin": final}}):
            task = documents.task_from(document, job)
            job.tasks[task.index] = task
            job.started(task.index)
            job.counts[TaskState.PENDING] -= 1
            job.counts[task.state] += 1

    async def commit(self, changes: Changes, now: Now) -> None:
        """Write down all of a turn. Repeating it has no further effect."""
        jobs = {**changes.new_jobs, **changes.jobs}.values()
        async with _translated(self._url):
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
        writes = [
            UpdateOne({"_id": giver.id}, {"$set": documents.giver(giver)}, upsert=True)
            for giver in changes.givers.values()
        ]
        writes += [
            UpdateOne(
                {"_id": giver.id},
                {"$set": {**documents.giver(giver), "member": False, "purged_at": now.wall}},
                upsert=True,
            )
            for giver in changes.purged.values()
        ]
        if writes:
            await self._givers.bulk_write(writes, ordered=False)

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
        async with _translated(self._url):
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
        async with _translated(self._url):
            await self._leases.update_one(
                {"_id": "leader", "holder": holder}, [{"$set": {"expires_at": "$$NOW"}}]
            )

    # -- The CLI's side ---------------------------------------------------------------------------

    async def job(self, job_id: str) -> Document | None:
        async with _translated(self._url):
            return await self._jobs.find_one({"_id": job_id})

    async def jobs(self, limit: int) -> list[Document]:
        """The newest first."""
        async with _translated(self._url):
            return await self._jobs.find().sort("_id", -1).limit(limit).to_list()

    async def task(self, task_id: str) -> Document | None:
        """As written, or as its job implies when it was not started yet; `None` if unknown."""
        async with _translated(self._url):
            document = await self._tasks.find_one({"_id": task_id})
            if document is not None:
                return document
            job = await self._jobs.find_one({"_id": identifiers.job_of(task_id)})
        if job is None:
            return None
        spec = documents.job_from(job).spec
        index = identifiers.index_of(task_id)
        if not spec.first_index <= index < spec.first_index + spec.count:
            return None
        cancelled = job["cancel_requested"]
        state = TaskState.CANCELLED if cancelled else TaskState.PENDING
        return {
            "_id": task_id,
            "job_id": job["_id"],
            "index": index,
            "state": state.value,
            "chosen": None,
            "reason": "cancelled" if cancelled else job["waiting_reason"],
            "disputed": False,
            "assignments": [],
            "votes": [],
        }

    async def givers(self, *, former: bool = False) -> list[Document]:
        """Members, and with `former` the tombstones too."""
        wanted: dict[str, Any] = {} if former else {"member": True}
        async with _translated(self._url):
            return await self._givers.find(wanted).sort("_id", 1).to_list()


class _translated:  # noqa: N801  (reads as a verb: `async with _translated(url)`)
    """Turns pymongo's errors into ours, at this one boundary."""

    RETRIABLE = (AutoReconnect, NetworkTimeout, ServerSelectionTimeoutError, WriteConcernError)

    def __init__(self, url: str) -> None:
        self._url = url

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if not isinstance(error, PyMongoError):
            return
        if isinstance(error, self.RETRIABLE) or error.timeout:
            raise StoreUnreachable(
                f"MongoDB at {self._url} does not answer ({_brief(error)}): "
                "see that it runs, or mend SEEKER_MONGODB_URL"
            ) from error
        if isinstance(error, BulkWriteError) and _will_pass(error):
            raise StoreUnreachable(f"MongoDB at {self._url} is changing its primary") from error
        raise StoreError(f"MongoDB at {self._url} refused: {_brief(error)}") from error


def _will_pass(error: BulkWriteError) -> bool:
    details = error.details or {}
    codes = {each["code"] for each in details.get("writeErrors", ())}
    return bool(details.get("writeConcernErrors")) or codes <= CHANGING_PRIMARY


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


def _brief(error: PyMongoError) -> str:
    return str(error).split(", Timeout:")[0].split(" (configured")[0][:300]
