"""How far a pull is, from what Docker tells of its layers. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from schemas.heartbeat import Pull

_DOWNLOADED = ("Verifying Checksum", "Download complete", "Extracting", "Pull complete")


class PullProgress:
    """Fed by one thread, asked by another."""

    def __init__(self, image: str) -> None:
        self._image = image
        self._layers: dict[str, tuple[int, int]] = {}
        """By id: bytes that are there, bytes in all; as the registry packs them."""

    def feed(self, event: Mapping[str, Any]) -> None:
        """A message of Docker's."""
        layer, status = event.get("id"), event.get("status")
        if layer is None:
            return
        if status == "Downloading":
            detail = event.get("progressDetail") or {}
            done, total = int(detail.get("current") or 0), int(detail.get("total") or 0)
            self._layers[layer] = (done, max(done, total))
        elif status in _DOWNLOADED and layer in self._layers:
            total = self._layers[layer][1]
            self._layers[layer] = (total, total)

    def told(self) -> Pull:
        layers = list(self._layers.values())
        return Pull.model_construct(
            image=self._image,
            done_bytes=sum(done for done, _ in layers),
            total_bytes=sum(total for _, total in layers),
        )
