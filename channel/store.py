"""The channel's database.

Collections: `results`, one document for each result under its id, so that the first stays however
often it is delivered; `givers`, one registration for each giver under its id.

StoreUnavailable   retriable: nothing is known of what was asked
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from typing import Literal, NamedTuple

import bson
import structlog
from bson.errors import BSONError
from bson.raw_bson import RawBSONDocument
from pymongo import ASCENDING, DESCENDING, IndexModel, UpdateOne, timeout
from pymongo.errors import BulkWriteError

from channel import documents
from channel.documents import Document, KeptResult, Registration
from runtime.mongodb import MongoDatabase
from schemas.result import StoredResult

log = structlog.get_logger(__name__)

PING_TIMEOUT_S = 2.0
READ_TIMEOUT_S = 5.0
WRITE_TIMEOUT_S = 20.0

DUPLICATE_KEY = 11000
REFUSED_FOR_GOOD = {
    2: "BadValue",
    22: "InvalidBSON",
    121: "DocumentValidationFailure",
    10334: "BSONObjectTooLarge",
}
"""What the database says of a document that it will never take. Anything else may pass."""

ListedBy = Literal["task_id", "job_id", "giver_id"]
Order = Literal["oldest", "newest"]


class StoreUnavailable(Exception):
    """The database does not do what it is asked now; names it (without password) and says why."""


class CursorUnknown(LookupError):
    """A page was asked for after a result that is not in the list."""


class Inserted(NamedTuple):
    """What became of a batch, by position; all others are stored."""

    duplicates: set[int]
    """Were stored before, maybe with other content."""
    refused: dict[int, str]
    """Can never be stored, and why."""


class Page(NamedTuple):
    results: list[KeptResult]
    next: str | None
    """The cursor of the following page; `None`: there is none."""


class Store(MongoDatabase):
    SETTING = "CHANNEL_MONGODB_URL"
    # What is refused today, such as our password, may be mended: results are kept until then.
    UNREACHABLE = REFUSED = StoreUnavailable

    def __init__(self, url: str, database: str) -> None:
        """
        Raises:
            SettingsError: the URL is none of a MongoDB.
        """
        super().__init__(
            url, database, timeout_s=READ_TIMEOUT_S, read_concern="majority", appname="channel"
        )
        self._results = self._database["results"]
        self._givers = self._database["givers"]

    async def ping(self) -> None:
        """One round trip to the member that takes the writes.

        Raises:
            StoreUnavailable: as every method below.
        """
        async with self._translated():
            with timeout(PING_TIMEOUT_S):
                await self._client.admin.command("ping")

    async def prepare(self) -> None:
        """Make the indexes, where they are missing. Nothing but speed depends on them."""
        async with self._translated():
            await self._results.create_indexes(
                [
                    IndexModel([(field, ASCENDING), ("stored_at", ASCENDING), ("_id", ASCENDING)])
                    for field in ("task_id", "job_id", "giver_id")
                ]
            )

    # -- Writing ---------------------------------------------------------------------------------

    async def insert(self, batch: Sequence[Document]) -> Inserted:
        """Store results durably, on a majority of the members; may be repeated at will."""
        refused: dict[int, str] = {}
        encoded: list[RawBSONDocument] = []
        positions: list[int] = []
        for position, document in enumerate(batch):
            try:
                # One by one, so that a bad document is known from the good ones around it.
                encoded.append(RawBSONDocument(bson.encode(document)))
            except (BSONError, OverflowError, ValueError) as error:
                refused[position] = f"cannot be stored: {error}"
            else:
                positions.append(position)
        duplicates: set[int] = set()
        if not encoded:
            return Inserted(duplicates, refused)
        async with self._translated():
            try:
                with timeout(WRITE_TIMEOUT_S):
                    await self._results.insert_many(encoded, ordered=False)
            except BulkWriteError as error:
                details = error.details or {}
                if details.get("writeConcernErrors"):
                    raise
                for failed in details["writeErrors"]:
                    position = positions[failed["index"]]
                    if failed["code"] == DUPLICATE_KEY:
                        duplicates.add(position)
                    elif failed["code"] in REFUSED_FOR_GOOD:
                        refused[position] = (
                            f"the database refuses it ({REFUSED_FOR_GOOD[failed['code']]}): "
                            f"{failed['errmsg'][:500]}"
                        )
                    else:
                        raise
        return Inserted(duplicates, refused)

    async def register(self, heard: Sequence[Document], seen_at: datetime) -> None:
        """Write down what heartbeats told. What the database cannot take is left out and logged."""
        updates = []
        for document in heard:
            giver_id = document["_id"]
            told = {**document, "last_seen": seen_at}
            del told["_id"]
            try:
                content = RawBSONDocument(bson.encode(told))
            except (BSONError, OverflowError, ValueError) as error:
                log.warning("registration_refused", giver_id=giver_id, error=str(error))
                continue
            updates.append(
                UpdateOne(
                    {"_id": giver_id},
                    {"$set": content, "$setOnInsert": {"first_seen": seen_at}},
                    upsert=True,
                )
            )
        if not updates:
            return
        async with self._translated():
            try:
                await self._givers.bulk_write(updates, ordered=False)
            except BulkWriteError as error:
                details = error.details or {}
                codes = {failed["code"] for failed in details["writeErrors"]}
                if details.get("writeConcernErrors") or codes != {DUPLICATE_KEY}:
                    raise
                # Another channel process wrote the same giver's first heartbeat at this moment.

    # -- Reading ---------------------------------------------------------------------------------

    async def summaries(self, result_ids: Collection[str]) -> list[StoredResult]:
        """Of those among `result_ids` that are stored."""
        async with self._translated():
            found = self._results.find(
                {"_id": {"$in": list(result_ids)}}, dict.fromkeys(documents.SUMMARY_FIELDS, 1)
            )
            return [documents.to_summary(document) async for document in found]

    async def result(self, result_id: str) -> KeptResult | None:
        async with self._translated():
            document = await self._results.find_one({"_id": result_id})
        return None if document is None else documents.to_result(document)

    async def page(
        self, field: ListedBy, value: str, *, limit: int, after: str | None, order: Order
    ) -> Page:
        """Results in the order in which they were stored.

        Args:
            after: id of the last result of the page before; `None`: from the start.

        Raises:
            CursorUnknown: `after` names no result of this list.
        """
        query: Document = {field: value}
        direction, beyond = (ASCENDING, "$gt") if order == "oldest" else (DESCENDING, "$lt")
        async with self._translated():
            if after is not None:
                last = await self._results.find_one({"_id": after, field: value}, {"stored_at": 1})
                if last is None:
                    raise CursorUnknown(f"after={after!r} names no result of {field} {value!r}")
                stored_at = last["stored_at"]
                # The first condition follows from the second, and lets the index be used.
                query["stored_at"] = {f"{beyond}e": stored_at}
                query["$or"] = [
                    {"stored_at": {beyond: stored_at}},
                    {"_id": {beyond: after}},
                ]
            found = await (
                self._results.find(query)
                .sort([("stored_at", direction), ("_id", direction)])
                .limit(limit + 1)
                .to_list()
            )
        results = [documents.to_result(document) for document in found[:limit]]
        return Page(results, results[-1].result_id if len(found) > limit else None)

    async def givers(self) -> list[Registration]:
        """Every giver ever heard, by id."""
        async with self._translated():
            return [
                documents.to_registration(document)
                async for document in self._givers.find().sort("_id", ASCENDING)
            ]
