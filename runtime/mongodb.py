"""A service's MongoDB: the client as it is set up, and the one boundary at which pymongo's errors
become the service's own."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import Any, ClassVar

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

from runtime.settings import SettingsError
from runtime.urls import redact

MAJORITY = WriteConcern(w="majority", j=True)

RETRIABLE = (AutoReconnect, NetworkTimeout, ServerSelectionTimeoutError, WriteConcernError)

CHANGING_PRIMARY = {91, 189, 10107, 11600, 11602, 13435}
"""Shutting down, interrupted by that, stepping down, or no primary (any more)."""


class MongoDatabase:
    """One connection pool; `close` ends it. Connects by itself, whenever the database is there.

    Writes are acknowledged by a majority, in their journals.
    """

    SETTING: ClassVar[str]
    """Names the variable that holds the URL, for messages."""
    UNREACHABLE: ClassVar[type[Exception]]
    """Raised when the database does not answer now; it may later."""
    REFUSED: ClassVar[type[Exception]]
    """Raised when it answers that it will not. Each with a message that names the database."""

    def __init__(
        self, url: str, database: str, *, timeout_s: float, read_concern: str, **options: Any
    ) -> None:
        """
        Args:
            timeout_s: seconds until an unanswered operation fails.
            options: of the client, on top.

        Raises:
            SettingsError: the URL is none of a MongoDB.
        """
        self._url = redact(url)
        try:
            self._client: AsyncMongoClient[dict[str, Any]] = AsyncMongoClient(
                url,
                serverSelectionTimeoutMS=int(timeout_s * 1000),
                timeoutMS=int(timeout_s * 1000),
                **options,
            )
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise SettingsError(
                f"{self.SETTING} {self._url!r} does not fit ({error}): "
                "give it as mongodb://user:password@host:27017/?replicaSet=NAME"
            ) from error
        codec: CodecOptions[dict[str, Any]] = CodecOptions(tz_aware=True, tzinfo=UTC)
        self._database = self._client.get_database(
            database,
            codec_options=codec,
            write_concern=MAJORITY,
            read_concern=ReadConcern(read_concern),
        )

    async def close(self) -> None:
        await self._client.close()

    def _translated(self) -> _Translated:
        """`async with self._translated():` around every use, so that pymongo's errors end here."""
        return _Translated(self)

    def _translate(self, error: PyMongoError) -> Exception:
        if isinstance(error, RETRIABLE) or error.timeout:
            return self.UNREACHABLE(
                f"MongoDB at {self._url} does not answer ({_brief(error)}): "
                f"see that it runs, or mend {self.SETTING}"
            )
        if isinstance(error, BulkWriteError) and _will_pass(error.details or {}):
            return self.UNREACHABLE(f"MongoDB at {self._url} is changing its primary")
        return self.REFUSED(f"MongoDB at {self._url} refused: {_brief(error)}")


class _Translated:
    def __init__(self, database: MongoDatabase) -> None:
        self._database = database

    async def __aenter__(self) -> None:
        return None

    async def __aexit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, PyMongoError):
            raise self._database._translate(error) from error


def _will_pass(details: Mapping[str, Any]) -> bool:
    codes = {each["code"] for each in details.get("writeErrors", ())}
    return bool(details.get("writeConcernErrors")) or codes <= CHANGING_PRIMARY


def _brief(error: PyMongoError) -> str:
    """Without what the driver says of its inner state."""
    return str(error).split(", Timeout:")[0].split(" (configured")[0][:300]
