"""What a task finds in `/in` and what it leaves in `/out`.

Below `data` in the giver's state folder: `cache/` with contents by their SHA-256, and for each
assignment that has files `tasks/<assignment>/in` and `out`, its container's `/in` and `/out`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import stat
from collections.abc import Collection, Sequence
from pathlib import Path

import structlog
from wcmatch import glob

from giver import trees
from giver.cache import Cache
from giver.engine import Mount
from giver.settings import GiverSettings
from giver.trees import TreeRefused
from runtime.transfers import DataError, Transfers
from schemas.assignment import Assignment
from schemas.data import MOST_ENTRIES, MOST_FILES, Input, relative_path
from schemas.result import OutputFile

log = structlog.get_logger(__name__)

_FOLDER = "data"
_MATCHING = glob.GLOBSTAR | glob.DOTGLOB | glob.CASE | glob.FORCEUNIX


class OutputsMissing(Exception):
    """What the task was to leave is not there, or cannot be handed over; the message says what."""


class Data:
    def __init__(self, settings: GiverSettings) -> None:
        folder = settings.state_dir / _FOLDER
        transfers = Transfers(settings.transfer_inactivity_s, settings.transfer_patience_s)
        self._tasks = folder / "tasks"
        self._transfers = transfers
        self._cache = Cache(folder / "cache", int(settings.cache), transfers)
        self.user = None if os.geteuid() == 0 else f"{os.geteuid()}:{os.getegid()}"
        """As which containers with outputs have to run, so that these can be read and removed
        afterwards. `None`: root can do that in any case."""

    async def close(self) -> None:
        self._cache.close()
        await self._transfers.close()

    async def check(self) -> None:
        """Whether files can be kept here.

        Raises:
            OSError
        """
        await asyncio.to_thread(_try_out, self._tasks)

    async def prepare(self, assignment: Assignment) -> tuple[Mount, ...]:
        """Bring its inputs, and make the place for its outputs.

        Raises:
            DataError: an input does not come, or is not what it should be.
        """
        spec, access = assignment.container, assignment.data
        if not (spec.inputs or spec.outputs):
            return ()
        if access is None or len(access.inputs) != len(spec.inputs):
            raise DataError("the seeker sent no URLs for the task's files: see that it has a key")
        if spec.output_bytes < 0:
            raise DataError(
                f"the task's inputs have {spec.input_bytes} bytes, its disk "
                f"{spec.resources.disk_bytes}: enqueue it with more"
            )
        folder = self._folder(assignment)
        mounts = []
        try:
            await asyncio.to_thread(trees.remove, folder)
            folder.mkdir(parents=True, mode=0o700)
            if spec.inputs:
                inside = folder / "in"
                inside.mkdir()
                inside.chmod(0o755)
                left = MOST_ENTRIES
                for wanted, url in zip(spec.inputs, access.inputs, strict=True):
                    left -= await self._bring(wanted, url, inside, left)
                mounts.append(Mount(inside, "/in", read_only=True))
            if spec.outputs:
                outside = folder / "out"
                outside.mkdir()
                outside.chmod(0o777)  # To whoever the container is; nobody else gets as far.
                mounts.append(Mount(outside, "/out"))
        except OSError as error:
            raise DataError(f"the task's files find no place on this giver: {error}") from error
        return tuple(mounts)

    def check_size(self, assignment: Assignment) -> None:
        """Takes a while where there is much; to be called in a thread.

        Raises:
            TreeRefused: it has left more than it may.
        """
        trees.check_size(self._folder(assignment) / "out", assignment.container.output_bytes)

    async def collect(self, assignment: Assignment, complete: bool) -> tuple[OutputFile, ...]:
        """Hand over what the container left.

        Args:
            complete: nothing that was asked for may be missing.

        Raises:
            OutputsMissing
            TreeRefused: there is more than a task may leave.
            DataError: the channel does not take it.
        """
        patterns, access = assignment.container.outputs, assignment.data
        if not patterns or access is None:
            return ()
        outside = self._folder(assignment) / "out"
        await asyncio.to_thread(self.check_size, assignment)
        most_bytes = assignment.container.output_bytes
        found = await asyncio.to_thread(_matching, outside, patterns, complete, most_bytes)
        files = []
        for path, size in found:
            try:
                sha256 = await asyncio.to_thread(_sha256, outside / path)
                await self._transfers.leave(access.outputs, sha256, size, outside / path)
            except PermissionError as error:
                raise OutputsMissing(f"output file {path} may not be read") from error
            except OSError as error:
                raise DataError(f"output file {path} cannot be read: {error}") from error
            files.append(OutputFile(path=path, size_bytes=size, sha256=sha256))
        return tuple(files)

    async def remove(self, assignment: Assignment) -> None:
        if assignment.container.inputs or assignment.container.outputs:
            await self._remove(self._folder(assignment))

    async def remove_others(self, wanted: Collection[str]) -> None:
        """What is left of assignments other than these."""
        if self._tasks.is_dir():
            for folder in list(self._tasks.iterdir()):
                if folder.name not in wanted:
                    await self._remove(folder)

    async def _remove(self, folder: Path) -> None:
        try:
            await asyncio.to_thread(trees.remove, folder)
        except OSError as error:
            # A later look for leftovers finds it.
            log.warning("files_not_removed", folder=str(folder), reason=str(error))

    async def _bring(self, wanted: Input, url: str, inside: Path, most: int) -> int:
        """Returns how many files and folders it is, at most so many."""
        target = inside / wanted.path
        trees.make_folders(target if wanted.folder else target.parent, inside)
        if not wanted.folder:
            await self._cache.place(wanted, url, target)
            return 1
        archive = inside.parent / "archive"
        await self._cache.place(wanted, url, archive)
        made = await asyncio.to_thread(_unpack, archive, target, most)
        archive.unlink()
        return made

    def _folder(self, assignment: Assignment) -> Path:
        return self._tasks / assignment.assignment_id


def _try_out(folder: Path) -> None:
    folder.mkdir(parents=True, mode=0o700, exist_ok=True)
    tried = folder / ".tried"
    tried.mkdir(exist_ok=True)
    tried.rmdir()


def _unpack(archive: Path, target: Path, most: int) -> int:
    with archive.open("rb") as file:
        return trees.unpack(file, target, most)


def _matching(
    outside: Path, patterns: Sequence[str], complete: bool, most_bytes: int
) -> list[tuple[str, int]]:
    """Paths and bytes of the files asked for, links and devices left out."""
    # A pattern that names a folder stands for all in it.
    asked = {pattern: [pattern, f"{pattern}/**"] for pattern in patterns}
    unmet = set(patterns)
    left = most_bytes
    found = []
    for path, state in trees.entries(outside):
        matched = [p for p, ways in asked.items() if glob.globmatch(path, ways, flags=_MATCHING)]
        if not matched or not stat.S_ISREG(state.st_mode):
            continue
        try:
            relative_path(path)
        except ValueError as error:
            raise OutputsMissing(f"an output file cannot be handed over: {error}") from error
        unmet.difference_update(matched)
        found.append((path, state.st_size))
        left -= state.st_size
        if len(found) > MOST_FILES:
            raise TreeRefused(f"holds more than {MOST_FILES} files to hand over: pack them")
        if left < 0:  # Files with holes take less room than they have bytes.
            raise TreeRefused(f"holds files of more than {most_bytes} bytes")
    if unmet and complete:
        raise OutputsMissing(
            f"it left no file {', '.join(sorted(unmet))} in /out, as it was asked to"
        )
    return sorted(found)


def _sha256(path: Path) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
