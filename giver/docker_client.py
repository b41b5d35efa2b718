"""Connections to Docker, on docker-py."""

from __future__ import annotations

import threading
from typing import Any

import requests
from docker import APIClient
from docker.errors import create_api_error_from_http_exception
from docker.utils import kwargs_from_env

from giver.docker_errors import translated
from giver.settings import GiverSettings

_CHANGE = b'"Kind":'
"""Once in each of those that Docker lists, and in no name, where quotes are escaped."""


class DockerClient(APIClient):
    """Gives every request a deadline, also those for which docker-py sets none."""

    def request(self, method: str, url: str, **arguments: Any) -> Any:  # type: ignore[override]
        if arguments.get("timeout") is None:
            arguments["timeout"] = self.timeout
        return super().request(method, url, **arguments)

    def count_changes(self, container_id: str, most: int) -> int:
        """How many `diff` would list, without holding them all; not on beyond `most`."""
        found, rest = 0, b""
        url = f"{self.base_url}/v{self.api_version}/containers/{container_id}/changes"
        with self.get(url, stream=True) as response:
            try:
                response.raise_for_status()
            except requests.HTTPError as error:
                create_api_error_from_http_exception(error)
            for chunk in response.iter_content(1 << 16):
                text = rest + chunk
                found += text.count(_CHANGE)
                if found > most:
                    break
                rest = text[1 - len(_CHANGE) :]
        return found


class DockerClients:
    """One connection a thread: requests' sessions are not meant to be shared."""

    def __init__(self, settings: GiverSettings) -> None:
        self._settings = settings
        self._threads = threading.local()
        self._made: list[DockerClient] = []

    def __call__(self, deadline_s: float | None = None) -> Any:
        """This thread's own `DockerClient`; each of its calls may take so long.

        Raises:
            EngineUnavailable
        """
        client: Any = getattr(self._threads, "client", None)
        if client is None:
            arguments = kwargs_from_env()
            if self._settings.docker_host is not None:
                arguments["base_url"] = self._settings.docker_host
            first = deadline_s or self._settings.docker_call_deadline_s
            with translated("open a connection"):
                client = DockerClient(version="auto", timeout=first, **arguments)  # type: ignore[arg-type]
            self._threads.client = client
            self._made.append(client)
        client.timeout = deadline_s or self._settings.docker_call_deadline_s
        return client

    def close(self) -> None:
        for client in self._made:
            client.close()
