"""The seeker's database: what the leader writes down before it acts, and what the CLI reads.

Every write is idempotent, as it says what is and not what changed, and is acknowledged by a
majority of the database's members before anything that follows from it is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Collection, Iterable, Sequence
from datetime import UTC
from typing import Any

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient, DeleteOne, ReplaceOne, UpdateOne
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
from schemas.job import JobSpec, Resources
from schemas.states import AssignmentState, TaskState
from seeker import documents
from seeker.changes import Changes
from seeker.documents import Document
from seeker.fleet import Former
from seeker.model import Giver, Job, Now

MAJORITY = WriteConcern(w="majority", j=True)

TASKS_READ_AT_ONCE = 10_000
JOBS_READ_AT_ONCE = 1_000
"""Whose tasks one query asks for."""

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
            # With the index in it, a start reads of tasks that have ended nothing else.
            await self._tasks.create_index([("job_id", 1), ("state", 1), ("index", 1)])
            await self._jobs.create_index([("state", 1)])

    async def job_states(self, job_ids: Collection[str]) -> dict[str, TaskState]:
        """Of those among them that are known."""
        async with _translated(self._url):
            found = self._jobs.find({"_id": {"$in": list(job_ids)}}, {"state": 1})
            return {document["_id"]: TaskState(document["state"]) async for document in found}

    async def load(self, now: Now) -> tuple[list[Job], list[Giver], dict[str, Former]]:
        """Unfinished jobs with their unfinished tasks, members, and what is kept of former ones.

        Live assignments hang on their givers; those of a giver that is no member are left to the
        caller to find in the tasks.
        """
        async with _translated(self._url):
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
        await _all(self._insert_tasks(fresh), self._replace_tasks(known))
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

    async def _insert_tasks(self, tasks: Sequence[Document]) -> None:
        """An insert costs the database a fraction of an upsert. What is there already is left from
        a commit that broke off, and replaced."""
        if not tasks:
            return
        try:
            await self._tasks.insert_many(tasks, ordered=False)
        except BulkWriteError as error:
            details = error.details or {}
            failed = details["writeErrors"]
            if details.get("writeConcernErrors") or any(e["code"] != DUPLICATE_KEY for e in failed):
                raise
            await self._replace_tasks([tasks[each["index"]] for each in failed])

    async def _replace_tasks(self, tasks: Sequence[Document]) -> None:
        if tasks:
            await self._tasks.bulk_write(
                [ReplaceOne({"_id": task["_id"]}, task, upsert=True) for task in tasks],
                ordered=False,
            )

    async def _commit_jobs(self, jobs: Iterable[Job], changes: Changes) -> None:
        writes = []
        for job in jobs:
            update: Document = {"$set": documents.job_progress(job)}
            if job.id in changes.new_jobs:
                update["$setOnInsert"] = documents.new_job(job)
            writes.append(UpdateOne({"_id": job.id}, update, upsert=job.id in changes.new_jobs))
        if writes:
            await self._jobs.bulk_write(writes, ordered=False)

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
        withdrawn = job["withdrawn"]
        return {
            "_id": task_id,
            "job_id": job["_id"],
            "index": index,
            "state": withdrawn["state"] if withdrawn else TaskState.PENDING.value,
            "chosen": None,
            "reason": withdrawn["reason"] if withdrawn else job["waiting_reason"],
            "disputed": False,
            "withdrawn": withdrawn,
            "rounds": 1,
            "round_began": 0,
            "assignments": [],
            "votes": [],
            "earlier_votes": [],
        }

    async def failed_indices(self, job: Document) -> list[int]:
        """Of the job's failed tasks, those that were never started included, in order."""
        failed = TaskState.FAILED.value
        withdrawn = job["withdrawn"]
        async with _translated(self._url):
            found = self._tasks.find({"job_id": job["_id"]}, {"index": 1, "state": 1})
            states = {t["index"]: t["state"] async for t in found.batch_size(TASKS_READ_AT_ONCE)}
        spec = documents.job_from(job).spec
        unstarted = withdrawn["state"] if withdrawn else TaskState.PENDING.value
        indices = range(spec.first_index, spec.first_index + spec.count)
        return [index for index in indices if states.get(index, unstarted) == failed]

    async def givers(self, *, former: bool = False) -> list[Document]:
        """Members, and with `former` the tombstones too."""
        wanted: dict[str, Any] = {} if former else {"member": True}
        async with _translated(self._url):
            return await self._givers.find(wanted).sort("_id", 1).to_list()

    async def giver(self, giver_id: str) -> Document | None:
        """A member, or a former one's tombstone."""
        async with _translated(self._url):
            return await self._givers.find_one({"_id": giver_id})

    async def live_assignments(self) -> list[tuple[str, Resources, int]]:
        """Giver, what each of its assignments of a job takes, and how many of these are live."""
        live = [state.value for state in AssignmentState if not state.final]
        active = TaskState.ACTIVE.value
        async with _translated(self._url):
            jobs = self._jobs.find({"state": active}, {"spec": 1})
            needs = {
                job["_id"]: JobSpec.model_validate_json(job["spec"]).container.resources
                async for job in jobs
            }
            stages: list[Document] = [
                {"$match": {"job_id": {"$in": list(needs)}, "state": active}},
                {"$unwind": "$assignments"},
                {"$match": {"assignments.state": {"$in": live}}},
                {"$group": {"_id": ["$job_id", "$assignments.giver_id"], "count": {"$sum": 1}}},
            ]
            return [
                (found["_id"][1], needs[found["_id"][0]], found["count"])
                async for found in await self._tasks.aggregate(stages)
            ]

    async def led(self) -> bool:
        """Whether some seeker leads now."""
        valid = {"_id": "leader", "$expr": {"$gt": ["$expires_at", "$$NOW"]}}
        async with _translated(self._url):
            return await self._leases.find_one(valid) is not None


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


async def _all(*writes: Awaitable[None]) -> None:
    """Side by side; none still runs when this ends, even with an error."""
    for outcome in await asyncio.gather(*writes, return_exceptions=True):
        if outcome is not None:
            raise outcome


def _brief(error: PyMongoError) -> str:
    return str(error).split(", Timeout:")[0].split(" (configured")[0][:300]
