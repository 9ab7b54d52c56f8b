"""/api/v1/datasets/{id}/card: what a person says of a dataset and what is measured, also as Markdown and Croissant."""

from typing import Annotated

from fastapi import APIRouter, Query, Response
from fastapi.responses import JSONResponse

from app.api.lists import attachment, is_text
from app.api.schemas.cards import CardIn, CardOut
from app.deps import DatasetDep, IdentityDep, SessionDep
from app.services import datasets
from app.services.datasets import cards
from app.services.datasets.card_markdown import markdown
from app.services.datasets.croissant import MANIFEST, croissant, manifest_csv

router = APIRouter(prefix="/api/v1/datasets/{dataset_id}", tags=["datasets"])
VersionNumber = Annotated[
    int | None,
    Query(ge=1, le=10**9, alias="version", description="Number of the version; the current one if not given."),
]
JSON_LD = "application/ld+json"


@router.get("/card")
def get_card(dataset: DatasetDep, session: SessionDep, version: VersionNumber = None) -> CardOut:
    """Get the card of a version."""
    return CardOut.of(cards.of(session, datasets.version_of(session, dataset, version)))


@router.put("/card")
def write_card(
    dataset: DatasetDep, card: CardIn, who: IdentityDep, session: SessionDep, version: VersionNumber = None
) -> CardOut:
    """Write the text of the card. It makes no new version; versions made from this one take it over."""
    row = datasets.version_of(session, dataset, version)
    cards.write(session, who, row, card.text())
    return CardOut.of(cards.of(session, row))


@router.get("/card.md", response_class=Response, responses=is_text("text/markdown"))
def get_card_markdown(dataset: DatasetDep, session: SessionDep, version: VersionNumber = None) -> Response:
    """Download the card as Markdown."""
    card = cards.of(session, datasets.version_of(session, dataset, version))
    return Response(
        markdown(card), media_type="text/markdown",
        headers={"Content-Disposition": attachment(f"{dataset.name}-v{card.version.number}.md")},
    )  # fmt: skip


@router.get(
    "/croissant.json", response_class=Response, responses={200: {"content": {JSON_LD: {"schema": {"type": "object"}}}}}
)
def get_croissant(dataset: DatasetDep, session: SessionDep, version: VersionNumber = None) -> JSONResponse:
    """Download the card as Croissant (MLCommons); it describes manifest.csv, which is to lie beside it."""
    document = croissant(session, cards.of(session, datasets.version_of(session, dataset, version)))
    return JSONResponse(document, media_type=JSON_LD, headers={"Content-Disposition": attachment("croissant.json")})


@router.get("/manifest.csv", response_class=Response, responses=is_text("text/csv"))
def get_manifest(dataset: DatasetDep, session: SessionDep, version: VersionNumber = None) -> Response:
    """Download the list of a version's images, without their pixels: path, class, split, patient, size, hash."""
    content = manifest_csv(session, datasets.version_of(session, dataset, version))
    headers = {"Content-Disposition": attachment(MANIFEST)}
    return Response(content, media_type="text/csv", headers=headers)
