"""Files over a real connection that breaks off, lies, or has expired."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from runtime.http import HttpServer
from runtime.transfers import DataError, Transfers

CONTENT = bytes(range(256)) * 8192
SHA256 = hashlib.sha256(CONTENT).hexdigest()


class Files:
    """What the channel is to a transfer."""

    def __init__(self) -> None:
        self.url = ""
        self.asked: list[str] = []
        self.kept: dict[str, bytes] = {}
        self.cuts = 0
        """So often a transfer breaks off in the middle."""
        self.resumes = True
        self.content = CONTENT

    async def get(self, request: Request) -> Response:
        wanted = request.headers.get("range", "")
        self.asked.append(wanted)
        first = int(wanted.removeprefix("bytes=").rstrip("-") or 0) if self.resumes else 0
        body = self.content[first:]
        status = 206 if first else 200
        if self.cuts == 0:
            return Response(body, status)
        self.cuts -= 1

        async def broken() -> AsyncIterator[bytes]:
            yield body[: len(body) // 2]
            await asyncio.sleep(0.05)  # Or nothing of it is seen.
            raise ConnectionError

        return StreamingResponse(broken(), status, {"Content-Length": str(len(body))})

    async def head(self, request: Request) -> Response:
        return Response(status_code=200 if request.path_params["sha256"] in self.kept else 404)

    async def put(self, request: Request) -> Response:
        if self.cuts > 0:
            self.cuts -= 1
            return Response("busy", 503)
        self.kept[request.path_params["sha256"]] = await request.body()
        return Response(status_code=204)


@pytest.fixture
async def files() -> AsyncIterator[Files]:
    made = Files()
    routes = [
        Route("/{sha256}", made.head, methods=["HEAD"]),
        Route("/{sha256}", made.get, methods=["GET"]),
        Route("/{sha256}", made.put, methods=["PUT"]),
    ]
    server = HttpServer(Starlette(routes=routes), "127.0.0.1", 0, "NONE")
    await server.start()
    made.url = f"http://127.0.0.1:{server.port}"
    yield made
    await server.stop()


@pytest.fixture
async def transfers() -> AsyncIterator[Transfers]:
    made = Transfers(inactivity_s=5, patience_s=20)
    yield made
    await made.close()


async def test_what_breaks_off_goes_on_where_it_stopped(
    files: Files, transfers: Transfers, tmp_path: Path
) -> None:
    files.cuts = 2
    target = tmp_path / "file"
    await transfers.fetch(f"{files.url}/x", SHA256, len(CONTENT), target)
    assert target.read_bytes() == CONTENT
    assert files.asked[0] == ""
    assert all(wanted.startswith("bytes=") for wanted in files.asked[1:])


async def test_a_server_that_cannot_go_on_starts_over(
    files: Files, transfers: Transfers, tmp_path: Path
) -> None:
    files.resumes = False
    target = tmp_path / "file"
    target.write_bytes(CONTENT[:1000])
    await transfers.fetch(f"{files.url}/x", SHA256, len(CONTENT), target)
    assert target.read_bytes() == CONTENT


@pytest.mark.parametrize("content", [CONTENT[:-1] + b"x", CONTENT + b"x"])
async def test_another_content_is_refused_and_not_kept(
    files: Files, transfers: Transfers, tmp_path: Path, content: bytes
) -> None:
    files.content = content
    target = tmp_path / "file"
    with pytest.raises(DataError, match=SHA256):
        await transfers.fetch(f"{files.url}/x", SHA256, len(CONTENT), target)
    assert not target.exists()


async def test_a_file_is_sent_once_and_again_when_the_other_end_is_busy(
    files: Files, transfers: Transfers, tmp_path: Path
) -> None:
    source = tmp_path / "file"
    source.write_bytes(CONTENT)
    files.cuts = 1
    url = files.url + "/{sha256}?token=t"
    await transfers.leave(url, SHA256, len(CONTENT), source)
    assert files.kept == {SHA256: CONTENT}
    source.write_bytes(b"not sent: it is there already")
    await transfers.leave(url, SHA256, len(CONTENT), source)
    assert files.kept == {SHA256: CONTENT}


async def test_patience_ends(files: Files, tmp_path: Path) -> None:
    source = tmp_path / "file"
    source.write_bytes(b"x")
    files.cuts = 1000
    hurried = Transfers(inactivity_s=1, patience_s=0.2)
    with pytest.raises(DataError, match="answered 503: busy") as raised:
        await hurried.leave(files.url + "/{sha256}?token=secret", SHA256, 1, source)
    assert "secret" not in str(raised.value)
    await hurried.close()
