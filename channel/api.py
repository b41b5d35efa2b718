"""Results and registrations, over HTTP.

Lists are JSON arrays in the order of storing; where there is more, a `Link` header with
`rel="next"` names the following page. The list of a task, job or giver that the channel never heard
of is empty and not an error: only the seeker knows what exists. A single result that is not stored
is 404.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from fastapi import APIRouter, FastAPI, HTTPException, Query, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest
from pydantic import BaseModel

from broker import Link
from channel.documents import KeptResult, Registration
from channel.metrics import Metrics
from channel.store import CursorUnknown, ListedBy, Order, Store, StoreUnavailable
from schemas.identifiers import GiverId, JobId, ResultId, TaskId

PAGE_DEFAULT = 100
PAGE_MAX = 1000


class Paging(BaseModel):
    """Which part of a list is wanted."""

    limit: int = Query(PAGE_DEFAULT, ge=1, le=PAGE_MAX, description="Results on one page.")
    after: ResultId | None = Query(
        None, description="Go on after this result, the last one of the page before."
    )
    order: Order = Query("oldest", description="Which comes first.")


class Health(BaseModel):
    """`ok`, or for each part why it is not."""

    status: str
    mongodb: str
    broker: str


def create_app(
    store: Store, artifacts: APIRouter, links: Sequence[Link], metrics: Metrics
) -> FastAPI:
    app = FastAPI(title="channel", description=__doc__)
    app.include_router(_lookups(store), prefix="/v1")
    app.include_router(artifacts, prefix="/v1")
    app.include_router(_operations(store, links, metrics))

    @app.exception_handler(StoreUnavailable)
    async def unavailable(_: Request, error: StoreUnavailable) -> JSONResponse:
        return JSONResponse({"detail": str(error)}, status_code=503)

    @app.exception_handler(RequestValidationError)
    async def wrong_use(_: Request, error: RequestValidationError) -> JSONResponse:
        detail = "; ".join(
            f"{problem['loc'][-1]}: {problem['msg']} (got {problem['input']!r})"
            for problem in error.errors()
        )
        return JSONResponse({"detail": detail}, status_code=422)

    return app


def _lookups(store: Store) -> APIRouter:
    router = APIRouter()

    async def listed(
        field: ListedBy, value: str, paging: Paging, request: Request, response: Response
    ) -> list[KeptResult]:
        try:
            page = await store.page(
                field, value, limit=paging.limit, after=paging.after, order=paging.order
            )
        except CursorUnknown as error:
            raise HTTPException(422, str(error)) from error
        if page.next is not None:
            following = request.url.include_query_params(after=page.next)
            response.headers["Link"] = f'<{following}>; rel="next"'
        return page.results

    @router.get("/tasks/{task_id}/results")
    async def results_of_task(
        task_id: TaskId, paging: Annotated[Paging, Query()], request: Request, response: Response
    ) -> list[KeptResult]:
        """All answers to one task, from every giver that tried it."""
        return await listed("task_id", task_id, paging, request, response)

    @router.get("/jobs/{job_id}/results")
    async def results_of_job(
        job_id: JobId, paging: Annotated[Paging, Query()], request: Request, response: Response
    ) -> list[KeptResult]:
        return await listed("job_id", job_id, paging, request, response)

    @router.get("/givers/{giver_id}/results")
    async def results_of_giver(
        giver_id: GiverId, paging: Annotated[Paging, Query()], request: Request, response: Response
    ) -> list[KeptResult]:
        return await listed("giver_id", giver_id, paging, request, response)

    @router.get("/results/{result_id}")
    async def result(result_id: ResultId) -> KeptResult:
        found = await store.result(result_id)
        if found is None:
            raise HTTPException(404, f"no result {result_id!r} is stored")
        return found

    @router.get("/givers")
    async def givers() -> list[Registration]:
        """Every giver ever heard, by id."""
        return await store.givers()

    return router


def _operations(store: Store, links: Sequence[Link], metrics: Metrics) -> APIRouter:
    router = APIRouter()

    @router.get("/healthz", responses={503: {"model": Health}})
    async def healthz(response: Response) -> Health:
        """200 while results can be stored and told of, else 503."""
        try:
            await store.ping()
            mongodb = "ok"
        except StoreUnavailable as error:
            mongodb = str(error)
        if not all(link.connected for link in links):
            broker = "not connected"
        elif any(link.blocked for link in links):
            broker = "takes no messages: it is short of memory or disk"
        else:
            broker = "ok"
        healthy = mongodb == broker == "ok"
        response.status_code = 200 if healthy else 503
        return Health(status="ok" if healthy else "unavailable", mongodb=mongodb, broker=broker)

    @router.get("/metrics", include_in_schema=False)
    async def exposition() -> Response:
        return Response(generate_latest(metrics.registry), media_type=CONTENT_TYPE_LATEST)

    return router
