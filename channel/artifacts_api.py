"""Contents, over HTTP, by signed URLs: who may read or leave what is said by the URL itself.

GET answers with the bytes, from the first one asked for; HEAD says whether they are there; PUT
leaves them. 403: the URL is not for that, or has expired. 404: not there. 408: it came too
slowly. 422: what came is not what the URL names, or more than it allows.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, HTTPException, Path, Query, Request, Response
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from channel.artifacts import Artifact, ArtifactRefused, Artifacts, ArtifactUnknown, Upload
from runtime.signed_urls import NotAllowed, Right, check

PATIENCE_S = 60.0
LEAST_BYTES_PER_S = 16 << 10
"""An upload has one of a few places. It is for the next one when nothing comes for so long, or when
it was waited for as long and came more slowly than that on average."""
_RANGE = re.compile(r"bytes=(\d+)-(\d*)\Z")

Content = Annotated[str, Path(pattern=r"^[0-9a-f]{64}$", description="SHA-256 of the content.")]
Token = Annotated[str, Query(description="Part of every URL that the seeker hands out.")]


def artifacts_router(artifacts: Artifacts, key: str | None) -> APIRouter:
    """`key`: that the URLs are signed with; `None`: there are none, all requests are refused."""
    router = APIRouter(prefix="/artifacts")

    def right(action: str, token: str) -> Right:
        if key is None:
            raise HTTPException(
                503, "this channel keeps no files: set CHANNEL_ARTIFACTS_KEY, as for the seeker"
            )
        try:
            found = check(key, token)
        except NotAllowed as error:
            raise HTTPException(403, str(error)) from error
        if found.action != action:
            raise HTTPException(403, f"the URL is for another use: to {found.action}")
        return found

    @router.get("/{sha256}", response_class=StreamingResponse)
    async def content(sha256: Content, token: Token, request: Request) -> StreamingResponse:
        if right("read", token).subject != sha256:
            raise HTTPException(403, "the URL is for another content")
        found = await _open(artifacts, sha256)
        size = found.size
        first, last, partial = 0, size - 1, False
        wanted = _RANGE.match(request.headers.get("range", ""))
        if wanted is not None:
            first, partial = int(wanted[1]), True
            last = min(last, int(wanted[2])) if wanted[2] else last
            if first > last:
                raise HTTPException(416, f"there are {size} bytes")
        headers = {
            "Accept-Ranges": "bytes",
            "Content-Length": str(last - first + 1),
            "ETag": f'"{sha256}"',
        }
        if partial:
            headers["Content-Range"] = f"bytes {first}-{last}/{size}"
        return StreamingResponse(
            found.chunks(first, last),
            206 if partial else 200,
            headers,
            media_type="application/octet-stream",
        )

    @router.head("/{sha256}")
    async def exists(sha256: Content, token: Token) -> Response:
        right("write", token)
        await _open(artifacts, sha256)
        return Response()

    @router.put("/{sha256}", status_code=204)
    async def leave(sha256: Content, token: Token, request: Request) -> None:
        granted = right("write", token)
        upload = Upload(sha256, granted.subject, granted.most_bytes)
        try:
            await artifacts.keep(upload, _pieces(request))
        except ArtifactRefused as error:
            raise HTTPException(422, str(error)) from error
        except TimeoutError as error:
            raise HTTPException(408, "the content comes too slowly: send it again") from error
        except ClientDisconnect as error:
            raise HTTPException(400, "the connection ended before the content did") from error

    return router


async def _open(artifacts: Artifacts, sha256: str) -> Artifact:
    try:
        return await artifacts.open(sha256)
    except ArtifactUnknown as error:
        raise HTTPException(404, str(error)) from error


async def _pieces(request: Request) -> AsyncIterator[bytes]:
    """
    Raises:
        ClientDisconnect: whoever sends is gone.
        TimeoutError: they seem to be, or are far too slow.
    """
    loop, stream = asyncio.get_running_loop(), request.stream()
    waited_s, came = 0.0, 0
    while True:
        began = loop.time()
        async with asyncio.timeout(PATIENCE_S):
            piece = await anext(stream, None)
        if piece is None:
            return
        waited_s += loop.time() - began
        came += len(piece)
        if waited_s > PATIENCE_S and came < waited_s * LEAST_BYTES_PER_S:
            raise TimeoutError
        if piece:
            yield piece
