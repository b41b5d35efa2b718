"""Contents kept for the next task that wants them, the one used longest ago going first.

A task gets a hard link, so one that is in use is known by its number of links. What is not as this
process left it, after a crash or because somebody wrote to it, is read again before a task gets it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import os
from pathlib import Path

import structlog

from runtime.transfers import Transfers
from schemas.data import Input

log = structlog.get_logger(__name__)

_PART = ".part"

_Left = tuple[int, int, int]
"""A file as it was left: inode, bytes, time of the last change in nanoseconds."""


class Cache:
    def __init__(self, folder: Path, most_bytes: int, transfers: Transfers) -> None:
        """`most_bytes`: beyond that, what no task uses is removed."""
        self._folder = folder
        self._most_bytes = most_bytes
        self._transfers = transfers
        self._coming: dict[str, asyncio.Task[None]] = {}
        self._left: dict[str, _Left] = {}

    async def place(self, wanted: Input, url: str, target: Path) -> None:
        """Make `target` a link to the content. Those who want the same share one transfer.

        Raises:
            DataError, OSError
        """
        kept = self._folder / wanted.sha256
        while not (await self._whole(kept, wanted) and self._link(kept, target)):
            coming = self._coming.get(wanted.sha256)
            if coming is None:
                coming = asyncio.create_task(self._fetch(wanted, url), name=f"fetch {kept.name}")
                self._coming[wanted.sha256] = coming
                coming.add_done_callback(lambda done: self._came(wanted.sha256, done))
            await asyncio.shield(coming)

    def close(self) -> None:
        """What is half there stays for the next start."""
        for coming in list(self._coming.values()):
            coming.cancel()

    async def _whole(self, kept: Path, wanted: Input) -> bool:
        """Whether it is there, and what it should be."""
        try:
            if _left(kept) == self._left.get(wanted.sha256):
                return True
            if await asyncio.to_thread(_sha256, kept) == wanted.sha256:
                return True
        except FileNotFoundError:
            return False
        log.warning("content_damaged", sha256=wanted.sha256)
        kept.unlink(missing_ok=True)
        return False

    def _link(self, kept: Path, target: Path) -> bool:
        """Whether it was still there: room may be made for another at any time."""
        try:
            os.utime(kept)
            os.link(kept, target)
            self._left[kept.name] = _left(kept)
        except FileNotFoundError:
            if kept.exists():
                raise
            return False
        return True

    def _came(self, sha256: str, coming: asyncio.Task[None]) -> None:
        del self._coming[sha256]
        if not coming.cancelled() and (error := coming.exception()) is not None:
            log.warning("content_not_fetched", sha256=sha256, reason=str(error))

    async def _fetch(self, wanted: Input, url: str) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        await asyncio.to_thread(self._make_room, wanted.size_bytes, wanted.sha256)
        part = self._folder / f"{wanted.sha256}{_PART}"
        await self._transfers.fetch(url, wanted.sha256, wanted.size_bytes, part)
        part.chmod(0o444)
        kept = part.replace(self._folder / wanted.sha256)
        self._left[wanted.sha256] = _left(kept)

    def _make_room(self, size: int, coming: str) -> None:
        found = []
        for each in self._folder.iterdir():
            with contextlib.suppress(FileNotFoundError):
                if each.stem != coming:
                    found.append((each, each.stat()))
        used = sum(stat.st_size for _, stat in found)
        unused = [
            (stat.st_mtime, stat.st_size, each)
            for each, stat in found
            if stat.st_nlink == 1 and each.stem not in self._coming
        ]
        for _, freed, each in sorted(unused):
            if used + size <= self._most_bytes:
                break
            each.unlink(missing_ok=True)
            self._left.pop(each.name, None)
            used -= freed
            log.info("content_evicted", sha256=each.stem, size_bytes=freed)


def _left(path: Path) -> _Left:
    stat = path.stat()
    return stat.st_ino, stat.st_size, stat.st_mtime_ns


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
