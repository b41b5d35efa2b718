"""Reading a container's log while it is written, in one thread, until somebody hangs up."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Callable
from typing import Any

from giver.docker_errors import translated
from giver.output import FrameParser, Sink
from giver.workers import Workers

_GONE = 404
_SILENCE_S = 30 * 86400.0
"""A container may write nothing for as long as it likes."""


class DockerTail:
    """Used once."""

    def __init__(
        self,
        workers: Workers,
        client: Callable[[], Any],
        container_id: str,
        lines: int,
        follow: bool,
        sink: Sink,
    ) -> None:
        """`client`: the calling thread's own."""
        self._workers = workers
        self._client = client
        self._container_id = container_id
        self._parameters = {
            "stdout": 1,
            "stderr": 1,
            "tail": str(lines),
            "follow": int(follow),
        }
        self._sink = sink
        self._socket: socket.socket | None = None
        self._closed = False

    async def read(self) -> None:
        """Until the container has ended, or `close`.

        Raises:
            EngineError
        """
        await self._workers.run(self._read)

    def close(self) -> None:
        """Wakes the thread, whatever it waits for."""
        self._closed = True
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.shutdown(socket.SHUT_RDWR)

    def _read(self) -> None:
        client = self._client()
        url = f"{client.base_url}/v{client.api_version}/containers/{self._container_id}/logs"
        deadlines = (client.timeout, _SILENCE_S)
        parser = FrameParser(self._sink)
        try:
            with (
                translated("read the container's log"),
                client.get(url, params=self._parameters, stream=True, timeout=deadlines) as answer,
            ):
                if answer.status_code == _GONE:
                    return
                answer.raise_for_status()
                raw = client._get_raw_response_socket(answer)
                self._socket = getattr(raw, "_sock", raw)
                for chunk in answer.iter_content(chunk_size=None):
                    if self._closed:
                        return
                    parser.feed(chunk)
        except Exception:
            if not self._closed:
                raise
