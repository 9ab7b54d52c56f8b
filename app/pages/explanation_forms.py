"""The form that asks for explanations: images to tick, images to upload, a few settings."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request, Response, UploadFile
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from app.deps import DatabaseDep, IdentityDep, SessionDep, StorageDep
from app.pages.forms import Field, Given, make_form, parse
from app.pages.render import Script, render
from app.pages.results import enlarged
from app.services import classifiers, datasets, evaluations, jobs, uploaded_images
from app.services.paging import MAX_LIMIT
from models import Classifier, Image, JobKind

router = APIRouter(prefix="/explanations", include_in_schema=False)
IMAGES_OFFERED = 60
MAX_UPLOAD_BYTES = 256_000_000
FORM_OPTIONS = ("num_samples", "num_segments", "seed", "hide", "stability_seeds")


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
    stability_seeds: Annotated[str, Form()] = "",
) -> Response:
    """No session is open while the uploads are decoded: that may take seconds, and writers would wait."""
    sent = [file for file in files if file.filename]
    options = {
        "num_samples": num_samples, "num_segments": num_segments, "seed": seed, "hide": hide, "stability_seeds": stability_seeds,
    }  # fmt: skip
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
    images = datasets.images(session, version, split="test", to_explain=True, limit=IMAGES_OFFERED).items
    return f"Test images of {dataset.name}", [_candidate(version.classes, image, None, chosen) for image in images]


def _candidate(classes: list[str], image: Image, predicted: int | None, chosen: Sequence[int]) -> Candidate:
    label = classes[image.label]
    note = label if predicted is None else "right" if predicted == image.label else f"taken for {classes[predicted]}"
    return Candidate(image, label, note, *enlarged(image.width, image.height), is_chosen=image.id in chosen)


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
