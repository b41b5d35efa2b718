"""Contents kept for the next task that wants them, the one used longest ago going first.

A task gets a hard link, so one that is in use is known by its number of links.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import structlog

from runtime.transfers import Transfers
from schemas.data import Input

log = structlog.get_logger(__name__)

_PART = ".part"


class Cache:
    def __init__(self, folder: Path, most_bytes: int, transfers: Transfers) -> None:
        """`most_bytes`: beyond that, what no task uses is removed."""
        self._folder = folder
        self._most_bytes = most_bytes
        self._transfers = transfers
        self._coming: dict[str, asyncio.Task[None]] = {}

    async def place(self, wanted: Input, url: str, target: Path) -> None:
        """Make `target` a link to the content. Those who want the same share one transfer.

        Raises:
            DataError, OSError
        """
        kept = self._folder / wanted.sha256
        while not kept.exists():
            coming = self._coming.get(wanted.sha256)
            if coming is None:
                coming = asyncio.create_task(self._fetch(wanted, url), name=f"fetch {kept.name}")
                self._coming[wanted.sha256] = coming
                coming.add_done_callback(lambda done: self._came(wanted.sha256, done))
            await asyncio.shield(coming)
        # Nothing runs between the look and the link that could remove it.
        os.utime(kept)
        os.link(kept, target)

    def close(self) -> None:
        """What is half there stays for the next start."""
        for coming in list(self._coming.values()):
            coming.cancel()

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
        part.replace(self._folder / wanted.sha256)

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
            used -= freed
            log.info("content_evicted", sha256=each.stem, size_bytes=freed)
