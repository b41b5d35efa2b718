"""Contents from the channel and to it, by URLs that come with an assignment.

A file is never in memory as a whole. What breaks off goes on where it stopped, or is sent again,
as long as patience lasts.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import BinaryIO

import httpx
import structlog
from tenacity import (
    AsyncRetrying,
    RetryCallState,
    retry_if_exception_type,
    stop_after_delay,
    wait_random_exponential,
)

log = structlog.get_logger(__name__)

_PIECE_BYTES = 1 << 20
_AGAIN = wait_random_exponential(multiplier=0.5, max=10)
_AT_ONCE = 4
_AGAIN_LATER = (httpx.codes.REQUEST_TIMEOUT, httpx.codes.TOO_MANY_REQUESTS)


class DataError(Exception):
    """A task's files cannot be brought or taken; the message says which, and why."""


class _Interrupted(DataError):
    """May go better at once, or later."""


class Transfers:
    def __init__(self, inactivity_s: float, patience_s: float) -> None:
        """
        Args:
            inactivity_s: seconds without a byte after which a connection is given up.
            patience_s: seconds after which a transfer is not begun again.
        """
        self._http = httpx.AsyncClient(timeout=httpx.Timeout(inactivity_s, pool=None))
        self._patience_s = patience_s
        self._slots = asyncio.Semaphore(_AT_ONCE)

    async def close(self) -> None:
        await self._http.aclose()

    async def fetch(self, url: str, sha256: str, size: int, target: Path) -> None:
        """Make `target` of the content; a part of it that is there already is gone on with.

        Raises:
            DataError: it does not come, or is not what it should be.
            OSError: it cannot be written.
        """
        async for attempt in self._patiently(f"content {sha256}"):
            with attempt:
                async with self._slots:
                    await self._fetch(url, sha256, size, target)

    async def leave(self, url: str, sha256: str, size: int, source: Path) -> None:
        """Hand a file over, unless the channel has its content already.

        Args:
            url: with `{sha256}` where that goes.

        Raises:
            DataError: the channel does not take it.
            OSError: it cannot be read.
        """
        url = url.replace("{sha256}", sha256)
        async for attempt in self._patiently(f"file {source.name}"):
            with attempt:
                async with self._slots:
                    await self._leave(url, size, source)

    def _patiently(self, what: str) -> AsyncRetrying:
        def note(state: RetryCallState) -> None:
            error = state.outcome.exception() if state.outcome else None
            log.warning("transfer_interrupted", what=what, reason=str(error))

        return AsyncRetrying(
            retry=retry_if_exception_type(_Interrupted),
            stop=stop_after_delay(self._patience_s),
            wait=_AGAIN,
            before_sleep=note,
            reraise=True,
        )

    async def _fetch(self, url: str, sha256: str, size: int, target: Path) -> None:
        with target.open("ab") as file:
            hashed = await asyncio.to_thread(_hash_so_far, target)
            have = file.tell()
            if have < size:
                headers = {"Range": f"bytes={have}-"} if have else {}
                try:
                    async with self._http.stream("GET", url, headers=headers) as response:
                        await _check(response)
                        if have and response.status_code != httpx.codes.PARTIAL_CONTENT:
                            file.truncate(0)
                            hashed, have = hashlib.sha256(), 0
                        async for piece in response.aiter_bytes(_PIECE_BYTES):
                            have += len(piece)
                            if have > size:
                                break
                            await asyncio.to_thread(_take, piece, file, hashed)
                except httpx.HTTPError as error:
                    raise _Interrupted(f"{_where(url)}: {error or type(error).__name__}") from error
        if have == size and hashed.hexdigest() == sha256:
            return
        if have < size:
            raise _Interrupted(f"{_where(url)}: ended after {have} of {size} bytes")
        target.unlink()
        raise DataError(
            f"{_where(url)}: what came has the SHA-256 {hashed.hexdigest()}, or is longer than its "
            f"{size} bytes; the job names {sha256}: enqueue it again with the file as it is now"
        )

    async def _leave(self, url: str, size: int, source: Path) -> None:
        try:
            there = await self._http.head(url)
            if there.status_code != httpx.codes.NOT_FOUND:
                await _check(there)
                return
            headers = {"Content-Length": str(size)}
            response = await self._http.put(url, content=_pieces(source), headers=headers)
        except httpx.HTTPError as error:
            raise _Interrupted(f"{_where(url)}: {error or type(error).__name__}") from error
        await _check(response)


async def _check(response: httpx.Response) -> None:
    """
    Raises:
        _Interrupted, DataError: the channel does not do it now, or never.
    """
    if response.is_success:
        return
    said = (await response.aread()).decode(errors="replace")[:300]
    message = f"{_where(str(response.url))} answered {response.status_code}: {said}"
    if response.is_server_error or response.status_code in _AGAIN_LATER:
        raise _Interrupted(message)
    raise DataError(message)


def _where(url: str) -> str:
    """Without what makes it a right."""
    return url.partition("?")[0]


def _hash_so_far(path: Path) -> hashlib._Hash:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256")


def _take(piece: bytes, file: BinaryIO, hashed: hashlib._Hash) -> None:
    hashed.update(piece)
    file.write(piece)


async def _pieces(source: Path) -> AsyncIterator[bytes]:
    with source.open("rb") as file:
        while piece := await asyncio.to_thread(file.read, _PIECE_BYTES):
            yield piece
