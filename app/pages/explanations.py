"""Explanations: where a classifier looked, image by image.

The overlay is drawn in the browser from the segment map and the weights, which come from /regions as JSON:
a canvas reads a 16-bit PNG as 8 bit, so the stored map itself would be of no use to it.
"""

from dataclasses import dataclass

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.orm import Session

from app.core.images import read_segments
from app.deps import ExplanationDep, IdentityDep, SessionDep, StorageDep
from app.pages import charts
from app.pages.render import Script, render
from app.pages.results import Link, Setting, settings_of
from app.pages.segments import describe_regions, to_runs
from app.services import explanations, jobs
from app.services.explanations import Spread
from app.services.identity import Identity
from app.services.paging import MAX_LIMIT, Page
from models import Classifier, Explanation, ExplanationItem

router = APIRouter(prefix="/explanations", include_in_schema=False)
SUMMARY = {
    "deletion_auc": ("Deletion area", "small is good"),
    "insertion_auc": ("Insertion area", "large is good"),
    "overlap": ("Overlap over seeds", "1 is the same regions"),
    "correlation": ("Correlation over seeds", "1 is the same weights"),
}


@dataclass(frozen=True)
class ListPage:
    explanations: Page[Explanation]
    classifiers: dict[int, Classifier]
    covers: dict[int, list[ExplanationItem]]
    script: Script


@dataclass(frozen=True)
class Group:
    """Items with one true and one predicted class; is_right is None where the true class is not known."""

    title: str
    is_right: bool | None
    items: list[ExplanationItem]


@dataclass(frozen=True)
class ClassChoice:
    label: int
    name: str
    probability: float


@dataclass(frozen=True)
class Focus:
    """The image that is looked at closely; curves: None where they were not measured."""

    item: ExplanationItem
    curves: charts.Faithfulness | None
    name: str
    number: int
    choices: list[ClassChoice]
    num_regions: int
    top_k: int
    previous_url: str | None
    next_url: str | None


@dataclass(frozen=True)
class SummaryRow:
    """A figure over all images; spread: None where it was measured for none of them."""

    name: str
    good: str
    spread: Spread | None


@dataclass(frozen=True)
class ShowPage:
    explanation: Explanation
    classifier: Classifier
    made_from: list[Link]
    focus: Focus | None
    summary: list[SummaryRow]
    groups: list[Group]
    names: dict[int, str]
    settings: list[Setting]
    script: Script


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep, cursor: str | None = None) -> Response:
    rows = explanations.listing(session, who, cursor=cursor)
    page = ListPage(
        explanations=rows,
        classifiers={row.id: explanations.classifier_of(session, row) for row in rows.items},
        covers={row.id: explanations.items(session, row, limit=5).items for row in rows.items},
        script=Script(
            client="for explanation in studio.explanations.list():\n    print(explanation.id, explanation.num_images)",
            curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/explanations',
        ),
    )
    return render(request, "explanations/index.html", page)


@router.get("/{explanation_id}")
def show(
    request: Request, explanation: ExplanationDep, session: SessionDep, who: IdentityDep, item: int | None = None
) -> Response:
    items = _all_items(session, explanation)
    names = explanations.names(session, items)
    page = ShowPage(
        explanation=explanation,
        classifier=explanations.classifier_of(session, explanation),
        made_from=_made_from(session, who, explanation),
        focus=_focus(session, explanation, items, names, item),
        summary=_summary(session, explanation),
        groups=_groups(explanation.classes, items),
        names=names,
        settings=settings_of(
            explanation.spec, leave_out=frozenset({"kind", "classifier_id", "image_ids", "uploaded_image_ids"})
        ),
        script=_script(explanation),
    )
    return render(request, "explanations/show.html", page)


@router.get("/{explanation_id}/regions/{item_id}")
def show_regions(explanation: ExplanationDep, item_id: int, session: SessionDep, storage: StorageDep) -> Response:
    """The segment of every pixel and the weights of every class, as JSON."""
    item = explanations.item(session, explanation, item_id)
    segments = read_segments(storage.read(item.segments_sha256))
    content = {
        "width": item.width,
        "height": item.height,
        "runs": to_runs(segments),
        "regions": describe_regions(segments),
        "classes": [
            {**entry, "name": explanation.classes[entry["label"]], "deviations": _deviations(item, entry["label"])}
            for entry in item.weights["classes"]
        ],
    }
    return JSONResponse(content, headers={"Cache-Control": "private, max-age=86400"})


