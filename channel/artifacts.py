"""Files that go with tasks, under the SHA-256 of their content, in the channel's database (GridFS).

Collections: `artifacts.files` and `artifacts.chunks` as GridFS has them, and `artifacts.uploads`,
one document for each upload under way, so that what a process left half done is found.

ArtifactRefused     what was sent is not what it says, or too much; the message is for the sender
ArtifactUnknown     there is no such content
StoreUnavailable    retriable, as of the channel's other collections
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterable, AsyncIterator, Collection
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from weakref import WeakValueDictionary

from bson import Int64, ObjectId
from gridfs.asynchronous import AsyncGridFSBucket
from gridfs.asynchronous.grid_file import AsyncGridOut
from gridfs.errors import NoFile
from pymongo import IndexModel
from pymongo.errors import DuplicateKeyError

from channel.store import WRITE_TIMEOUT_S, StoreUnavailable
from runtime.mongodb import MongoDatabase

BUCKET = "artifacts"
CHUNK_BYTES = 1 << 20
WRITTEN_AT_ONCE = 4 * CHUNK_BYTES
UPLOADS_AT_ONCE = 8
ABANDONED_AFTER = timedelta(hours=24)


class ArtifactRefused(Exception):
    pass


class ArtifactUnknown(LookupError):
    pass


@dataclass(frozen=True, slots=True)
class Upload:
    """What its sender may send."""

    sha256: str
    owner: str
    """In whose name: an assignment, or a person at the command line."""
    most_bytes: int
    """That may be there in that name altogether."""


class Artifact:
    """One content, open for reading."""

    def __init__(self, artifacts: Artifacts, content: AsyncGridOut) -> None:
        self._artifacts = artifacts
        self._content = content

    @property
    def size(self) -> int:
        return int(self._content.length)

    async def chunks(self, first: int, last: int) -> AsyncIterator[bytes]:
        """The bytes from `first` to `last`, both included.

        Raises:
            StoreUnavailable
        """
        left = last - first + 1
        async with self._artifacts._translated():
            await self._content.seek(first)
            while left > 0 and (chunk := await self._content.readchunk()):
                yield chunk[:left]
                left -= len(chunk)


class Artifacts(MongoDatabase):
    SETTING = "CHANNEL_MONGODB_URL"
    UNREACHABLE = REFUSED = StoreUnavailable

    def __init__(self, url: str, database: str) -> None:
        """
        Raises:
            SettingsError: the URL is none of a MongoDB.
        """
        super().__init__(
            url, database, timeout_s=WRITE_TIMEOUT_S, read_concern="majority", appname="artifacts"
        )
        self._bucket = AsyncGridFSBucket(self._database, BUCKET, CHUNK_BYTES)
        self._files = self._database[f"{BUCKET}.files"]
        self._uploads = self._database[f"{BUCKET}.uploads"]
        self._chunks = self._database[f"{BUCKET}.chunks"]
        self._slots = asyncio.Semaphore(UPLOADS_AT_ONCE)
        self._in_turn: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        """Uploads in one name, one after the other: each has to know what those before left."""

    async def prepare(self) -> None:
        """Make the indexes, where they are missing, and remove what uploads left half done.

        Raises:
            StoreUnavailable: as every method below.
        """
        async with self._translated():
            await self._files.create_indexes(
                [
                    # Of two that send the same at the same time, the first to end is kept.
                    IndexModel("filename", name="content", unique=True),
                    IndexModel("metadata.owner", name="owner"),
                ]
            )
            await self._chunks.create_index([("files_id", 1), ("n", 1)], unique=True)
            long_ago = datetime.now(UTC) - ABANDONED_AFTER
            async for upload in self._uploads.find({"began_at": {"$lt": long_ago}}):
                if await self._files.find_one({"_id": upload["_id"]}, {"_id": 1}) is None:
                    await self._chunks.delete_many({"files_id": upload["_id"]})
                await self._uploads.delete_one({"_id": upload["_id"]})

    async def missing(self, contents: Collection[str]) -> set[str]:
        """Those of the SHA-256s under which nothing is kept."""
        async with self._translated():
            found = self._files.find({"filename": {"$in": list(contents)}}, {"filename": 1})
            return set(contents) - {each["filename"] async for each in found}

    async def open(self, sha256: str) -> Artifact:
        """
        Raises:
            ArtifactUnknown: nothing is kept under it.
        """
        async with self._translated():
            try:
                return Artifact(self, await self._bucket.open_download_stream_by_name(sha256))
            except NoFile as error:
                raise ArtifactUnknown(f"no content {sha256} is kept") from error

    async def keep(self, upload: Upload, content: AsyncIterable[bytes]) -> None:
        """Durably, on a majority of the members; what is there already stays as it is.

        Raises:
            ArtifactRefused: the content is another, or its sender may not leave so much.
        """
        in_turn = self._in_turn.setdefault(upload.owner, asyncio.Lock())
        async with in_turn, self._slots, self._translated():
            left = upload.most_bytes - await self._kept_for(upload.owner)
            identity = ObjectId()
            await self._uploads.insert_one({"_id": identity, "began_at": datetime.now(UTC)})
            try:
                await self._fill(identity, upload, content, left)
            except BaseException:
                # What cannot be removed now is found by its upload at a later start.
                with contextlib.suppress(Exception):
                    await self._chunks.delete_many({"files_id": identity})
                    await self._uploads.delete_one({"_id": identity})
                raise
            await self._uploads.delete_one({"_id": identity})

    async def _fill(
        self, identity: ObjectId, upload: Upload, content: AsyncIterable[bytes], left: int
    ) -> None:
        """As GridFS has it. The driver's own way of writing collects 32 MiB for each upload."""
        hashed = hashlib.sha256()
        number = size = 0
        buffer = bytearray()
        async for piece in content:
            size += len(piece)
            if size > left:
                raise ArtifactRefused(
                    f"{upload.owner} may leave {upload.most_bytes} bytes altogether, this is more"
                )
            hashed.update(piece)
            buffer += piece
            if len(buffer) >= WRITTEN_AT_ONCE:
                number += await self._write(identity, number, buffer)
        if hashed.hexdigest() != upload.sha256:
            raise ArtifactRefused(
                f"the content has the SHA-256 {hashed.hexdigest()}, not {upload.sha256}: "
                "it was damaged on the way, or changed meanwhile; send it again"
            )
        while buffer:
            number += await self._write(identity, number, buffer)
        try:
            await self._files.insert_one(
                {
                    "_id": identity,
                    "filename": upload.sha256,
                    "length": Int64(size),
                    "chunkSize": CHUNK_BYTES,
                    "uploadDate": datetime.now(UTC),
                    "metadata": {"owner": upload.owner},
                }
            )
        except DuplicateKeyError:
            await self._chunks.delete_many({"files_id": identity})

    async def _write(self, identity: ObjectId, number: int, buffer: bytearray) -> int:
        """Take what can be written out of the buffer; how many chunks that was."""
        taken = buffer[:WRITTEN_AT_ONCE]
        del buffer[:WRITTEN_AT_ONCE]
        chunks = [
            {"files_id": identity, "n": number + i, "data": bytes(taken[at : at + CHUNK_BYTES])}
            for i, at in enumerate(range(0, len(taken), CHUNK_BYTES))
        ]
        await self._chunks.insert_many(chunks)
        return len(chunks)

    async def _kept_for(self, owner: str) -> int:
        """Bytes."""
        pipeline: list[dict[str, Any]] = [
            {"$match": {"metadata.owner": owner}},
            {"$group": {"_id": None, "bytes": {"$sum": "$length"}}},
        ]
        found = await (await self._files.aggregate(pipeline)).to_list()
        return int(found[0]["bytes"]) if found else 0
