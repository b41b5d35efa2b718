"""The givers that are members: joined by a first heartbeat, purged after missed ones. Pure.

Only the seeker's monotonic clock decides. A seeker that was away itself gives everybody a fresh
interval, as it cannot know who was silent meanwhile.
"""

from __future__ import annotations

from enum import Enum, auto

import structlog

from schemas.heartbeat import Heartbeat
from seeker.model import Giver, Now, Setback, Standing

log = structlog.get_logger(__name__)

SLACK_S = 0.25
"""Lateness of a heartbeat that is no strike yet: networks and schedulers jitter."""

BACKOFF_LONGEST_S = 60.0


class News(Enum):
    """What a heartbeat changed."""

    STALE = auto()
    """Older than one already heard."""
    SESSION = auto()
    """First from this session: messages to an earlier one are gone."""
    NOTHING = auto()


class Fleet:
    def __init__(self, strikes: int) -> None:
        """`strikes`: missed intervals, or returned messages, after which a giver is purged."""
        self._strikes = strikes
        self.givers: dict[str, Giver] = {}
        self.former: dict[str, Standing] = {}
        """Standings of purged givers, for when they come back."""

    def hear(self, beat: Heartbeat, now: Now) -> tuple[Giver, News]:
        """Take in a heartbeat: it joins its giver, and clears its strikes."""
        giver = self.givers.get(beat.giver_id)
        if giver is None:
            giver = Giver(
                id=beat.giver_id,
                beat=beat,
                last_heard=now.monotonic,
                joined_at=now.wall,
                heard_at=now.wall,
                standing=self.former.pop(beat.giver_id, Standing()),
            )
            self.givers[giver.id] = giver
            log.info("giver_joined", giver_id=giver.id, session=beat.session)
        elif beat.boot_id == giver.beat.boot_id and beat.sequence < giver.beat.sequence:
            return giver, News.STALE
        giver.beat = beat
        giver.last_heard = now.monotonic
        giver.heard_at = now.wall
        giver.strikes = 0
        giver.unreachable = False
        if giver.session == beat.session:
            return giver, News.NOTHING
        giver.session = beat.session
        return giver, News.SESSION

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
            log.warning("giver_unroutable", giver_id=giver.id, strikes=giver.strikes)

    def remove(self, giver: Giver) -> None:
        del self.givers[giver.id]
        self.former[giver.id] = giver.standing
        log.warning("giver_purged", giver_id=giver.id, strikes=giver.strikes)

    def pardon(self, now: Now) -> None:
        """Give everybody a fresh interval, because the seeker itself was away."""
        for giver in self.givers.values():
            giver.last_heard = now.monotonic

    def reputation(self, giver_id: str) -> float:
        giver = self.givers.get(giver_id)
        standing = giver.standing if giver else self.former.get(giver_id, Standing())
        return standing.reputation


def back_off(giver: Giver, image: str, now: Now) -> None:
    """Give a giver that refused, or failed for its own reasons, a pause, doubling each time.

    Without it, a giver that fails fast would look like the least loaded one and get everything.
    """
    last = giver.setbacks.get(image)
    count = last.count + 1 if last else 1
    pause = min(BACKOFF_LONGEST_S, 2.0 ** (count - 1))
    forgotten = now.monotonic - BACKOFF_LONGEST_S
    giver.setbacks = {i: s for i, s in giver.setbacks.items() if s.until > forgotten}
    giver.setbacks[image] = Setback(count=count, until=now.monotonic + pause)
