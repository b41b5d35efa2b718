"""Which images this giver brought to the host, and when each was used last.

Only these are its to remove. Kept in the state folder; what is not written down is somebody else's.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Container
from pathlib import Path

import structlog
from pydantic import BaseModel, RootModel, ValidationError

from giver.state_file import replace

log = structlog.get_logger(__name__)

FILE = "images.json"


class Pulled(BaseModel):
    """By the reference that was pulled."""

    id: str
    """As Docker knows it: the reference may name another image by now."""
    used_at: float
    """Seconds since the epoch."""


class _Kept(RootModel[dict[str, Pulled]]):
    pass


class PulledImages:
    """Changed on the loop, saved by any thread: the disk may be slow."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / FILE
        self._kept = self._read()
        self._dirty = False
        self._saving = threading.Lock()

    def pulled(self, reference: str, image_id: str) -> None:
        """It was not on the host before; to be saved at once."""
        self._kept[reference] = Pulled(id=image_id, used_at=time.time())
        self._dirty = True

    def used(self, reference: str) -> None:
        if reference in self._kept:
            self._kept[reference].used_at = time.time()
            self._dirty = True

    def forget(self, reference: str) -> None:
        if self._kept.pop(reference, None) is not None:
            self._dirty = True

    def idle(self, in_use: Container[str]) -> list[tuple[str, str]]:
        """References and ids of those that nobody needs, the one used longest ago first."""
        found = sorted(self._kept.items(), key=lambda item: item[1].used_at)
        return [(reference, each.id) for reference, each in found if reference not in in_use]

    def save(self) -> None:
        """Write down what has changed."""
        with self._saving:
            if not self._dirty:
                return
            self._dirty = False
            try:
                replace(self._file, _Kept(dict(self._kept)).model_dump_json())
            except OSError as error:
                # An image that is forgotten stays on the host, no more.
                self._dirty = True
                log.warning("pulled_images_not_written", file=str(self._file), reason=str(error))

    def _read(self) -> dict[str, Pulled]:
        try:
            return _Kept.model_validate_json(self._file.read_bytes()).root
        except FileNotFoundError:
            return {}
        except (OSError, ValidationError) as error:
            log.error(
                "pulled_images_unreadable",
                file=str(self._file),
                reason=str(error),
                remedy="images pulled before stay on this host: remove them with `docker rmi`",
            )
            return {}
