"""The job while it runs: what the seeker says of it, and the giver killed on the way."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from schemas.states import TaskState
from seeker import view
from seeker.catalogue import Catalogue
from seeker.client import Client

POLL_S = 0.25
STALL_S = 120.0
"""Without any tile finished for so long, something is wrong."""
PURGE_PATIENCE_S = 30.0
"""After the kill and the end of the job."""


class Stalled(Exception):
    """The job cannot go on; the message says why."""


@dataclass(slots=True, kw_only=True)
class Course:
    """How the job went."""

    state: str = TaskState.PENDING
    settled: int = 0
    """Votes that lost, by the seeker's count."""
    killed_at: float | None = None
    purged_at: float | None = None
    seconds: float = 0.0

    @property
    def purge_s(self) -> float | None:
        """From the kill to the purge; `None`: not seen."""
        if self.killed_at is None or self.purged_at is None:
            return None
        return self.purged_at - self.killed_at


class Play:
    def __init__(
        self,
        client: Client,
        job_id: str,
        doomed: str,
        kill: Callable[[], None],
        fallen: Callable[[], list[str]],
    ) -> None:
        """
        Args:
            doomed: id of the giver that `kill` kills. It blocks until that is done.
            fallen: names of the services that died by themselves.
        """
        self._client = client
        self._job_id = job_id
        self._doomed = doomed
        self._kill = kill
        self._fallen = fallen
        self._course = Course()

    async def follow(self, bar: Progress) -> Course:
        """Returns when the job has ended and the killed giver is purged, or ought to be.

        Raises:
            Stalled: a service died, or no tile was finished for a long time.
            Unreachable: the seeker's database does not answer.
        """
        course = self._course
        row = bar.add_task("tiles", total=None, detail="")
        began = progressed = time.monotonic()
        done = 0
        async with self._client.store() as store:
            before = await self._lost_votes(store)
            while True:
                job = view.job(await self._client.job(store, self._job_id))
                now = time.monotonic()
                counts = job["tasks"]
                total, finished = sum(counts.values()), view.finished(counts)
                course.state = job["state"]
                course.settled = await self._lost_votes(store) - before
                await self._advance(store, finished / total)
                bar.update(row, total=total, completed=finished, detail=self._detail())
                if finished > done:
                    done, progressed = finished, now
                if TaskState(course.state).final:
                    course.seconds = course.seconds or now - began
                    if self._purge_is_over(now):
                        return course
                elif fallen := await asyncio.to_thread(self._fallen):
                    raise Stalled(f"{', '.join(fallen)} died")
                elif now - progressed > STALL_S:
                    raise Stalled(
                        f"no tile of {self._job_id} was finished for {STALL_S:.0f} s: "
                        f"{job['waiting_reason'] or 'its tasks are with the givers'}"
                    )
                await asyncio.sleep(POLL_S)

    async def _advance(self, store: Catalogue, share: float) -> None:
        course = self._course
        # Not before the liar has been caught once: with two givers left, reputation decides.
        if course.killed_at is None and share >= 0.5 and course.settled:
            await asyncio.to_thread(self._kill)
            course.killed_at = time.monotonic()
        elif course.killed_at is not None and course.purged_at is None:
            givers = [view.giver(document) for document in await store.givers(former=True)]
            if any(g["giver_id"] == self._doomed and g["state"] == "purged" for g in givers):
                course.purged_at = time.monotonic()

    def _purge_is_over(self, now: float) -> bool:
        course = self._course
        if course.killed_at is None or course.purged_at is not None:
            return True
        return now - course.killed_at > PURGE_PATIENCE_S

    async def _lost_votes(self, store: Catalogue) -> int:
        """Of all time, which is why two counts are compared."""
        documents: list[dict[str, Any]] = await store.givers(former=True)
        return sum(view.giver(document)["standing"]["lies"] for document in documents)

    def _detail(self) -> str:
        course = self._course
        parts = [f"{course.settled} lies outvoted"] if course.settled else []
        if course.purge_s is not None:
            parts.append(f"{self._doomed} purged after {course.purge_s:.1f} s")
        elif course.killed_at is not None:
            parts.append(f"{self._doomed} killed")
        return ", ".join(parts)


def progress_bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(bar_width=30),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("{task.fields[detail]}"),
        console=console,
    )
