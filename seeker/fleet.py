"""The givers that are members: joined by a first heartbeat, purged after missed ones. Pure.

Only the seeker's monotonic clock decides. A seeker that was away itself gives everybody a fresh
interval, as it cannot know who was silent meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from heapq import heappop, heappush

import structlog

from schemas.heartbeat import Heartbeat
from seeker import placement
from seeker.model import Assignment, Cordon, Giver, Now, Setback, Standing
from seeker.reputation import Reputation

log = structlog.get_logger(__name__)

SLACK_S = 0.25
"""Lateness of a heartbeat that is no strike yet: networks and schedulers jitter."""

RECONNECT_S = 10.0
"""What cut off the seeker has often cut off everybody, and they come back one by one: the longest
pause between two of a giver's attempts to connect."""

BACKOFF_LONGEST_S = 60.0
BACKOFF_DOUBLINGS = 10
"""More than lead to the longest pause: a giver may fail for months, and floats end at 2 ** 1024."""


@dataclass(slots=True, kw_only=True)
class Former:
    """What stays of a giver that was purged."""

    standing: Standing = field(default_factory=Standing)
    cordon: Cordon | None = None


class News(Enum):
    """What a heartbeat changed."""

    STALE = auto()
    """Older than one already heard."""
    SESSION = auto()
    """First from this session: messages to an earlier one are gone."""
    NOTHING = auto()


_MATTERS = (
    *("state", "capacity", "backlog", "images", "labels", "owner", "platform", "speed"),
    "policy",
)
"""Fields of a heartbeat that placement looks at."""


