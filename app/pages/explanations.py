"""Explanations: where a classifier looked, image by image, and the form that asks for it.

The overlay is drawn in the browser from the segment map and the weights, which come from /regions as JSON:
a canvas reads a 16-bit PNG as 8 bit, so the stored map itself would be of no use to it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from fastapi.responses import JSONResponse, RedirectResponse
from sqlalchemy.orm import Session

from app.deps import DatabaseDep, ExplanationDep, IdentityDep, SessionDep, StorageDep
from app.pages.forms import Field, Given, make_form, parse
from app.pages.render import Script, render
from app.pages.results import Link, Setting, enlarged, settings_of
from app.pages.segments import describe_regions, read_segments, to_runs
from app.services import classifiers, datasets, evaluations, explanations, jobs, uploaded_images
from app.services.identity import Identity
from app.services.paging import MAX_LIMIT, Page
from models import Classifier, Explanation, ExplanationItem, Image, JobKind

router = APIRouter(prefix="/explanations", include_in_schema=False)
IMAGES_OFFERED = 60
MAX_UPLOAD_BYTES = 256_000_000
FORM_OPTIONS = ("num_samples", "num_segments", "seed", "hide")


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
    """The image that is looked at closely."""

    item: ExplanationItem
    name: str
    number: int
    choices: list[ClassChoice]
    num_regions: int
    top_k: int
    previous_url: str | None
    next_url: str | None


@dataclass(frozen=True)
class ShowPage:
    explanation: Explanation
    classifier: Classifier
    made_from: list[Link]
    focus: Focus | None
    groups: list[Group]
    names: dict[int, str]
    settings: list[Setting]
    script: Script


@dataclass(frozen=True)
class Candidate:
    image: Image
    label: str
    note: str
    width: int
    height: int
    is_chosen: bool


@dataclass(frozen=True)
class ChoosePage:
    """Which classifier shall be explained?"""

    classifiers: list[Classifier]
    script: Script


@dataclass(frozen=True)
class NewPage:
    """offered: images to tick; source: what they are; errors: what is wrong and belongs to no field."""

    classifier: Classifier
    source: str
    offered: list[Candidate]
    fields: list[Field]
    errors: list[str]
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


@router.get("/new")
def show_form(
    request: Request,
    session: SessionDep,
    who: IdentityDep,
    classifier_id: int | None = None,
    evaluation_id: int | None = None,
    label: int | None = None,
    predicted: int | None = None,
    image_ids: Annotated[Sequence[int], Query()] = (),
) -> Response:
    """The images offered are those of an evaluation's cell, else of the classifier's test split."""
    if evaluation_id is not None:
        evaluation = evaluations.get(session, who, evaluation_id)
        found = evaluations.cell(session, evaluation, label=label, predicted=predicted, limit=IMAGES_OFFERED).items
        offered = [
            _candidate(evaluation.classes, image, prediction.predicted, image_ids) for prediction, image in found
        ]
        classifier = evaluations.classifier_of(session, evaluation)
        return _render_form(request, classifier, f"Images of evaluation {evaluation.id}", offered, Given(), {})
    if classifier_id is not None:
        classifier = classifiers.get(session, who, classifier_id)
        return _render_form(request, classifier, *_offer(session, classifier, image_ids), Given(), {})
    others = classifiers.listing(session, who, limit=MAX_LIMIT).items
    return render(request, "explanations/choose.html", ChoosePage(others, _new_script(1)))


def _render_form(
    request: Request,
    classifier: Classifier,
    source: str,
    offered: list[Candidate],
    given: Given,
    errors: Mapping[str, Sequence[str]],
) -> Response:
    form = make_form(JobKind.EXPLAIN, given, rows={}, errors=errors)
    elsewhere = [text for name, texts in errors.items() if name not in FORM_OPTIONS for text in texts]
    fields = [form[name] for name in FORM_OPTIONS]
    page = NewPage(classifier, source, offered, fields, elsewhere, _new_script(classifier.id))
    return render(request, "explanations/new.html", page, status_code=422 if errors else 200)


@router.post("", max_body_size=MAX_UPLOAD_BYTES)
def request_explanation(
    request: Request,
    who: IdentityDep,
    database: DatabaseDep,
    storage: StorageDep,
    classifier_id: Annotated[int, Form()],
    image_ids: Annotated[Sequence[int], Form()] = (),
    files: Sequence[UploadFile] = (),
    num_samples: Annotated[str, Form()] = "",
    num_segments: Annotated[str, Form()] = "",
    seed: Annotated[str, Form()] = "",
    hide: Annotated[str, Form()] = "",
) -> Response:
    """No session is open while the uploads are decoded: that may take seconds, and writers would wait."""
    sent = [file for file in files if file.filename]
    options = {"num_samples": num_samples, "num_segments": num_segments, "seed": seed, "hide": hide}
    given = Given({**options, "classifier_id": str(classifier_id), "image_ids": _listed(image_ids)})
    _, errors = parse(JobKind.EXPLAIN, _with_uploads(given, [0] * len(sent)))
    if errors:
        with database.read() as session:
            classifier = classifiers.get(session, who, classifier_id)
            return _render_form(request, classifier, *_offer(session, classifier, image_ids), given, errors)
    decoded = [(file.filename or "image", uploaded_images.decode(file.file)) for file in sent]
    with database.write() as session:
        kept = [uploaded_images.create(session, who, storage, name=name, prepared=image) for name, image in decoded]
        spec, _ = parse(JobKind.EXPLAIN, _with_uploads(given, [image.id for image in kept]))
        assert spec is not None  # the same options were checked above
        job_id = jobs.submit(session, who, spec).id
    return RedirectResponse(f"/jobs/{job_id}", status_code=303)


def _with_uploads(given: Given, ids: Sequence[int]) -> Given:
    return Given({**given.values, "uploaded_image_ids": _listed(ids)})


def _listed(ids: Sequence[int]) -> str:
    return " ".join(map(str, ids))


def _offer(session: Session, classifier: Classifier, chosen: Sequence[int]) -> tuple[str, list[Candidate]]:
    """Test images: with predictions, the surest mistakes first, if the classifier was evaluated."""
    for evaluation in classifiers.evaluations_of(session, classifier, limit=1):
        found = [*evaluations.worst(session, evaluation, limit=24), *evaluations.surest(session, evaluation, limit=24)]
        offered = [_candidate(evaluation.classes, image, prediction.predicted, chosen) for prediction, image in found]
        return f"Surest mistakes, then surest hits, of evaluation {evaluation.id}", offered
    dataset = classifiers.dataset_of(session, classifier)
    version = datasets.version(session, classifier.version_id)
    images = datasets.images(session, version, split="test", limit=IMAGES_OFFERED).items
    return f"Test images of {dataset.name}", [_candidate(version.classes, image, None, chosen) for image in images]


def _candidate(classes: list[str], image: Image, predicted: int | None, chosen: Sequence[int]) -> Candidate:
    label = classes[image.label]
    note = label if predicted is None else "right" if predicted == image.label else f"taken for {classes[predicted]}"
    return Candidate(image, label, note, *enlarged(image.width, image.height), is_chosen=image.id in chosen)


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
        "classes": [{**entry, "name": explanation.classes[entry["label"]]} for entry in item.weights["classes"]],
    }
    return JSONResponse(content, headers={"Cache-Control": "private, max-age=86400"})


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
        name=names[item.id],
        number=at + 1,
        choices=_choices(explanation.classes, item),
        num_regions=num_regions,
        top_k=min(explanation.spec.get("top_k", 5), num_regions),
        previous_url=f"{here}{items[at - 1].id}" if at else None,
        next_url=f"{here}{items[at + 1].id}" if at + 1 < len(items) else None,
    )


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
        client=f'explanation = studio.explanations.get({explanation.id})\nexplanation.download("lime/")',
        curl=(
            'curl -OJ -H "Authorization: Bearer $PHANTOM_TOKEN" \\\n'
            f"  $PHANTOM_URL/api/v1/explanations/{explanation.id}/download"
        ),
    )


def _new_script(number: int) -> Script:
    return Script(
        client=(
            f"classifier = studio.classifiers.get({number})\n"
            'explanation = studio.explain(classifier, data.split("test").images(limit=4), num_samples=200).wait()\n'
            'explanation.download("lime/")'
        ),
        curl=(
            'curl -X POST -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\\n'
            f'  -d \'{{"kind": "explain", "classifier_id": {number}, "image_ids": [1, 2], "num_samples": 500}}\' \\\n'
            "  $PHANTOM_URL/api/v1/jobs"
        ),
    )
