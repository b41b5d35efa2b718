"""How things stand on this host, read where the system tells it."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import psutil

from giver.owner import Limits, Sample


def look(limits: Limits, data_folder: Callable[[], Path]) -> Sample:
    """Only what the limits ask for. `data_folder`: whose disk must not fill up."""
    return Sample(
        wall=datetime.now().astimezone(),
        sessions=len(psutil.users()) if limits.no_sessions else None,
        on_battery=_on_battery() if limits.no_battery else None,
        free_disk=None if limits.min_free_disk is None else _free_disk(data_folder()),
    )


def _free_disk(folder: Path) -> int | None:
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def _on_battery() -> bool | None:
    battery = psutil.sensors_battery()
    return None if battery is None or battery.power_plugged is None else not battery.power_plugged
