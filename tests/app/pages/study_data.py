"""A study for the tests of its pages: launched by the service, its rows made up, its table by the real statistics."""

import copy
import functools
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.services import studies
from app.services.identity import Identity
from models import Arm, DatasetVersion, Evaluation, Job, JobKind, JobState, Study
from models.specs import StudySpec
from tests import factories
from tests.app.pages import results_data
from tests.audit_data import audited
from workers.jobs import study_explanations
from workers.ml.metrics.arms import ArmPredictions
from workers.ml.metrics.comparison import compare_arms
from workers.ml.metrics.counted import mean_of_counts

SPEC: dict[str, Any] = {
    "architectures": ["tf_efficientnet_lite0"], "seeds": [0, 1], "sizes": [0.5, 1], "classifier": {"epochs": 1, "pretrained": False},
    "diffusion": {"preset": "tiny", "image_size": 32, "num_steps": 4},
    "explanations": None,
}  # fmt: skip


def launched(session: Session, who: Identity, version: DatasetVersion, **options: Any) -> Study:
    return studies.launch(session, who, StudySpec.model_validate({"dataset_id": version.dataset_id, **SPEC, **options}))


def with_tests(
    session: Session, who: Identity, study: Study, *, but: int = 0, seed: int = 0, storage: Any = None
) -> None:
    """All its jobs have succeeded, each test with an evaluation; the last `but` tests have failed.

    seed: equal for studies of which every test says the same. With `storage` the synthetic images are really stored.
    """
    version = session.get_one(DatasetVersion, study.version_id)
    checkpoint = factories.checkpoint(session, who, version, sha256="c" * 64)
    source = factories.synthetic_set(session, who, checkpoint, storage=storage)
    steps = studies.progress(session, study).steps
    tests = [each.job.id for each in steps if "tested_on" in each.step.cell]
    failed = set(tests[len(tests) - but :])
    audit = audited(session, who, source)
    for each in steps:
        job = each.job
        job.state, job.result = JobState.SUCCEEDED, {"checkpoint_id": checkpoint.id, "synthetic_set_id": source.id}
        if job.kind == JobKind.AUDIT_SET:
            job.result = {"audit_id": audit.id, "synthetic_set_id": audit.filtered_set_id}
        if job.id in failed:
            job.state, job.error = (
                JobState.FAILED,
                {"code": "out-of-memory", "title": "Memory", "detail": "Memory ran out.", "hint": ""},
            )
        elif job.kind == JobKind.EVALUATE:
            job.result = {
                "evaluation_id": _evaluation(session, who, version, job, seed=1000 * seed + each.step.position).id
            }
    session.flush()


def leaking(session: Session, study: Study, *, arm: str) -> None:
    """Training of an arm had seen test images: of the first seed the pictures, of the second the patients."""
    mine = [each for each in studies.progress(session, study).steps if each.step.cell.get("arm") == arm]
    for each in mine:
        if "tested_on" in each.step.cell:
            made = session.get_one(Evaluation, (each.job.result or {})["evaluation_id"])
            first = each.step.cell["seed"] == study.spec["seeds"][0]
            made.leaks = {"patients": 1 if first else 5, "identical": 2 if first else 0, "near": 3 if first else 0}
    session.flush()


def with_explanations(session: Session, who: Identity, study: Study, storage: Any, *, num_images: int = 4) -> None:
    """Its explanations are there: the network of real images looks at the middle, that of synthetic ones at the edge."""
    version = session.get_one(DatasetVersion, study.version_id)
    for each in studies.progress(session, study).steps:
        if "explained_on" in each.step.cell:
            shift = 0 if each.step.cell["arm"] == Arm.SYNTHETIC else 8
            network = factories.classifier(session, who, version)
            made = results_data.explanation(session, who, network, storage, num_images=num_images, shift=shift)
            each.job.state, each.job.result = JobState.SUCCEEDED, {"explanation_id": made.id}
    session.flush()
    told = study_explanations.compare(session, storage, study, StudySpec.model_validate(study.spec))
    study.answer = {**(study.answer or {}), "explanations": told}
    session.flush()


