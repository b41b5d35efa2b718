"""The connection to the seeker's database, and the one place where pymongo's errors become ours."""

from __future__ import annotations

from collections.abc import Collection
from datetime import UTC

from bson.codec_options import CodecOptions
from pymongo import AsyncMongoClient
from pymongo.errors import (
    AutoReconnect,
    BulkWriteError,
    ConfigurationError,
    InvalidURI,
    NetworkTimeout,
    PyMongoError,
    ServerSelectionTimeoutError,
    WriteConcernError,
)
from pymongo.read_concern import ReadConcern
from pymongo.write_concern import WriteConcern

from runtime.urls import redact
from schemas.states import TaskState
from seeker.documents import Document

MAJORITY = WriteConcern(w="majority", j=True)

CHANGING_PRIMARY = {91, 189, 10107, 11600, 11602, 13435}
"""Shutting down, interrupted by that, stepping down, or no primary (any more)."""


class StoreError(RuntimeError):
    """The database refused for good; the message says what and why."""


class StoreUnreachable(StoreError):
    """The database does not answer now; the message names it (without password) and the remedy."""


class Database:
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

    async def job_states(self, job_ids: Collection[str]) -> dict[str, TaskState]:
        """Of those among them that are known."""
        async with self._translated():
            found = self._jobs.find({"_id": {"$in": list(job_ids)}}, {"state": 1})
            return {document["_id"]: TaskState(document["state"]) async for document in found}

    def _translated(self) -> _Translated:
        """`async with self._translated():` around every use, so that pymongo's errors end here."""
        return _Translated(self._url)


class _Translated:
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


def _brief(error: PyMongoError) -> str:
    return str(error).split(", Timeout:")[0].split(" (configured")[0][:300]
