"""/api/v1/datasets/{id}/health: what is known of the images of a version, and what to do about it."""

from typing import Annotated

from fastapi import APIRouter, Query

from app.api.schemas.health import HealthOut
from app.deps import DatasetDep, SessionDep
from app.services import datasets
from app.services.datasets import health

router = APIRouter(prefix="/api/v1/datasets/{dataset_id}", tags=["datasets"])


@router.get("/health")
def get_dataset_health(
    dataset: DatasetDep,
    session: SessionDep,
    version: Annotated[
        int | None, Query(ge=1, le=10**9, description="Number of the version; the current one if not given.")
    ] = None,
) -> HealthOut:
    """Get what was counted and measured of the images, and what it means: the worst first.

    A check follows every import and every new version; `POST /jobs` with `check_dataset` does another.
    """
    return HealthOut.of(health.of(session, datasets.version_of(session, dataset, version)))
