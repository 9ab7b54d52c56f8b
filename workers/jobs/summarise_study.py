"""Make a study's table of what its evaluations say: seed means, intervals, and tests against the equal real budget; and
compare its explanations.

Every test is of the same images for all rows of one table. What failed is listed with its reason, never left out silently.
"""

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from models import Arm, Evaluation, Image, Job, JobState, Prediction, Split, Study, StudyStep
from models.specs import StudySpec, SummariseStudySpec
from workers.context import JobContext, Recorder
from workers.jobs import study_explanations
from workers.jobs.arrays import real_sources
from workers.jobs.evaluate import group_numbers
from workers.ml.metrics.arms import ArmPredictions
from workers.ml.metrics.comparison import compare_arms
from workers.ml.metrics.counted import mean_of_counts
from workers.ml.metrics.saturation import saturation

CONFIDENCE = 0.95
SEED = 0
MARGIN = 0.01  # of balanced accuracy: sizes this near to the best count as saturated
SYNTHETIC = "synthetic"
NO_SIZE = "A saturation point needs tests of the synthetic arm; there are none."
REFERENCES = (Arm.REAL_EQUAL, Arm.REAL)
Groups = NDArray[np.int64] | None


class Tested(NamedTuple):
    """A step that tests a cell. evaluation: None where there is none; why: then the reason."""

    cell: dict[str, Any]
    job_id: int
    evaluation: Evaluation | None
    why: str


class Images(NamedTuple):
    """What a table's tests were on: (N,) ids, labels, and groups of images that are not independent."""

    ids: tuple[int, ...]
    labels: NDArray[np.int64]
    groups: Groups


def run(context: JobContext, spec: SummariseStudySpec) -> Recorder:
    with context.database.read() as session:
        study = session.get_one(Study, spec.study_id)
        asked = StudySpec.model_validate(study.spec)
        tested = _tested(session, study)
        if not any(each.evaluation for each in tested):
            raise ConflictError(
                "Not one evaluation of the study succeeded, so there is nothing to compare.",
                hint="Look at the jobs that failed, and try them again; the table is then made anew.",
            )
        names = list(dict.fromkeys((each.cell["architecture"], each.cell["tested_on"]) for each in tested))
        tables, total = [], len(names)
        for done, (architecture, tested_on) in enumerate(names):
            context.report(done, total, message=f"Comparing the arms of {architecture}", unit="tables")
            mine = [
                each
                for each in tested
                if (each.cell["architecture"], each.cell["tested_on"]) == (architecture, tested_on)
            ]
            table = _faithfulness(mine) if tested_on == SYNTHETIC else _table(session, asked, mine)
            tables.append({"architecture": architecture, "tested_on": tested_on, **table})
        context.report(total, total, message="Comparing the explanations", unit="tables")
        explanations = study_explanations.compare(session, context.storage, study, asked)
    return functools.partial(_record, {"tables": tables, "explanations": explanations})


def _tested(session: Session, study: Study) -> list[Tested]:
    steps = session.scalars(select(StudyStep).where(StudyStep.study_id == study.id).order_by(StudyStep.position))
    return [_outcome(session, step) for step in steps if "tested_on" in step.cell]


def _outcome(session: Session, step: StudyStep) -> Tested:
    job = session.get_one(Job, step.job_id)
    if job.state != JobState.SUCCEEDED:
        why = (job.error or {}).get("detail") or job.message or f"Job {job.id} is {job.state}."
        return Tested(step.cell, job.id, None, why)
    evaluation = session.get(Evaluation, (job.result or {}).get("evaluation_id", 0))
    return Tested(step.cell, job.id, evaluation, "" if evaluation is not None else "The evaluation was deleted.")


def key_of(cell: Mapping[str, Any]) -> str:
    """The row of a cell in its table."""
    return str(cell["arm"]) if cell["size"] is None else f"{cell['arm']} x{cell['size']:g}"


def _rows(tested: Sequence[Tested]) -> dict[str, list[Tested]]:
    rows: dict[str, list[Tested]] = {}
    for each in tested:
        rows.setdefault(key_of(each.cell), []).append(each)
    return rows


def _table(session: Session, asked: StudySpec, tested: Sequence[Tested]) -> dict[str, Any]:
    rows = _rows(tested)
    found = {key: [each for each in cells if each.evaluation is not None] for key, cells in rows.items()}
    complete = {key: cells for key, cells in found.items() if cells}
    listed = [_row(key, cells) for key, cells in rows.items()]
    if not complete:
        return {"rows": listed, "reference": None, "reason": "No test of this network succeeded.", "saturation": None}
    images = _images(session, next(iter(complete.values()))[0].evaluation)
    arms = {key: _predictions(session, cells, images) for key, cells in complete.items()}
    reference = _reference(complete)
    told = compare_arms(
        arms=arms, reference=reference, labels=images.labels, groups=images.groups, num_bootstrap=asked.num_bootstrap,
        confidence=CONFIDENCE, seed=SEED,
    )  # fmt: skip
    by_key = {row.pop("key"): row for row in told.pop("rows")}
    return {
        **told,
        "rows": [{**row, **by_key.get(row["key"], {})} for row in listed],
        "saturation": _saturation(asked, tested, arms, images),
    }


