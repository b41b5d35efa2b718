"""Making room on Docker's disk: images that this giver pulled, the one used longest ago first."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable, Container
from pathlib import Path

import structlog

from giver.engine import Engine, EngineError
from giver.metrics import Metrics
from giver.pulled_images import PulledImages

log = structlog.get_logger(__name__)


class Evictor:
    """Begins above the high watermark, ends below the low one."""

    def __init__(
        self,
        engine: Engine,
        pulled: PulledImages,
        metrics: Metrics,
        above: float,
        below: float,
        used_share: Callable[[], float | None],
        in_use: Callable[[], Container[str]],
    ) -> None:
        """
        Args:
            above, below: the watermarks, as shares of the disk.
            used_share: of Docker's disk, between 0 and 1; `None`: it cannot be told.
            in_use: references of the images that assignments here need.
        """
        self._engine = engine
        self._pulled = pulled
        self._metrics = metrics
        self._above = above
        self._below = below
        self._used_share = used_share
        self._in_use = in_use

    async def look(self) -> None:
        """Make room if there is need. An image that cannot be removed now may be the next time."""
        await asyncio.to_thread(self._pulled.save)
        share = self._used_share()
        if share is None or share <= self._above:
            return
        for reference, image_id in self._pulled.idle(self._in_use()):
            try:
                removed = await self._engine.remove_image(reference, image_id)
            except EngineError as error:
                log.warning("image_not_evicted", image=reference, reason=str(error))
                return
            if not removed:
                continue
            self._pulled.forget(reference)
            self._metrics.evicted.inc()
            log.info("image_evicted", image=reference, disk_used=round(share, 3))
            share = self._used_share()
            if share is None or share <= self._below:
                break
        await asyncio.to_thread(self._pulled.save)


def used_share(folder: Path) -> float | None:
    """Of the disk that the folder is on, as `df` says it; `None`: it cannot be told."""
    try:
        usage = shutil.disk_usage(folder)
    except OSError:
        return None
    return usage.used / max(1, usage.used + usage.free)
