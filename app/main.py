"""The web application: create_app() puts settings, sessions, routers, static files and the error handler together.

Everything is closed by default: `authenticate` runs before every route (see app.deps.OPEN_ROUTES).
"""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from fastapi.staticfiles import StaticFiles
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Scope

from app import pages
from app.api import openapi, problems
from app.api import routers as api_routers
from app.core.config import Settings
from app.core.db import Database
from app.core.errors import StudioError
from app.core.queue import Doorbell, attach
from app.core.storage import make_storage
from app.core.sweeper import Sweeper
from app.deps import authenticate, identify
from app.pages.errors import error_page
from app.pages.render import STATIC
from app.security import Guard, RateLimit
from app.services.identity import Identity

MAX_BODY = 4_000_000  # bytes; routes that take files say so themselves
UPLOADS_A_MINUTE = 120
log = logging.getLogger(__name__)


class Studio(FastAPI):
    """FastAPI, with the guard around everything: Starlette answers what nobody caught outside all added middleware."""

    def build_middleware_stack(self) -> ASGIApp:
        return problems.PlainErrors(Guard(super().build_middleware_stack()))


def create_app(settings: Settings | None = None) -> FastAPI:
    """The application on `settings` (from the environment, if not given)."""
    app = Studio(
        title="Phantom Studio", version="1", lifespan=_lifespan, dependencies=[Depends(authenticate)],
        docs_url=None, redoc_url=None, openapi_url=None,
    )  # fmt: skip
    app.openapi = partial(openapi.document, app)  # type: ignore[method-assign]
    _give_state(app, settings or Settings())
    app.add_middleware(RequestBodyLimitMiddleware, max_body_size=MAX_BODY)
    for router in [health, *pages.routers, *api_routers]:
        app.include_router(router)
    app.mount("/static", VersionedFiles(directory=STATIC), name="static")
    for kind in (StudioError, HTTPException, RequestValidationError, Exception):
        app.add_exception_handler(kind, _show_error)
    app.add_exception_handler(ClientDisconnect, _nobody_listens)
    return app


def _give_state(app: FastAPI, settings: Settings) -> None:
    database = Database(settings.effective_database_url)
    app.state.settings = settings
    app.state.database = database
    app.state.storage = make_storage(settings)
    app.state.doorbell = Doorbell(settings)
    attach(database, app.state.doorbell)
    app.state.upload_limit = RateLimit(times=UPLOADS_A_MINUTE, within_s=60)
    app.state.summaries = {}  # of dataset versions, see app.pages.datasets
    app.state.sign_in_limit = RateLimit(times=10, within_s=60)


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    sweeper = Sweeper(app.state.database, app.state.doorbell, app.state.settings)
    sweeper.start()
    yield
    sweeper.stop()
    app.state.doorbell.close()
    app.state.database.dispose()


class VersionedFiles(StaticFiles):
    """Static files that a browser may keep for ever when asked for by content hash (?v=)."""

    async def get_response(self, path: str, scope: Scope) -> Response:
        response = await super().get_response(path, scope)
        named_by_content = b"v=" in scope["query_string"] and response.status_code == HTTPStatus.OK
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable" if named_by_content else "no-cache"
        return response


async def _show_error(request: Request, error: Exception) -> Response:
    """The one place where an error becomes a response: a problem below /api, a page elsewhere."""
    if not isinstance(error, (StudioError, HTTPException, RequestValidationError)):
        known_as = problems.request_id(request)
        log.error("Request %s, %s %s, failed", known_as, request.method, request.url.path, exc_info=error)
    if request.url.path.startswith("/api/"):
        return problems.problem_of(request, error)
    request.state.identity = await run_in_threadpool(_identity_for_error, request)
    return error_page(request, error)


def _nobody_listens(_: Request, __: Exception) -> Response:
    """The browser gave up on its request, as it does with an estimate that is out of date: no fault of ours."""
    return Response(status_code=HTTPStatus.BAD_REQUEST)


def _identity_for_error(request: Request) -> Identity | None:
    """Whose navigation the error page shows; no route was entered if the address is unknown."""
    known: Identity | None = getattr(request.state, "identity", None)
    try:
        return known or identify(request)
    except (StudioError, SQLAlchemyError):
        return None


health = APIRouter()


@health.get("/healthz", include_in_schema=False)
def healthz() -> dict[str, str]:
    """The process is alive."""
    return {"status": "alive"}


@health.get("/readyz", include_in_schema=False)
def readyz(request: Request) -> JSONResponse:
    """Whether the database answers. A broker that is down delays jobs and loses none, so it is only reported."""
    checks: dict[str, Any] = {
        "database": _answers(request.app.state.database),
        "broker": request.app.state.doorbell.answers(),
    }
    return JSONResponse(checks, HTTPStatus.OK if checks["database"] else HTTPStatus.SERVICE_UNAVAILABLE)


def _answers(database: Database) -> bool:
    try:
        with database.read() as session:
            return bool(session.scalar(text("SELECT 1")) == 1)
    except Exception:
        log.exception("The database does not answer.")
        return False