def _evaluation(session: Session, who: Identity, version: DatasetVersion, job: Job, *, seed: int) -> Evaluation:
    network = factories.classifier(session, who, version)
    row = Evaluation(
        project_id=who.project_id, job_id=job.id, classifier_id=network.id, version_id=version.id, split="test",
        classes=version.classes, num_images=40, report=results_data.report(num_classes=len(version.classes), seed=seed),
    )  # fmt: skip
    session.add(row)
    session.flush()
    return row


def answered(session: Session, study: Study, *, worst: float = 0.3) -> None:
    """The table is made, of made-up predictions; worst: skill of the last arm, 1.5 is that of the first."""
    rows: dict[str, list[dict[str, Any]]] = {}
    for each in studies.progress(session, study).steps:
        cell = each.step.cell
        if cell.get("tested_on", "synthetic") != "synthetic":
            key = cell["arm"] if cell["size"] is None else f"{cell['arm']} x{cell['size']:g}"
            made = (each.job.result or {}).get("evaluation_id")
            why = "" if made else "Memory ran out."
            leaks = session.get_one(Evaluation, made).leaks if made else None
            seed = {"seed": cell["seed"], "job_id": each.job.id, "reason": why, "evaluation_id": made, "leaks": leaks}
            rows.setdefault(key, []).append({**seed, "arm": cell["arm"], "size": cell["size"]})
    told = copy.deepcopy(_compared(tuple(rows), worst))
    by_key = {row.pop("key"): row for row in told.pop("rows")}
    lines = [
        {"key": key, "arm": seeds[0]["arm"], "size": seeds[0]["size"], "seeds": seeds, **by_key[key]}
        for key, seeds in rows.items()
    ]
    table = {
        **told,
        "architecture": study.spec["architectures"][0],
        "tested_on": "own",
        "rows": lines,
        "saturation": None,
    }
    study.answer = {"tables": [table, *_on_synthetic(session, study)]}
    job = session.get_one(Job, study.answer_job_id)
    job.state, job.result = JobState.SUCCEEDED, {"study_id": study.id}
    session.flush()


@functools.cache
def _compared(keys: tuple[str, ...], worst: float) -> dict[str, Any]:
    """What the comparison says of made-up predictions of these rows."""
    labels, skills = np.arange(120) % 3, np.linspace(1.5, worst, len(keys))
    arms = {key: _predictions(labels, skill, seed) for seed, (key, skill) in enumerate(zip(keys, skills, strict=True))}
    return compare_arms(
        arms=arms, reference="real_equal", labels=labels, groups=None, num_bootstrap=200, confidence=0.95, seed=0
    )


def _on_synthetic(session: Session, study: Study) -> list[dict[str, Any]]:
    """The table of the arm that is tested on synthetic images, if there is one."""
    steps = [each for each in studies.progress(session, study).steps if each.step.cell.get("tested_on") == "synthetic"]
    if not steps:
        return []
    made = [session.get_one(Evaluation, (each.job.result or {})["evaluation_id"]) for each in steps]
    seeds = [
        {"seed": each.step.cell["seed"], "job_id": each.job.id, "reason": "", "evaluation_id": found.id, "leaks": None}
        for each, found in zip(steps, made, strict=True)
    ]
    figure = mean_of_counts(matrices=[np.array(each.report["confusion_matrix"]) for each in made], confidence=0.95)
    row = {"key": "synthetic_test", "arm": "synthetic_test", "size": None, "seeds": seeds, "balanced_accuracy": figure}
    return [{
        "architecture": study.spec["architectures"][0], "tested_on": "synthetic", "rows": [row], "reference": None,
        "saturation": None, "num_images": figure["num_images"],
    }]  # fmt: skip


def _predictions(labels: np.ndarray, skill: float, seed: int) -> ArmPredictions:
    scores = np.random.default_rng(seed).normal(size=(2, len(labels), 3))
    scores[:, np.arange(len(labels)), labels] += skill
    return ArmPredictions(np.exp(scores) / np.exp(scores).sum(axis=2, keepdims=True), (0, 1))