def _deviations(item: ExplanationItem, label: int) -> list[float] | None:
    """The standard deviation of each segment's weight over the seeds, where it was measured for this class."""
    return item.stability["deviations"] if item.stability and item.stability["label"] == label else None


@router.post("/{explanation_id}/delete")
def delete(explanation: ExplanationDep, session: SessionDep, who: IdentityDep) -> Response:
    explanations.delete(session, who, explanation)
    return RedirectResponse("/explanations", status_code=303)


def _all_items(session: Session, explanation: Explanation) -> list[ExplanationItem]:
    """All items; an explanation has at most 1,000, which the spec sees to."""
    items: list[ExplanationItem] = []
    cursor: str | None = None
    while True:
        found = explanations.items(session, explanation, cursor=cursor, limit=MAX_LIMIT)
        items += found.items
        cursor = found.next_cursor
        if cursor is None:
            return items


def _focus(
    session: Session, explanation: Explanation, items: list[ExplanationItem], names: dict[int, str], item_id: int | None
) -> Focus | None:
    if not items:
        return None
    item = explanations.item(session, explanation, item_id) if item_id is not None else items[0]
    at = [other.id for other in items].index(item.id)
    here = f"/explanations/{explanation.id}?item="
    num_regions = max(len(entry["weights"]) for entry in item.weights["classes"])
    return Focus(
        item=item,
        curves=charts.faithfulness(item.faithfulness, explanation.classes[item.predicted])
        if item.faithfulness
        else None,
        name=names[item.id],
        number=at + 1,
        choices=_choices(explanation.classes, item),
        num_regions=num_regions,
        top_k=min(explanation.spec.get("top_k", 5), num_regions),
        previous_url=f"{here}{items[at - 1].id}" if at else None,
        next_url=f"{here}{items[at + 1].id}" if at + 1 < len(items) else None,
    )


def _summary(session: Session, explanation: Explanation) -> list[SummaryRow]:
    found = explanations.summaries(session, [explanation])[explanation.id]
    return [SummaryRow(title, good, getattr(found, name)) for name, (title, good) in SUMMARY.items()]


def _choices(classes: list[str], item: ExplanationItem) -> list[ClassChoice]:
    """The explained classes, likeliest first."""
    labels = [entry["label"] for entry in item.weights["classes"]]
    choices = [ClassChoice(label, classes[label], float(item.probabilities[label])) for label in labels]
    return sorted(choices, key=lambda choice: -choice.probability)


def _groups(classes: list[str], items: list[ExplanationItem]) -> list[Group]:
    """Mistakes first, then what was right, then what has no true class."""
    cells: dict[tuple[int | None, int], list[ExplanationItem]] = {}
    for item in items:
        cells.setdefault((item.label, item.predicted), []).append(item)
    groups = [_group(classes, label, predicted, members) for (label, predicted), members in cells.items()]
    order = {False: 0, True: 1, None: 2}
    return sorted(groups, key=lambda group: (order[group.is_right], group.title))


def _group(classes: list[str], label: int | None, predicted: int, members: list[ExplanationItem]) -> Group:
    if label is None:
        return Group(f"Predicted {classes[predicted]}, true class not known", None, members)
    if label == predicted:
        return Group(f"Right: {classes[label]}", True, members)
    return Group(f"Wrong: {classes[label]} taken for {classes[predicted]}", False, members)


def _made_from(session: Session, who: Identity, explanation: Explanation) -> list[Link]:
    classifier = explanations.classifier_of(session, explanation)
    job = jobs.get(session, who, explanation.job_id)
    return [
        Link("Classifier", classifier.name, f"/classifiers/{classifier.id}"),
        Link("Job", f"{job.id}, {job.title}", f"/jobs/{job.id}"),
    ]


def _script(explanation: Explanation) -> Script:
    return Script(
        client=(
            f"explanation = studio.explanations.get({explanation.id})\n"
            "print(explanation.deletion_auc, explanation.insertion_auc)\n"
            'explanation.download("lime/")'
        ),
        curl=(
            'curl -OJ -H "Authorization: Bearer $PHANTOM_TOKEN" \\\n'
            f"  $PHANTOM_URL/api/v1/explanations/{explanation.id}/download"
        ),
    )