def _row(key: str, cells: Sequence[Tested]) -> dict[str, Any]:
    """What is known of a row before any statistics: its seeds, with their evaluations or the reason why there is none."""
    first = cells[0].cell
    seeds = [
        {
            "seed": each.cell["seed"], "job_id": each.job_id, "reason": each.why,
            "evaluation_id": each.evaluation.id if each.evaluation is not None else None,
            "leaks": each.evaluation.leaks if each.evaluation is not None else None,
        }
        for each in cells
    ]  # fmt: skip
    return {"key": key, "arm": first["arm"], "size": first["size"], "seeds": seeds}


def _reference(complete: Mapping[str, Sequence[Tested]]) -> str:
    for arm in REFERENCES:
        if arm in complete:
            return str(arm)
    return next(iter(complete))


def _images(session: Session, evaluation: Evaluation | None) -> Images:
    """The images that an evaluation was on, with the labels that it took for true."""
    assert evaluation is not None
    query = select(Prediction.image_id, Prediction.label).where(Prediction.evaluation_id == evaluation.id)
    rows = session.execute(query.order_by(Prediction.image_id)).all()
    split = None if evaluation.split == "all" else Split(evaluation.split)
    kept = {row.image_id for row in rows}
    sources = [
        source for source in real_sources(session, version_id=evaluation.version_id, split=split) if source.id in kept
    ]
    ids = tuple(row.image_id for row in rows)
    assert tuple(source.id for source in sources) == ids, "both are by id"
    return Images(ids, np.array([row.label for row in rows], dtype=np.int64), group_numbers(sources))


def _predictions(session: Session, cells: Sequence[Tested], images: Images) -> ArmPredictions:
    found = [_probabilities(session, each, images) for each in cells]
    return ArmPredictions(np.stack(found), tuple(each.cell["seed"] for each in cells))


def _probabilities(session: Session, tested: Tested, images: Images) -> NDArray[np.float64]:
    assert tested.evaluation is not None
    query = select(Prediction.image_id, Prediction.probabilities).where(
        Prediction.evaluation_id == tested.evaluation.id
    )
    rows = session.execute(query.join(Image).order_by(Prediction.image_id)).all()
    if tuple(row.image_id for row in rows) != images.ids:
        raise ConflictError(
            f"Evaluation {tested.evaluation.id} is on other images than the others of its table.",
            hint="Launch the study again: it tests all of its networks on the same images.",
        )
    return np.array([row.probabilities for row in rows], dtype=np.float64)


def _saturation(
    asked: StudySpec, tested: Sequence[Tested], arms: Mapping[str, ArmPredictions], images: Images
) -> dict[str, Any] | None:
    """Of the synthetic arm, with the reason of each size that no test tells of; None where no sweep was asked for."""
    mine = {key: cells for key, cells in _rows(tested).items() if cells[0].cell["arm"] == Arm.SYNTHETIC}
    if len(asked.sizes) < 2 or not mine:
        return None
    sizes = {cells[0].cell["size"]: arms[key] for key, cells in mine.items() if key in arms}
    failed = [
        f"Size {cells[0].cell['size']:g} has no result: {cells[0].why}"
        for key, cells in mine.items()
        if key not in arms
    ]
    if not sizes:
        return {"state": "too_few", "size": None, "shown": None, "sentence": " ".join([NO_SIZE, *failed])}
    found = saturation(
        arms=sizes, labels=images.labels, groups=images.groups, margin=MARGIN, num_bootstrap=asked.num_bootstrap,
        confidence=CONFIDENCE, seed=SEED,
    )  # fmt: skip
    return {**found, "sentence": " ".join([found["sentence"], *failed])}


def _faithfulness(tested: Sequence[Tested]) -> dict[str, Any]:
    """Networks trained on real images, tested on synthetic ones: accuracy against the class that each was drawn as."""
    rows, num_images = [], None
    for key, cells in _rows(tested).items():
        reports = [each.evaluation.report for each in cells if each.evaluation is not None]
        figure: dict[str, Any] = {"value": None, "per_seed": []}
        if reports:
            matrices = [np.array(report["confusion_matrix"]) for report in reports]
            figure = mean_of_counts(matrices=matrices, confidence=CONFIDENCE)
            num_images = figure["num_images"]
        rows.append({**_row(key, cells), "balanced_accuracy": figure})
    return {"rows": rows, "reference": None, "saturation": None, "num_images": num_images}


def _record(answer: dict[str, Any], session: Session, row: Job) -> dict[str, Any]:
    """Keep the answer, unless a table that was asked for later is there already."""
    study = session.get_one(Study, row.spec["study_id"], with_for_update=True)
    newest = session.get(Job, study.answer_job_id) if study.answer_job_id is not None else None
    if newest is None or newest.id == row.id or newest.state != JobState.SUCCEEDED:
        study.answer = answer
        session.flush()
    return {"study_id": study.id}
