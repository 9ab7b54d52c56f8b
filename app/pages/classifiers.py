"""Classifiers: CNNs trained on real or synthetic images, tested and explained from here."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from app.deps import ClassifierDep, IdentityDep, SessionDep
from app.pages.forms import Field
from app.pages.render import Script, render
from app.pages.results import Figure, Link, Setting, settings_of, short_form
from app.services import classifiers, evaluations, jobs
from app.services.identity import Identity
from app.services.paging import Page
from models import Classifier, Dataset, Evaluation, Explanation, JobKind, TrainOn

router = APIRouter(prefix="/classifiers", include_in_schema=False)
TRAIN_ON_WORDS = {
    TrainOn.REAL: "real images",
    TrainOn.SYNTHETIC: "synthetic images only",
    TrainOn.BOTH: "real and synthetic images",
}


@dataclass(frozen=True)
class Tested:
    """An evaluation in one line."""

    evaluation: Evaluation
    part: str
    accuracy: Figure
    balanced_accuracy: Figure


@dataclass(frozen=True)
class ListPage:
    classifiers: Page[Classifier]
    tests: dict[int, list[Tested]]
    words: dict[TrainOn, str]
    script: Script


@dataclass(frozen=True)
class ShowPage:
    classifier: Classifier
    dataset: Dataset
    trained_on: str
    made_from: list[Link]
    tests: list[Tested]
    explanations: list[Explanation]
    fields: list[Field]
    settings: list[Setting]
    script: Script


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep, cursor: str | None = None) -> Response:
    rows = classifiers.listing(session, who, cursor=cursor)
    tests = {row.id: _tests(session, row, limit=1) for row in rows.items}
    script = Script(
        client="for classifier in studio.classifiers.list():\n    print(classifier.id, classifier.name, classifier.architecture)",
        curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/classifiers',
    )
    return render(request, "classifiers/index.html", ListPage(rows, tests, TRAIN_ON_WORDS, script))


@router.get("/{classifier_id}")
def show(request: Request, classifier: ClassifierDep, session: SessionDep, who: IdentityDep) -> Response:
    page = ShowPage(
        classifier=classifier,
        dataset=classifiers.dataset_of(session, classifier),
        trained_on=TRAIN_ON_WORDS[TrainOn(classifier.train_on)],
        made_from=_made_from(session, who, classifier),
        tests=_tests(session, classifier, limit=50),
        explanations=classifiers.explanations_of(session, classifier),
        fields=short_form(JobKind.EVALUATE, {}, ("split", "num_bootstrap", "seed")),
        settings=settings_of(classifier.spec),
        script=_script(classifier),
    )
    return render(request, "classifiers/show.html", page)


@router.post("/{classifier_id}/rename")
def rename(classifier: ClassifierDep, session: SessionDep, name: Annotated[str, Form()]) -> Response:
    classifiers.rename(session, classifier, name)
    return RedirectResponse(f"/classifiers/{classifier.id}", status_code=303)


@router.post("/{classifier_id}/delete")
def delete(classifier: ClassifierDep, session: SessionDep, who: IdentityDep) -> Response:
    classifiers.delete(session, who, classifier)
    return RedirectResponse("/classifiers", status_code=303)


def _tests(session: Session, classifier: Classifier, *, limit: int) -> list[Tested]:
    rows = classifiers.evaluations_of(session, classifier, limit=limit)
    return [
        Tested(
            row,
            evaluations.part(row),
            Figure.of("accuracy", row.report["accuracy"]),
            Figure.of("balanced accuracy", row.report["balanced_accuracy"]),
        )
        for row in rows
    ]


def _made_from(session: Session, who: Identity, classifier: Classifier) -> list[Link]:
    dataset = classifiers.dataset_of(session, classifier)
    job = jobs.get(session, who, classifier.job_id)
    links = [Link("Dataset", dataset.name, f"/datasets/{dataset.id}")]
    if synthetic := classifiers.synthetic_set_of(session, classifier):
        links.append(Link("Synthetic set", synthetic.name, f"/synthetic-sets/{synthetic.id}"))
    return [*links, Link("Job", f"{job.id}, {job.title}", f"/jobs/{job.id}")]


def _script(classifier: Classifier) -> Script:
    return Script(
        client=(
            f"classifier = studio.classifiers.get({classifier.id})\n"
            'evaluation = studio.evaluate(classifier, data.split("test")).wait()\n'
            "print(evaluation.accuracy, evaluation.confusion_matrix)"
        ),
        curl=(
            'curl -X POST -H "Authorization: Bearer $PHANTOM_TOKEN" -H "Content-Type: application/json" \\\n'
            f'  -d \'{{"kind": "evaluate", "classifier_id": {classifier.id}, "split": "test"}}\' \\\n'
            "  $PHANTOM_URL/api/v1/jobs"
        ),
    )
