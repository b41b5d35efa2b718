"""The giver's own HTTP endpoint: what it is, whether it is well, metrics, and the owner's word.

Whoever tells it to do something must be on this host and show the token of the state folder.
"""

from __future__ import annotations

import time
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel, Field

from giver import control_token
from giver.owner import Asked, Word

if TYPE_CHECKING:
    from giver.service import GiverService


class Said(BaseModel):
    asked: Asked
    for_s: float | None = Field(default=None, gt=0, le=10 * 365 * 86400)


def create_app(service: GiverService) -> FastAPI:
    app = FastAPI(title="giver", docs_url=None, redoc_url=None)

    @app.get("/info")
    async def info() -> dict[str, Any]:
        return service.info()

    @app.get("/healthz")
    async def healthz(response: Response) -> dict[str, Any]:
        """503 with the reasons unless assignments can arrive and run."""
        troubles = service.troubles()
        if troubles:
            response.status_code = 503
        return {"ok": not troubles, "reasons": troubles}

    @app.get("/metrics")
    async def metrics() -> Response:
        return Response(generate_latest(service.measure()), media_type=CONTENT_TYPE_LATEST)

    async def owner_only(request: Request) -> None:
        if request.client is None or not ip_address(request.client.host).is_loopback:
            raise HTTPException(403, "only from the giver's own host")
        if not control_token.matches(service.control_token, request.headers.get("Authorization")):
            raise HTTPException(401, "the token of the giver's state folder is missing or wrong")

    @app.get("/status")
    async def status() -> dict[str, Any]:
        return service.standing()

    @app.get("/config", dependencies=[Depends(owner_only)])
    async def config() -> list[dict[str, Any]]:
        return service.config()

    @app.put("/word", dependencies=[Depends(owner_only)])
    async def say(said: Said) -> dict[str, Any]:
        """What the owner wants from now on."""
        until = None if said.for_s is None else time.time() + said.for_s
        word = Word(asked=said.asked, until=until)
        try:
            service.steward.say(word)
        except OSError as error:
            holds = service.steward.word == word
            told = "holds until the giver is restarted" if holds else "does not hold"
            raise HTTPException(507, f"it {told}, as it cannot be written down: {error}") from error
        return service.standing()

    return app