class Fleet:
    """The members, and a journal of which of them changed, for rankings to follow."""

    def __init__(self, strikes: int) -> None:
        """`strikes`: missed intervals, or returned messages, after which a giver is purged."""
        self._strikes = strikes
        self.givers: dict[str, Giver] = {}
        self.former: dict[str, Former] = {}
        """Purged givers, for when they come back."""
        self._journal: list[str] = []
        self._dropped = 0
        """Entries of the journal that are gone."""
        self._pauses: list[tuple[float, str]] = []

    # -- Changes --------------------------------------------------------------------------------

    @property
    def position(self) -> int:
        """Where the journal ends."""
        return self._dropped + len(self._journal)

    def changed_since(self, position: int) -> Iterable[str] | None:
        """Ids of givers that changed since then, each once; `None`: too long ago to tell."""
        if position < self._dropped:
            return None
        return dict.fromkeys(self._journal[position - self._dropped :])

    def touch(self, giver: Giver) -> None:
        """Something changed that placement looks at."""
        self._journal.append(giver.id)
        giver.version = self.position
        longest = 4 * len(self.givers) + 1000
        if len(self._journal) > longest:
            dropped = longest // 2
            del self._journal[:dropped]
            self._dropped += dropped

    def back_off(self, giver: Giver, image: str, job_id: str, now: Now) -> None:
        """Give a giver that refused, or failed for its own reasons, a pause, doubling each time.

        Without it, a giver that fails fast would look like the least loaded one and get everything.
        One job alone does not double it: the fault may be the job's, and others use the image too.
        """
        last = giver.setbacks.get(image)
        count = last.count + (last.job_id != job_id) if last else 1
        pause = min(BACKOFF_LONGEST_S, 2.0 ** min(count - 1, BACKOFF_DOUBLINGS))
        forgotten = now.monotonic - BACKOFF_LONGEST_S
        giver.setbacks = {i: s for i, s in giver.setbacks.items() if s.until > forgotten}
        until = now.monotonic + pause
        giver.setbacks[image] = Setback(
            count=count,
            until=until,
            until_wall=now.wall + timedelta(seconds=pause),
            job_id=job_id,
        )
        heappush(self._pauses, (until, giver.id))
        self.touch(giver)

    def end_pauses(self, now: Now) -> None:
        """Those whose pause is over can be chosen again."""
        while self._pauses and self._pauses[0][0] <= now.monotonic:
            giver = self.givers.get(heappop(self._pauses)[1])
            if giver is not None:
                self.touch(giver)

    def assign(self, giver: Giver, assignment: Assignment) -> None:
        """The giver has it from now on."""
        giver.assignments[assignment.id] = assignment
        placement.take(giver.load, assignment.task.job.spec.container.resources)
        self.touch(giver)

    def release(self, giver: Giver, assignment: Assignment) -> None:
        """The giver, which has it, is rid of it."""
        del giver.assignments[assignment.id]
        placement.take(giver.load, assignment.task.job.spec.container.resources, sign=-1)
        self.touch(giver)

    # -- Membership -----------------------------------------------------------------------------

    def add(self, giver: Giver) -> None:
        self.givers[giver.id] = giver
        for setback in giver.setbacks.values():
            heappush(self._pauses, (setback.until, giver.id))
        self.touch(giver)

    def hear(self, beat: Heartbeat, now: Now) -> tuple[Giver, News]:
        """Take in a heartbeat: it joins its giver, and clears its strikes."""
        giver = self.givers.get(beat.giver_id)
        if giver is None:
            former = self.former.pop(beat.giver_id, Former())
            giver = Giver(
                id=beat.giver_id,
                beat=beat,
                last_heard=now.monotonic,
                joined_at=now.wall,
                heard_at=now.wall,
                standing=former.standing,
                cordon=former.cordon,
            )
            self.add(giver)
            log.info("giver_joined", giver_id=giver.id, session=beat.session)
        elif beat.boot_id == giver.beat.boot_id and beat.sequence < giver.beat.sequence:
            return giver, News.STALE
        elif beat.boot_id == giver.earlier_boot:
            # Another one followed: this is a late message, or two givers that share an id.
            log.warning("giver_boot_is_over", giver_id=giver.id, boot_id=beat.boot_id)
            return giver, News.STALE
        if beat.boot_id != giver.beat.boot_id:
            giver.earlier_boot = giver.beat.boot_id
        before, giver.beat = giver.beat, beat
        giver.last_heard = now.monotonic
        giver.heard_at = now.wall
        giver.strikes = 0
        new_session = giver.session != beat.session
        giver.session = beat.session
        changed = any(getattr(before, name) != getattr(beat, name) for name in _MATTERS)
        if changed:
            giver.describe()
        if changed or new_session or giver.unreachable:
            giver.unreachable = False
            self.touch(giver)
        return giver, News.SESSION if new_session else News.NOTHING

    def cordon(self, giver: Giver, cordon: Cordon | None) -> None:
        giver.cordon = cordon
        self.touch(giver)

    def strike_silent(self, now: Now) -> tuple[list[Giver], list[Giver]]:
        """Count missed intervals. Returns those whose strikes grew, and of them those to purge."""
        struck, purged = [], []
        for giver in self.givers.values():
            silent = now.monotonic - giver.last_heard - SLACK_S
            missed = int(silent / giver.beat.interval_s) if silent > 0 else 0
            # A returned message is a strike of its own, on top of those missed.
            strikes = missed + giver.unreachable
            if strikes <= giver.strikes:
                continue
            giver.strikes = strikes
            log.warning("giver_strike", giver_id=giver.id, strikes=strikes)
            struck.append(giver)
            if strikes >= self._strikes:
                purged.append(giver)
        return struck, purged

    def returned(self, giver: Giver) -> None:
        """The broker had no queue for the giver: a strike, and nothing more until it is heard."""
        if not giver.unreachable:
            giver.unreachable = True
            giver.strikes += 1
            self.touch(giver)
            log.warning("giver_unroutable", giver_id=giver.id, strikes=giver.strikes)

    def remove(self, giver: Giver) -> None:
        """It is no member any more; its history stays."""
        del self.givers[giver.id]
        self.former[giver.id] = Former(standing=giver.standing, cordon=giver.cordon)

    def pardon(self, now: Now) -> None:
        """Give everybody a fresh interval, because the seeker itself was away.

        Where intervals are short, the time to connect again comes on top.
        """
        for giver in self.givers.values():
            more = max(0.0, RECONNECT_S - giver.beat.interval_s)
            giver.last_heard = now.monotonic + more

    def standing(self, giver_id: str) -> Standing:
        """Of a member or a former one; a stranger's is blank."""
        known = self.givers.get(giver_id) or self.former.get(giver_id) or Former()
        return known.standing

    def reputation(self, giver_id: str) -> Reputation:
        return self.standing(giver_id).reputation
