"""The card of a dataset: a form for what only a person can say, and everything that is measured below it."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse
from pydantic import BeforeValidator
from starlette.responses import Response

from app.deps import DatasetDep, IdentityDep, SessionDep
from app.pages import health_figures
from app.pages.health_figures import Bar
from app.pages.render import Script, none_if_empty, render
from app.services import datasets
from app.services.datasets import cards
from app.services.datasets.cards import TITLES, Card
from models import Dataset, DatasetVersion
from models.specs.card import MAX_TEXT, CardText

router = APIRouter(prefix="/datasets/{dataset_id}", include_in_schema=False)
Number = Annotated[int | None, Query(ge=1, le=10**9), BeforeValidator(none_if_empty)]


@dataclass(frozen=True)
class CardField:
    name: str
    title: str
    help: str
    value: str


@dataclass(frozen=True)
class CardPage:
    dataset: Dataset
    version: DatasetVersion
    card: Card
    script: Script
    most: int = MAX_TEXT

    @property
    def fields(self) -> list[CardField]:
        return [
            CardField(name, TITLES[name], field.description or "", getattr(self.card.text, name))
            for name, field in CardText.model_fields.items()
        ]

    @property
    def not_stated(self) -> str:
        """Titles of the fields that nobody has filled in."""
        return ", ".join(TITLES[name] for name in self.card.not_stated)

    @property
    def bars(self) -> list[Bar]:
        return health_figures.bars(self.card.baselines) if self.card.baselines else []

    @property
    def query(self) -> str:
        """What names the version in an address, empty for the current one."""
        return "" if self.version.number == self.dataset.current_number else f"?version={self.version.number}"


@router.get("/card")
def show(request: Request, dataset: DatasetDep, session: SessionDep, version: Number = None) -> Response:
    if not datasets.versions(session, dataset):
        return RedirectResponse(f"/datasets/{dataset.id}", 303)
    row = datasets.version_of(session, dataset, version)
    return render(request, "datasets/card.html", CardPage(dataset, row, cards.of(session, row), _script(dataset)))


@router.post("/card")
def write(
    dataset: DatasetDep,
    session: SessionDep,
    who: IdentityDep,
    text: Annotated[CardText, Form()],
    version: Number = None,
) -> Response:
    row = datasets.version_of(session, dataset, version)
    cards.write(session, who, row, text)
    return RedirectResponse(f"/datasets/{dataset.id}/card" + (f"?version={version}" if version else ""), 303)


def _script(dataset: Dataset) -> Script:
    place = f"$PHANTOM_URL/api/v1/datasets/{dataset.id}"
    return Script(
        client=(
            f'data = studio.datasets.get("{dataset.name}")\ndata.describe(source="University hospital", licence="CC BY 4.0")\n'
            'print(data.card)\ndata.download_card("card/")                 # card.md, croissant.json, manifest.csv'
        ),
        curl="\n".join(
            f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" -O "{place}/{name}"'
            for name in ("card.md", "croissant.json", "manifest.csv")
        ),
    )
