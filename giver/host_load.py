"""What others do on this host, read where the system tells it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil

from giver.owner import Limits, Sample

_SHORTEST_S = 0.5
"""Over less time than that the kernel's counts say little."""


class HostLoad:
    """Takes samples, each over the time since the one before."""

    def __init__(
        self,
        limits: Limits,
        data_folder: Callable[[], Path],
        own_cpu_s: Callable[[], float | None],
    ) -> None:
        """
        Args:
            data_folder: whose disk must not fill up.
            own_cpu_s: CPU seconds that our containers have used in all, if that can be told.
        """
        self._limits = limits
        self._data_folder = data_folder
        self._own_cpu_s = own_cpu_s
        self._before: tuple[float, float, float] | None = None
        self._others_cpus: float | None = None

    def sample(self) -> Sample:
        """Only what the limits ask for is looked at."""
        limits = self._limits
        return Sample(
            wall=datetime.now().astimezone(),
            monotonic=time.monotonic(),
            others_cpus=None if limits.others_cpus is None else self._others(),
            sessions=len(psutil.users()) if limits.no_sessions else None,
            on_battery=_on_battery() if limits.no_battery else None,
            free_disk=None if limits.min_free_disk is None else self._free_disk(),
        )

    def _others(self) -> float | None:
        now = time.monotonic()
        own_s = self._own_cpu_s()
        if own_s is None:
            return None
        present = (now, _busy_s(), own_s)
        if self._before is None:
            self._before = present
            return None
        passed_s, busy_s, ours_s = (a - b for a, b in zip(present, self._before, strict=True))
        if passed_s >= _SHORTEST_S:
            self._before = present
            self._others_cpus = max(0.0, busy_s - ours_s) / passed_s
        return self._others_cpus

    def _free_disk(self) -> int | None:
        try:
            return shutil.disk_usage(self._data_folder()).free
        except OSError:
            return None


def _busy_s() -> float:
    """Seconds that the host's cores have worked in all; low priority counts as work, too."""
    times = psutil.cpu_times()
    return float(times.user + times.nice + times.system + times.irq + times.softirq)


def _on_battery() -> bool | None:
    battery = psutil.sensors_battery()
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged
