"""Evaluations: every figure with its interval, and the images behind every cell of the confusion matrix.

Curves are drawn by `charts` as plain SVG on the server, so that they print, need no script and can be read
beside a table of the same numbers.
"""

from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.deps import EvaluationDep, IdentityDep, SessionDep
from app.pages import charts
from app.pages.render import Script, render
from app.pages.results import Figure, Link, enlarged, page_url
from app.services import evaluations, jobs
from app.services.evaluations import PredictedImage
from app.services.identity import Identity
from app.services.paging import Page
from models import Classifier, Evaluation, Image, Prediction, SyntheticSet

router = APIRouter(prefix="/evaluations", include_in_schema=False)
IMAGES_A_PAGE = 60
HEADLINES = {
    "accuracy": ("Accuracy", "Share of images classified rightly."),
    "balanced_accuracy": (
        "Balanced accuracy",
        "Mean of the classes' recall: rare classes count as much as frequent ones.",
    ),
    "macro_precision": ("Macro precision", "Mean over classes: of those called a class, how many are of it."),
    "macro_recall": ("Macro recall", "Mean over classes: of those of a class, how many are found."),
    "macro_f1": ("Macro F1", "Mean over classes of the harmonic mean of precision and recall."),
    "auroc": ("AUROC", "Mean over classes of the area under the ROC curve, each against the rest; 0.5 is chance."),
    "ece": (
        "Calibration error (ECE)",
        "Mean gap between stated confidence and share of right answers; lower is better.",
    ),
}
CLASS_FIGURES = {
    "precision": "Precision",
    "recall": "Recall",
    "specificity": "Specificity",
    "f1": "F1",
    "auroc": "AUROC",
}


@dataclass(frozen=True)
class Row:
    """An evaluation in a list."""

    evaluation: Evaluation
    classifier: Classifier
    part: str
    accuracy: Figure
    balanced_accuracy: Figure
    mark: str
    num_openings: int | None


@dataclass(frozen=True)
class ListPage:
    rows: Page[Row]
    script: Script


@dataclass(frozen=True)
class ClassRow:
    name: str
    support: int
    predicted: int
    figures: list[Figure]


@dataclass(frozen=True)
class Cell:
    """A cell of the confusion matrix: share is of its row (of the true class), None for an empty row; shade 0 to 10."""

    count: int
    share: float | None
    shade: int
    url: str | None
    is_right: bool
    is_open: bool


@dataclass(frozen=True)
class Shown:
    """An image with what was predicted of it; width and height are those of the enlarged picture."""

    prediction: Prediction
    image: Image
    label: str
    predicted: str
    confidence: float
    width: int
    height: int


@dataclass(frozen=True)
class OpenCell:
    """The images that are listed under the matrix, and how they are called."""

    title: str
    images: list[Shown]
    next_url: str | None


@dataclass(frozen=True)
class ShowPage:
    evaluation: Evaluation
    classifier: Classifier
    part: str
    made_from: list[Link]
    headlines: list[tuple[Figure, str]]
    class_columns: list[str]
    classes: list[ClassRow]
    matrix: list[list[Cell]]
    open_cell: OpenCell | None
    worst: list[Shown]
    roc: charts.Roc
    reliability: charts.Reliability
    report: dict[str, Any]
    mark: str
    num_openings: int | None
    script: Script


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep, cursor: str | None = None) -> Response:
    found = evaluations.listing(session, who, cursor=cursor)
    looks = evaluations.num_openings(session, found.items)
    rows = [_row(session, evaluation, looks.get(evaluation.id)) for evaluation in found.items]
    script = Script(
        client="for evaluation in studio.evaluations.list():\n    print(evaluation.id, evaluation.accuracy)",
        curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/evaluations',
    )
    return render(request, "evaluations/index.html", ListPage(Page(rows, found.next_cursor), script))


def _row(session: Session, evaluation: Evaluation, num_openings: int | None) -> Row:
    report = evaluation.report
    return Row(
        evaluation,
        evaluations.classifier_of(session, evaluation),
        evaluations.part(evaluation),
        Figure.of("accuracy", report["accuracy"]),
        Figure.of("balanced accuracy", report["balanced_accuracy"]),
        evaluations.mark(evaluation),
        num_openings,
    )


@router.get("/{evaluation_id}")
def show(
    request: Request,
    evaluation: EvaluationDep,
    session: SessionDep,
    who: IdentityDep,
    label: Annotated[str, Query()] = "",
    predicted: Annotated[str, Query()] = "",
    cursor: str | None = None,
) -> Response:
    chosen = _label(evaluation, "label", label), _label(evaluation, "predicted", predicted)
    open_cell = _open_cell(session, evaluation, *chosen, cursor) if chosen != (None, None) else None
    if "hx-request" in request.headers and open_cell:
        return render(request, "evaluations/_images.html", open_cell)
    return render(request, "evaluations/show.html", _page(session, who, evaluation, chosen, open_cell))


