"""The health of a dataset: ranked findings with what to do, then everything that they rest on."""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import BeforeValidator
from sqlalchemy.orm import Session
from starlette.responses import Response

from app.deps import DatasetDep, IdentityDep, SessionDep
from app.pages import health_figures
from app.pages.health_figures import Bar, Histogram
from app.pages.jobs import Status, status_of
from app.pages.render import Script, none_if_empty, render
from app.services import datasets, job_feed
from app.services.datasets import health
from app.services.datasets.health import Health, Shown
from models import Dataset, DatasetVersion

router = APIRouter(prefix="/datasets/{dataset_id}", include_in_schema=False)
EXAMPLES = 12
SEVERITIES = {"serious": ("circle-x", "Serious"), "warning": ("triangle-alert", "Warning"), "note": ("info", "Note")}
Number = Annotated[int | None, Query(ge=1, le=10**9), BeforeValidator(none_if_empty)]


@dataclass(frozen=True)
class Told:
    """A finding as it is shown. examples: some of its images; may_exclude: whether they can be left out from here."""

    finding: dict[str, Any]
    icon: str
    word: str
    examples: Shown
    may_exclude: bool

    @property
    def num_listed(self) -> int:
        return len(self.finding["image_ids"])


@dataclass(frozen=True)
class HealthPage:
    """status: of the newest check; measured: what the last check that ended found, None if none has."""

    dataset: Dataset
    version: DatasetVersion
    health: Health
    status: Status | None
    last_event: int
    told: list[Told]
    measured: dict[str, Any] | None
    histograms: list[Histogram]
    bars: list[Bar]
    script: Script

    @property
    def is_current(self) -> bool:
        return self.version.number == self.dataset.current_number

    @property
    def is_running(self) -> bool:
        return self.status is not None and not self.status.job.is_finished

    @property
    def num_by_severity(self) -> dict[str, int]:
        """Only those that there are, the worst first."""
        words = [told.finding["severity"] for told in self.told]
        return {severity: words.count(severity) for severity in SEVERITIES if severity in words}


@router.get("/health")
def show(request: Request, dataset: DatasetDep, session: SessionDep, version: Number = None) -> Response:
    if not datasets.versions(session, dataset):
        return RedirectResponse(f"/datasets/{dataset.id}", 303)
    row = datasets.version_of(session, dataset, version)
    found, measured = health.of(session, row), row.health
    page = HealthPage(
        dataset=dataset,
        version=row,
        health=found,
        status=status_of(session, found.check) if found.check else None,
        last_event=job_feed.last_event_number(session, found.check.id) if found.check else 0,
        told=[_told(session, dataset, row, finding) for finding in found.findings],
        measured=measured,
        histograms=health_figures.histograms(measured["classes"]) if measured else [],
        bars=health_figures.bars(measured["baselines"]) if measured else [],
        script=_script(dataset),
    )
    return render(request, "datasets/health.html", page)


def _told(session: Session, dataset: Dataset, version: DatasetVersion, finding: dict[str, Any]) -> Told:
    icon, word = SEVERITIES[finding["severity"]]
    may_exclude = finding["kind"] in health.QUALITY and version.number == dataset.current_number
    return Told(finding, icon, word, health.images(session, version, finding["image_ids"][:EXAMPLES]), may_exclude)


@router.post("/health/check")
def check(dataset: DatasetDep, session: SessionDep, who: IdentityDep, version: Number = None) -> Response:
    health.check(session, who, datasets.version_of(session, dataset, version))
    return RedirectResponse(f"/datasets/{dataset.id}/health" + (f"?version={version}" if version else ""), 303)


def _script(dataset: Dataset) -> Script:
    return Script(
        client=(
            f'data = studio.datasets.get("{dataset.name}")\nprint(data.health)\n'
            'for finding in data.health["findings"]:\n    print(finding["severity"], finding["title"], finding["action"])'
        ),
        curl=f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" "$PHANTOM_URL/api/v1/datasets/{dataset.id}/health"',
    )
