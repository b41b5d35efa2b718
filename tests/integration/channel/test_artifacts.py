"""Files kept by the channel, under their content, by signed URLs."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
import pytest
from bson import ObjectId
from pymongo.database import Database

from runtime.signed_urls import UrlSigner
from tests.integration.channel.processes import ARTIFACTS_KEY, ChannelProcess, eventually

CONTENT = os.urandom(5_000_000)
SHA256 = hashlib.sha256(CONTENT).hexdigest()
OTHER = hashlib.sha256(b"other").hexdigest()

Documents = Database[dict[str, Any]]


class Holder:
    """Somebody who got URLs."""

    def __init__(self, channel: ChannelProcess, http: httpx.AsyncClient) -> None:
        self.urls = UrlSigner(ARTIFACTS_KEY, channel.url)
        self.http = http

    def writing(self, sha256: str, owner: str = "assignment", most: int = 1 << 30) -> str:
        return self.urls.write(owner, most, 60).replace("{sha256}", sha256)

    async def put(self, content: bytes, sha256: str = SHA256, **options: Any) -> httpx.Response:
        return await self.http.put(self.writing(sha256, **options), content=content)

    async def get(self, sha256: str = SHA256, **headers: str) -> httpx.Response:
        return await self.http.get(self.urls.read(sha256, 60), headers=headers)


@pytest.fixture
async def holder(channel: ChannelProcess) -> AsyncIterator[Holder]:
    await eventually(channel.healthy)
    async with httpx.AsyncClient(timeout=60) as http:
        yield Holder(channel, http)


async def test_a_content_comes_back_whole_and_in_part(holder: Holder) -> None:
    url = holder.writing(SHA256)
    assert (await holder.http.head(url)).status_code == 404
    assert (await holder.put(CONTENT)).status_code == 204
    assert (await holder.http.head(url)).status_code == 200
    whole = await holder.get()
    assert (whole.status_code, whole.content) == (200, CONTENT)
    rest = await holder.get(Range="bytes=3000000-")
    assert (rest.status_code, rest.content) == (206, CONTENT[3_000_000:])
    assert rest.headers["Content-Range"] == "bytes 3000000-4999999/5000000"
    assert (await holder.get(Range="bytes=10-19")).content == CONTENT[10:20]
    assert (await holder.get(Range="bytes=5000000-")).status_code == 416


async def test_nothing_is_a_content_too(holder: Holder) -> None:
    empty = hashlib.sha256(b"").hexdigest()
    assert (await holder.put(b"", empty)).status_code == 204
    assert (await holder.get(empty)).content == b""


async def test_what_is_not_what_its_name_says_is_not_kept(
    holder: Holder, database: Documents
) -> None:
    answer = await holder.put(b"other than named")
    assert answer.status_code == 422
    assert SHA256 in answer.json()["detail"]
    assert (await holder.get()).status_code == 404
    assert database["artifacts.chunks"].count_documents({}) == 0
    assert database["artifacts.uploads"].count_documents({}) == 0


async def test_nobody_leaves_more_than_he_may_altogether(
    holder: Holder, database: Documents
) -> None:
    most = len(CONTENT) + 3
    assert (await holder.put(CONTENT, most=most)).status_code == 204
    answer = await holder.put(b"other", OTHER, most=most)
    assert answer.status_code == 422
    assert f"may leave {most} bytes" in answer.json()["detail"]
    assert (await holder.put(b"other", OTHER, owner="another", most=most)).status_code == 204
    assert database["artifacts.files"].count_documents({}) == 2


async def test_nobody_leaves_more_by_leaving_it_all_at_once(
    holder: Holder, database: Documents
) -> None:
    most = 1_500_000
    contents = [os.urandom(1_000_000) for _ in range(6)]
    answers = await asyncio.gather(
        *(holder.put(each, hashlib.sha256(each).hexdigest(), most=most) for each in contents)
    )
    assert sorted(answer.status_code for answer in answers) == [204] + [422] * 5
    assert database["artifacts.files"].count_documents({}) == 1


async def test_a_url_is_for_one_use_and_one_content(holder: Holder) -> None:
    await holder.put(CONTENT)
    reading = holder.urls.read(SHA256, 60)
    stranger = UrlSigner("x" * 32, reading[: reading.index("/v1")])
    for refused in (
        await holder.http.put(reading, content=CONTENT),
        await holder.http.get(reading.replace(SHA256, OTHER)),
        await holder.http.get(holder.writing(SHA256)),
        await holder.http.get(holder.urls.read(SHA256, -1)),
        await holder.http.get(stranger.read(SHA256, 60)),
    ):
        assert refused.status_code == 403, refused.text


async def test_two_who_leave_the_same_at_once_leave_it_once(
    holder: Holder, database: Documents
) -> None:
    answers = await asyncio.gather(*(holder.put(CONTENT, owner=str(n)) for n in range(4)))
    assert {answer.status_code for answer in answers} == {204}
    assert database["artifacts.files"].count_documents({}) == 1
    assert database["artifacts.chunks"].count_documents({}) == 5


async def test_what_a_process_left_half_done_is_removed_at_a_later_start(
    make_channel: Callable[..., ChannelProcess], database: Documents
) -> None:
    old, young = ObjectId(), ObjectId()
    now = datetime.now(UTC)
    database["artifacts.uploads"].insert_many(
        [
            {"_id": old, "began_at": now - timedelta(days=2)},
            {"_id": young, "began_at": now},
        ]
    )
    database["artifacts.chunks"].insert_many(
        [{"files_id": each, "n": 0, "data": b"x"} for each in (old, young)]
    )
    process = make_channel()
    await process.start()

    async def removed() -> bool:
        return database["artifacts.uploads"].count_documents({}) == 1

    await eventually(removed)
    (left,) = database["artifacts.chunks"].find()
    assert left["files_id"] == young
