"""The giver's own HTTP endpoint: what it is, whether it is well, metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from fastapi import FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

if TYPE_CHECKING:
    from giver.service import GiverService


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

    return app
