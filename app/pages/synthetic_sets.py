"""Synthetic sets: a gallery in which every image knows its recipe and can be starred or rejected.

What is shown (class, mark) is in the address. Marks are posted by the script as the person works, and by plain
form buttons where there is no script: both go through one route.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Form, Query, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.deps import IdentityDep, SessionDep, SyntheticSetDep
from app.pages.gates import ShownGate, shown_gate
from app.pages.render import Script, render
from app.pages.results import Link, Setting, enlarged, page_url, settings_of
from app.services import audits, gates, jobs, synthetic_sets
from app.services.identity import Identity
from app.services.paging import Page
from models import Audit, Classifier, Mark, SyntheticImage, SyntheticSet

router = APIRouter(prefix="/synthetic-sets", include_in_schema=False)
TILES_A_PAGE = 120


@dataclass(frozen=True)
class ListPage:
    sets: Page[SyntheticSet]
    covers: dict[int, list[SyntheticImage]]
    script: Script


@dataclass(frozen=True)
class Tile:
    """A synthetic image and its recipe, as (what, value) rows."""

    image: SyntheticImage
    label: str
    recipe: list[tuple[str, Any]]


@dataclass(frozen=True)
class TilesPage:
    """What one more page of the gallery needs; width and height are those of the enlarged picture."""

    synthetic_set: SyntheticSet
    tiles: list[Tile]
    next_url: str | None
    width: int
    height: int


@dataclass(frozen=True)
class ShowPage(TilesPage):
    label: int | None
    mark: Mark | None
    marks: dict[Mark, int]
    made_from: list[Link]
    classifiers: list[Classifier]
    audit: Audit | None
    gate: ShownGate
    drawn_as: SyntheticSet | None
    settings: list[Setting]
    script: Script


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep, cursor: str | None = None) -> Response:
    sets = synthetic_sets.listing(session, who, cursor=cursor)
    covers = {row.id: _cover(session, row) for row in sets.items}
    script = Script(
        client="for synthetic in studio.synthetic_sets.list():\n    print(synthetic.id, synthetic.name, synthetic.counts)",
        curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/synthetic-sets',
    )
    return render(request, "synthetic_sets/index.html", ListPage(sets, covers, script))


def _cover(session: Session, synthetic_set: SyntheticSet) -> list[SyntheticImage]:
    """The first image of each class, of six classes at most."""
    labels = range(min(len(synthetic_set.classes), 6))
    firsts = [synthetic_sets.images(session, synthetic_set, label=label, limit=1).items for label in labels]
    return [images[0] for images in firsts if images]


@router.get("/{synthetic_set_id}")
def show(
    request: Request,
    synthetic_set: SyntheticSetDep,
    session: SessionDep,
    who: IdentityDep,
    label: Annotated[str, Query()] = "",
    mark: Annotated[str, Query()] = "",
    cursor: str | None = None,
) -> Response:
    chosen_label, chosen_mark = _label(synthetic_set, label), _mark(mark)
    tiles = _tiles(session, synthetic_set, label=chosen_label, mark=chosen_mark, cursor=cursor)
    if "hx-request" in request.headers:
        return render(request, "synthetic_sets/_tiles.html", TilesPage(**tiles))
    audit = audits.newest_of(session, synthetic_set)
    page = ShowPage(
        **tiles,
        label=chosen_label,
        mark=chosen_mark,
        marks=synthetic_sets.mark_counts(session, synthetic_set, label=chosen_label),
        made_from=_made_from(session, who, synthetic_set),
        classifiers=synthetic_sets.classifiers_of(session, synthetic_set),
        audit=audit,
        gate=shown_gate(gates.gate_of_set(session, synthetic_set)),
        drawn_as=synthetic_sets.drawn_as(session, synthetic_set),
        settings=settings_of(synthetic_set.spec),
        script=_script(synthetic_set),
    )
    return render(request, "synthetic_sets/show.html", page)


def _tiles(
    session: Session, synthetic_set: SyntheticSet, *, label: int | None, mark: Mark | None, cursor: str | None
) -> dict[str, Any]:
    """The fields of a TilesPage."""
    found = synthetic_sets.images(session, synthetic_set, label=label, mark=mark, cursor=cursor, limit=TILES_A_PAGE)
    here = f"/synthetic-sets/{synthetic_set.id}"
    width, height = enlarged(synthetic_set.image_size, synthetic_set.image_size)
    return {
        "synthetic_set": synthetic_set,
        "tiles": [_tile(synthetic_set, image) for image in found.items],
        "next_url": page_url(here, label=label, mark=mark, cursor=found.next_cursor) if found.next_cursor else None,
        "width": width,
        "height": height,
    }


def _tile(synthetic_set: SyntheticSet, image: SyntheticImage) -> Tile:
    recipe = synthetic_sets.recipe(synthetic_set, image)
    return Tile(image, recipe["class"], list(recipe.items()))


def _label(synthetic_set: SyntheticSet, given: str) -> int | None:
    """The class asked for by its number; None for all."""
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and int(given) < len(synthetic_set.classes)):
        raise BadInputError(
            f"label is {given[:40]!r}; use 0 to {len(synthetic_set.classes) - 1}, or leave it out for all classes."
        )
    return int(given)


def _mark(given: str) -> Mark | None:
    if given and given not in list(Mark):
        raise BadInputError(f"mark is {given[:40]!r}; use {', '.join(Mark)}, or leave it out for all images.")
    return Mark(given) if given else None


@router.post("/{synthetic_set_id}/marks")
def mark_images(
    request: Request,
    synthetic_set: SyntheticSetDep,
    session: SessionDep,
    image_ids: Annotated[Sequence[int], Form()] = (),
    mark: Annotated[Mark | None, Form()] = None,
    one: Annotated[str, Form()] = "",
    label: Annotated[str, Form()] = "",
    shown_mark: Annotated[str, Form()] = "",
) -> Response:
    """Mark the ticked images (`mark`), or a single one (`one`, as "starred:12"). The rest says what is being looked at."""
    if one:
        name, _, number = one.partition(":")
        mark, image_ids = _mark(name), [int(number)] if number.isascii() and number.isdigit() else []
    if mark is None or not image_ids:
        raise BadInputError(
            "No image was ticked, or no mark was named.", hint="Tick some images first, then star or reject them."
        )
    synthetic_sets.mark(session, synthetic_set, list(image_ids), mark)
    chosen_label = _label(synthetic_set, label)
    if "application/json" in request.headers.get("accept", ""):
        return JSONResponse(synthetic_sets.mark_counts(session, synthetic_set, label=chosen_label))
    here = page_url(f"/synthetic-sets/{synthetic_set.id}", label=chosen_label, mark=_mark(shown_mark))
    return RedirectResponse(here, status_code=303)


@router.post("/{synthetic_set_id}/rename")
def rename(synthetic_set: SyntheticSetDep, session: SessionDep, name: Annotated[str, Form()]) -> Response:
    synthetic_sets.rename(session, synthetic_set, name)
    return RedirectResponse(f"/synthetic-sets/{synthetic_set.id}", status_code=303)


@router.post("/{synthetic_set_id}/release")
def release(
    synthetic_set: SyntheticSetDep, session: SessionDep, who: IdentityDep, reason: Annotated[str, Form()] = ""
) -> Response:
    """Release it against its lights."""
    gates.release(session, who, synthetic_set, reason)
    return RedirectResponse(f"/synthetic-sets/{synthetic_set.id}#gate", status_code=303)


@router.post("/{synthetic_set_id}/withdraw-release")
def withdraw_release(synthetic_set: SyntheticSetDep, session: SessionDep, who: IdentityDep) -> Response:
    """Take the release back."""
    gates.withdraw(session, who, synthetic_set)
    return RedirectResponse(f"/synthetic-sets/{synthetic_set.id}#gate", status_code=303)


@router.post("/{synthetic_set_id}/delete")
def delete(synthetic_set: SyntheticSetDep, session: SessionDep, who: IdentityDep) -> Response:
    synthetic_sets.delete(session, who, synthetic_set)
    return RedirectResponse("/synthetic-sets", status_code=303)


def _made_from(session: Session, who: Identity, synthetic_set: SyntheticSet) -> list[Link]:
    links = []
    if dataset := synthetic_sets.dataset_of(session, synthetic_set):
        links.append(Link("Dataset", dataset.name, f"/datasets/{dataset.id}"))
    checkpoint = synthetic_sets.checkpoint_of(session, synthetic_set)
    job = jobs.get(session, who, synthetic_set.job_id)
    return [
        *links,
        Link("Checkpoint", checkpoint.name, f"/checkpoints/{checkpoint.id}"),
        Link("Job", f"{job.id}, {job.title}", f"/jobs/{job.id}"),
    ]


def _script(synthetic_set: SyntheticSet) -> Script:
    return Script(
        client=(
            f"synthetic = studio.synthetic_sets.get({synthetic_set.id})\n"
            "print(synthetic.gate)               # releasable, or what stops it\n"
            'synthetic.download("out/")          # class folders + metadata.jsonl + card + gate.json\n'
            "classifier = studio.train_classifier(synthetic, epochs=6, seed=0).wait()"
        ),
        curl=(
            'curl -OJ -H "Authorization: Bearer $PHANTOM_TOKEN" \\\n'
            f"  $PHANTOM_URL/api/v1/synthetic-sets/{synthetic_set.id}/download"
        ),
    )
