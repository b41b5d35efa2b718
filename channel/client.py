"""Asking a running channel over REST."""

from __future__ import annotations

from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import httpx

from runtime.command_line import Unreachable, UserError
from runtime.urls import redact

TIMEOUT_S = 10.0

PAGE = 500


class ChannelClient:
    """One HTTP client, used as a context manager. Answers are the JSON documents of the API."""

    def __init__(self, url: str) -> None:
        self._url = redact(url)
        try:
            self._http = httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S)
        except (httpx.InvalidURL, ValueError) as error:
            raise UserError(f"CHANNEL_URL={self._url!r} is no URL: {error}") from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._http.aclose()

    async def results(self, listed_by: str, value: str, limit: int | None) -> list[dict[str, Any]]:
        """Oldest first, from all pages.

        Args:
            listed_by: `tasks`, `jobs` or `givers`.
            limit: how many at the most; `None`: all.
        """
        found: list[dict[str, Any]] = []
        size = PAGE if limit is None else min(limit, PAGE)
        url: str | None = f"/v1/{listed_by}/{quote(value, safe='')}/results?limit={size}"
        while url is not None and (limit is None or len(found) < limit):
            response = await self._get(url)
            found += response.json()
            url = response.links.get("next", {}).get("url")
        return found[:limit]

    async def result(self, result_id: str) -> dict[str, Any] | None:
        """`None`: not stored."""
        response = await self._get(f"/v1/results/{quote(result_id, safe='')}")
        if response.status_code == httpx.codes.NOT_FOUND:
            return None
        document: dict[str, Any] = response.json()
        return document

    async def givers(self) -> list[dict[str, Any]]:
        response = await self._get("/v1/givers")
        found: list[dict[str, Any]] = response.json()
        return found

    async def _get(self, url: str) -> httpx.Response:
        """
        Raises:
            Unreachable: no answer, or the service has no database.
            UserError: the service does not understand the question.
        """
        try:
            response = await self._http.get(url)
        except (httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise UserError(
                f"CHANNEL_URL={self._url!r} does not fit ({error}): give it as http://host:8700"
            ) from error
        except httpx.HTTPError as error:
            raise Unreachable(
                f"no channel answers at {self._url} ({error or type(error).__name__}): start it "
                "with `channel serve` or `make up`, or set CHANNEL_URL to where it is"
            ) from error
        if response.status_code == httpx.codes.UNPROCESSABLE_ENTITY:
            raise UserError(_detail(response))
        if response.status_code >= httpx.codes.INTERNAL_SERVER_ERROR:
            raise Unreachable(
                f"the channel at {self._url} cannot answer ({response.status_code}): "
                f"{_detail(response)}"
            )
        return response


def _detail(response: httpx.Response) -> str:
    try:
        return str(response.json()["detail"])
    except (ValueError, KeyError, TypeError):
        return response.text[:500]
