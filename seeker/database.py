"""The seeker's database, as the leader and the command line both know it."""

from __future__ import annotations

from collections.abc import Collection

from runtime.mongodb import MongoDatabase
from schemas.states import TaskState


class StoreError(RuntimeError):
    """The database refused for good; the message says what and why."""


class StoreUnreachable(StoreError):
    """The database does not answer now; the message names it (without password) and the remedy."""


class Database(MongoDatabase):
    SETTING = "SEEKER_MONGODB_URL"
    UNREACHABLE = StoreUnreachable
    REFUSED = StoreError

    def __init__(self, url: str, database: str, timeout_s: float = 5.0) -> None:
        """
        Args:
            timeout_s: seconds until an unanswered operation fails.

        Raises:
            SettingsError: the URL is malformed.
        """
        super().__init__(
            url,
            database,
            timeout_s=timeout_s,
            read_concern="local",
            # Whoever writes here tries again himself; the driver's way of doing so costs the
            # database one more write for each.
            retryWrites=False,
            appname="seeker",
        )
        self._jobs = self._database["jobs"]
        self._tasks = self._database["tasks"]
        self._givers = self._database["givers"]
        self._leases = self._database["leases"]

    async def job_states(self, job_ids: Collection[str]) -> dict[str, TaskState]:
        """Of those among them that are known."""
        async with self._translated():
            found = self._jobs.find({"_id": {"$in": list(job_ids)}}, {"state": 1})
            return {document["_id"]: TaskState(document["state"]) async for document in found}
