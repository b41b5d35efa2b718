"""What the command line reads of the seeker's database. Nothing here writes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from schemas import identifiers
from schemas.job import JobSpec, Resources
from schemas.states import AssignmentState, TaskState
from seeker import documents
from seeker.database import Database
from seeker.documents import Document

TASKS_READ_AT_ONCE = 10_000


class Lease(NamedTuple):
    """The right to lead."""

    valid: bool
    """Somebody has it."""
    ends_at: datetime | None
    """Ended, if nobody has it; `None`: nobody ever had."""


class Catalogue(Database):
    """Jobs, tasks and givers as the leader last wrote them down."""

    async def job(self, job_id: str) -> Document | None:
        async with self._translated():
            return await self._jobs.find_one({"_id": job_id})

    async def jobs(self, limit: int) -> list[Document]:
        """The newest first."""
        async with self._translated():
            return await self._jobs.find().sort("_id", -1).limit(limit).to_list()

    async def task(self, task_id: str) -> Document | None:
        """As written, or as its job implies when it was not started yet; `None` if unknown."""
        async with self._translated():
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

    async def progress(self, job_id: str, limit: int = 20) -> list[Document]:
        """Of tasks at work that say how far they are: `task_id`, `fraction` and `note`."""
        wanted = {
            "job_id": job_id,
            "state": TaskState.ACTIVE.value,
            "assignments.progress": {"$type": "object"},
        }
        async with self._translated():
            tasks = await self._tasks.find(wanted).sort("_id", 1).limit(limit).to_list()
        return [
            {"task_id": task["_id"], **furthest}
            for task in tasks
            if (furthest := _furthest(task["assignments"])) is not None
        ]

    async def failed_indices(self, job: Document) -> list[int]:
        """Of the job's failed tasks, those that were never started included, in order."""
        failed = TaskState.FAILED.value
        withdrawn = job["withdrawn"]
        async with self._translated():
            found = self._tasks.find({"job_id": job["_id"]}, {"index": 1, "state": 1})
            states = {t["index"]: t["state"] async for t in found.batch_size(TASKS_READ_AT_ONCE)}
        spec = documents.job_from(job).spec
        unstarted = withdrawn["state"] if withdrawn else TaskState.PENDING.value
        indices = range(spec.first_index, spec.first_index + spec.count)
        return [index for index in indices if states.get(index, unstarted) == failed]

    async def chosen(self, job: Document) -> dict[str, str | None]:
        """Of each of the job's tasks the result that is believed, as far as there is one."""
        async with self._translated():
            found = self._tasks.find({"job_id": job["_id"]}, {"chosen": 1})
            known = {t["_id"]: t["chosen"] async for t in found.batch_size(TASKS_READ_AT_ONCE)}
        spec = documents.job_from(job).spec
        indices = range(spec.first_index, spec.first_index + spec.count)
        ids = [identifiers.task_id(job["_id"], index) for index in indices]
        return {task_id: known.get(task_id) for task_id in ids}

    async def givers(self, *, former: bool = False) -> list[Document]:
        """Members, and with `former` the tombstones too."""
        wanted: dict[str, Any] = {} if former else {"member": True}
        async with self._translated():
            return await self._givers.find(wanted).sort("_id", 1).to_list()

    async def giver(self, giver_id: str) -> Document | None:
        """A member, or a former one's tombstone."""
        async with self._translated():
            return await self._givers.find_one({"_id": giver_id})

    async def live_assignments(self) -> list[tuple[str, Resources, int]]:
        """Giver, what each of its assignments of a job takes, and how many of these are live."""
        live = [state.value for state in AssignmentState if not state.final]
        active = TaskState.ACTIVE.value
        async with self._translated():
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

    async def lease(self) -> Lease:
        """Whether some seeker leads now, by the database's clock."""
        valid = {"$gt": ["$expires_at", "$$NOW"]}
        async with self._translated():
            found = await self._leases.find_one(
                {"_id": "leader"}, {"expires_at": 1, "valid": valid}
            )
        return Lease(found["valid"], found["expires_at"]) if found else Lease(False, None)


def _furthest(assignments: list[Document]) -> Document | None:
    running = AssignmentState.RUNNING.value
    said = [a["progress"] for a in assignments if a["state"] == running and a.get("progress")]
    return max(said, key=lambda progress: progress["fraction"], default=None)
