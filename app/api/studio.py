"""/api/v1/workers and /api/v1/system: what the studio runs on; and the OpenAPI document itself."""

from typing import Any

from fastapi import APIRouter, Request
from fastapi.responses import JSONResponse
from pydantic import Field

from app.api.openapi import API_VERSION, document
from app.api.schemas.base import Out
from app.api.schemas.jobs import WorkerOut, WorkersOut
from app.deps import IdentityDep, SessionDep, SettingsDep
from app.services import home, jobs
from models import JobState
from models.specs import DEFAULT_SIZES, diffusion_preset

router = APIRouter(prefix="/api/v1", tags=["studio"])


class SystemOut(Out):
    """The studio in figures."""

    version: str
    user: str
    scopes: list[str]
    jobs: dict[JobState, int] = Field(description="Jobs by state.")
    disk_total: int = Field(description="Bytes of the disk that holds the data folder.")
    disk_free: int
    max_upload_bytes: int
    max_unpacked_bytes: int
    max_files: int


class PresetOut(Out):
    """What a preset of diffusion training fills in at one resolution."""

    preset: str
    options: dict[str, Any]


class PresetsOut(Out):
    items: list[PresetOut]


@router.get("/workers")
def list_workers(session: SessionDep) -> WorkersOut:
    """List the worker processes that are alive, with their devices."""
    return WorkersOut(items=[WorkerOut.of(worker) for worker in jobs.workers(session)])


@router.get("/system")
def get_system(who: IdentityDep, session: SessionDep, settings: SettingsDep) -> SystemOut:
    """Get the studio's version, room on its disk, its limits, and who you are to it."""
    disk = home.disk(settings)
    return SystemOut(
        version=API_VERSION, user=who.name, scopes=sorted(who.scopes),
        jobs=jobs.counts_by_state(session, who), disk_total=disk.total, disk_free=disk.free,
        max_upload_bytes=int(settings.max_upload_gb * 1e9), max_unpacked_bytes=int(settings.max_unpacked_gb * 1e9),
        max_files=settings.max_files,
    )  # fmt: skip


@router.get("/presets")
def list_presets() -> PresetsOut:
    """List the presets of diffusion training at the resolutions that they are made for."""
    return PresetsOut(items=[PresetOut(preset=name, options=diffusion_preset(name)) for name in DEFAULT_SIZES])


@router.get("/openapi.json", include_in_schema=False)
def get_openapi(request: Request) -> JSONResponse:
    """The OpenAPI document of this API."""
    return JSONResponse(document(request.app))