def _page(
    session: Session,
    who: Identity,
    evaluation: Evaluation,
    chosen: tuple[int | None, int | None],
    open_cell: OpenCell | None,
) -> ShowPage:
    report, classes = evaluation.report, evaluation.classes
    return ShowPage(
        evaluation=evaluation,
        classifier=evaluations.classifier_of(session, evaluation),
        part=evaluations.part(evaluation),
        made_from=_made_from(session, who, evaluation),
        headlines=[(Figure.of(title, report[name]), text) for name, (title, text) in HEADLINES.items()],
        class_columns=list(CLASS_FIGURES.values()),
        classes=[_class_row(classes, entry) for entry in report["per_class"]],
        matrix=_matrix(evaluation, chosen),
        open_cell=open_cell,
        worst=[_shown(evaluation, found) for found in evaluations.worst(session, evaluation, limit=12)],
        roc=charts.roc(report["roc"], classes),
        reliability=charts.reliability(report["reliability"]),
        report=report,
        mark=evaluations.mark(evaluation),
        num_openings=evaluations.num_openings(session, [evaluation]).get(evaluation.id),
        script=_script(evaluation),
    )


@router.post("/{evaluation_id}/delete")
def delete(evaluation: EvaluationDep, session: SessionDep, who: IdentityDep) -> Response:
    evaluations.delete(session, who, evaluation)
    return RedirectResponse("/evaluations", status_code=303)


def _class_row(classes: list[str], entry: dict[str, Any]) -> ClassRow:
    figures = [Figure.of(title, entry[name]) for name, title in CLASS_FIGURES.items()]
    return ClassRow(classes[entry["label"]], entry["support"], entry["predicted"], figures)


def _matrix(evaluation: Evaluation, chosen: tuple[int | None, int | None]) -> list[list[Cell]]:
    """Rows are true classes, columns predicted ones."""
    counts: list[list[int]] = evaluation.report["confusion_matrix"]
    return [
        [_cell(evaluation, count, sum(row), (label, predicted), chosen) for predicted, count in enumerate(row)]
        for label, row in enumerate(counts)
    ]


def _cell(
    evaluation: Evaluation, count: int, total: int, place: tuple[int, int], chosen: tuple[int | None, int | None]
) -> Cell:
    share = count / total if total else None
    is_listed = evaluation.synthetic_set_id is None  # single predictions are kept of real images only
    url = (
        page_url(f"/evaluations/{evaluation.id}", label=place[0], predicted=place[1]) + "#images" if is_listed else None
    )
    return Cell(count, share, round(10 * (share or 0)), url, place[0] == place[1], place == chosen)


def _open_cell(
    session: Session, evaluation: Evaluation, label: int | None, predicted: int | None, cursor: str | None
) -> OpenCell:
    found = evaluations.cell(session, evaluation, label=label, predicted=predicted, cursor=cursor, limit=IMAGES_A_PAGE)
    more = None
    if found.next_cursor:
        more = page_url(f"/evaluations/{evaluation.id}", label=label, predicted=predicted, cursor=found.next_cursor)
    return OpenCell(
        _title(evaluation.classes, label, predicted), [_shown(evaluation, item) for item in found.items], more
    )


def _title(classes: list[str], label: int | None, predicted: int | None) -> str:
    if label is None:
        return f"All predicted as {classes[predicted or 0]}"
    return f"True class {classes[label]}" + ("" if predicted is None else f", predicted {classes[predicted]}")


def _shown(evaluation: Evaluation, found: PredictedImage) -> Shown:
    prediction, image = found
    width, height = enlarged(image.width, image.height)
    return Shown(
        prediction,
        image,
        evaluation.classes[prediction.label],
        evaluation.classes[prediction.predicted],
        float(prediction.probabilities[prediction.predicted]),
        width,
        height,
    )


def _label(evaluation: Evaluation, name: str, given: str) -> int | None:
    if not given:
        return None
    if not (given.isascii() and given.isdigit() and int(given) < len(evaluation.classes)):
        raise BadInputError(f"{name} is {given[:40]!r}; use 0 to {len(evaluation.classes) - 1}, or leave it out.")
    return int(given)


def _made_from(session: Session, who: Identity, evaluation: Evaluation) -> list[Link]:
    classifier = evaluations.classifier_of(session, evaluation)
    dataset = evaluations.dataset_of(session, evaluation)
    job = jobs.get(session, who, evaluation.job_id)
    tested = Link("Dataset", f"{dataset.name}, {evaluations.part(evaluation)}", f"/datasets/{dataset.id}")
    if evaluation.synthetic_set_id is not None:
        source = session.get_one(SyntheticSet, evaluation.synthetic_set_id)
        tested = Link("Synthetic set", source.name, f"/synthetic-sets/{source.id}")
    return [
        tested,
        Link("Classifier", classifier.name, f"/classifiers/{classifier.id}"),
        Link("Job", f"{job.id}, {job.title}", f"/jobs/{job.id}"),
    ]


def _script(evaluation: Evaluation) -> Script:
    return Script(
        client=(
            f"evaluation = studio.evaluations.get({evaluation.id})\n"
            "print(evaluation.accuracy, evaluation.confusion_matrix)"
        ),
        curl=f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/evaluations/{evaluation.id}',
    )
