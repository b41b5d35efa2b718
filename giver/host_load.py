"""How things stand on this host, read where the system tells it."""

from __future__ import annotations

import os
import shutil
import time
from collections import deque
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil

from giver.owner import Limits, Sample

_LEAST_S = 0.5
"""The kernel counts in hundredths of a second: over less, a share would be noise."""


class HostLoad:
    """Looks only at what the limits ask for."""

    def __init__(
        self,
        limits: Limits,
        data_folder: Callable[[], Path],
        our_cpu_s: Callable[[], float | None],
    ) -> None:
        """
        Args:
            data_folder: whose disk must not fill up.
            our_cpu_s: CPU seconds that our containers have taken; `None`: it cannot be told.
        """
        self._limits = limits
        self._data_folder = data_folder
        self._our_cpu_s = our_cpu_s
        self._others = OthersCpu(os.cpu_count() or 1, limits.idle_for_s)

    def look(self) -> Sample:
        limits = self._limits
        return Sample(
            wall=datetime.now().astimezone(),
            sessions=len(psutil.users()) if limits.no_sessions else None,
            on_battery=_on_battery() if limits.no_battery else None,
            others_cpu=None if limits.others_cpu is None else self._others_cpu(),
            free_disk=None if limits.min_free_disk is None else _free_disk(self._data_folder()),
        )

    def _others_cpu(self) -> float | None:
        ours = self._our_cpu_s()
        if ours is None:
            return None
        spent = psutil.cpu_times()
        # What a guest takes is part of `user`; what the hypervisor takes is nobody's here.
        busy = spent.user + spent.nice + spent.system + spent.irq + spent.softirq
        return self._others.share(time.monotonic(), busy, ours + time.process_time())


class OthersCpu:
    """The share of the host's CPUs that others took: the most of any look within a while. Pure.

    So it rises at once, and falls once they have been quiet for that while.
    """

    def __init__(self, cpus: int, while_s: float) -> None:
        self._cpus = cpus
        self._while_s = while_s
        self._last: tuple[float, float, float] | None = None
        self._shares: deque[tuple[float, float]] = deque()

    def share(self, now: float, busy_s: float, ours_s: float) -> float | None:
        """Between 0 and 1; `None`: not known yet.

        Args:
            now: monotonic seconds.
            busy_s: CPU seconds that all cores together were at work, ever...
            ours_s: ...and those of them that were for us. Less than before: counted anew.
        """
        if self._last is None:
            self._last = (now, busy_s, ours_s)
            return None
        then, busy_then, ours_then = self._last
        if now - then >= _LEAST_S:
            ours = ours_s - ours_then if ours_s >= ours_then else ours_s
            others = (busy_s - busy_then - ours) / ((now - then) * self._cpus)
            self._shares.append((now, min(1.0, max(0.0, others))))
            self._last = (now, busy_s, ours_s)
        while len(self._shares) > 1 and self._shares[0][0] < now - self._while_s:
            self._shares.popleft()
        return max((share for _, share in self._shares), default=None)


def _free_disk(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _on_battery() -> bool | None:
    battery = psutil.sensors_battery()
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged
