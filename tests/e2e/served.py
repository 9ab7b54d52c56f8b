"""The web application served from this process, on rows from the factories: no worker, so a page stays as it is."""

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
import numpy as np
import uvicorn
from sqlalchemy.orm import Session

from app.core import states
from app.core.config import Settings
from app.core.db import Database
from app.core.images import contact_sheet, encode_png
from app.core.storage import Storage, make_storage
from app.main import create_app
from app.services import gates, jobs, tokens
from app.services.identity import Identity
from app.services.studies import reproducing
from models import (
    Artifact,
    Base,
    Checkpoint,
    DatasetVersion,
    Event,
    Job,
    JobKind,
    JobState,
    Mark,
    Metric,
    RefusedFile,
    SyntheticImage,
    SyntheticSet,
    TrainOn,
)
from models.specs import SampleSpec
from models.specs.card import CardText
from tests import factories, health_data
from tests.app.pages import results_data, study_data
from tests.audit_data import audited

CLASSES = ["glioma", "meningioma", "no_tumor", "pituitary"]


@dataclass(frozen=True)
class Served:
    """ids: what to put into the parameters of a route's path."""

    url: str
    token: str
    ids: dict[str, Any]


@contextmanager
def serve(folder: Path, *, full: bool) -> Iterator[Served]:
    (folder / "server" / "ct").mkdir(parents=True)
    settings = Settings(_env_file=None, data_dir=folder / "data", import_roots=str(folder / "server"))
    settings.folder.mkdir()
    database = Database(settings.effective_database_url)
    Base.metadata.create_all(database.engine)
    with database.write() as session:
        who = factories.identity(session)
        ids = fill(session, who, make_storage(settings)) if full else {}
        _, secret = tokens.create(session, who, name="browser", scopes=["read", "write"], expires_in_days=None)
    server = uvicorn.Server(uvicorn.Config(create_app(settings), host="127.0.0.1", port=0, log_level="warning"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    url = f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    yield Served(url, secret, ids | ({"upload_id": send_upload(url, secret)} if full else {}))
    server.should_exit = True
    thread.join(timeout=10)
    database.dispose()


def add_sampling_in_parts(session: Session, who: Identity, checkpoint: Checkpoint) -> Job:
    """A sampling of which one part failed while another runs."""
    whole = jobs.submit(session, who, SampleSpec(checkpoint_id=checkpoint.id, per_class=200, num_parts=3))
    first, second, third = jobs.family(session, whole).parts
    for part in (first, second, third):
        states.move(session, part, JobState.RUNNING, message="Started.", attempt=1, done=(part.total or 0) // 2)
    first.owner, first.rate = "gpu-node-2.radiology.example:4711:ab12cd34", 3.2
    states.move(session, second, JobState.SUCCEEDED, message="Done.", result={"num_images": 96}, done=second.total)
    error = {
        "code": "disk-full",
        "title": "The disk is full",
        "detail": "No space left on device.",
        "hint": "Free some disk space.",
    }
    states.move(session, third, JobState.FAILED, message="Failed: The disk is full.", error=error)
    return whole


def fill(session: Session, who: Identity, storage: Storage) -> dict[str, Any]:
    """One of everything, and jobs in several states."""
    version = factories.dataset_with_version(
        session, who, name="brain-mri", num_images=80, classes=CLASSES, storage=storage
    )
    session.add(
        RefusedFile(version_id=version.id, path="glioma/bad.png", kind="broken", reason="The file ends too early.")
    )
    health_data.give(session, who, version)
    version.card = CardText(
        source="University hospital, 2019 to 2023", known_problems="- few women\n- one site"
    ).model_dump()
    checkpoint = factories.checkpoint(
        session, who, version, spec={"kind": "train_diffusion", "preset": "tiny", "seed": 0},
        copy_watch=results_data.COPY_WATCH,
    )  # fmt: skip
    training = session.get_one(Job, checkpoint.job_id)
    draw_curves(session, training, storage)
    drawn = factories.synthetic_set(session, who, checkpoint, storage=storage)
    for image, mark in zip(session.query(SyntheticImage).limit(2), (Mark.STARRED, Mark.REJECTED), strict=True):
        image.mark = mark
    classifier = factories.classifier(session, who, version, train_on=TrainOn.SYNTHETIC, synthetic_set_id=drawn.id)
    evaluation = factories.evaluation(session, who, classifier, results_data.report(16, len(CLASSES)))
    explanation = results_data.explanation(session, who, classifier, storage)
    old = results_data.explanation(session, who, classifier, storage, is_measured=False)
    audit = audited(session, who, drawn)
    unknown = audited(session, who, drawn, num_held_out=10)
    filtered = session.get_one(SyntheticSet, audit.filtered_set_id)
    gates.release(session, who, filtered, "Teaching material that stays inside the hospital; ethics board, 12 March.")
    study = study_data.launched(session, who, version, explanations={"num_images": 8})
    study_data.with_tests(session, who, study, but=1, storage=storage)
    study_data.answered(session, study)
    study_data.with_explanations(session, who, study, storage, num_images=8)
    again = reproducing.reproduce(session, who, study)
    study_data.with_tests(session, who, again, but=2, seed=1)
    study_data.answered(session, again)
    in_parts = add_sampling_in_parts(session, who, checkpoint)
    add_other_jobs(session, who, version)
    return {
        "dataset_id": version.dataset_id, "job_id": training.id, "kind": "train_diffusion", "checkpoint_id": checkpoint.id,
        "synthetic_set_id": drawn.id, "classifier_id": classifier.id, "evaluation_id": evaluation.id,
        "explanation_id": explanation.id, "old_explanation_id": old.id, "study_id": study.id, "again_id": again.id,
        "whole_id": in_parts.id, "part_id": in_parts.id - 3,
        "audit_id": audit.id, "unknown_audit_id": unknown.id, "filtered_set_id": audit.filtered_set_id,
    }  # fmt: skip


def draw_curves(session: Session, job: Job, storage: Storage) -> None:
    images = np.stack([factories.drawing(k // 4, k, 32) for k in range(16)])
    sheet = storage.put(encode_png(contact_sheet(images, 4)))
    session.add(
        Artifact(
            job_id=job.id, role="preview", index=100, name="preview.png", media_type="image/png", size=sheet.size,
            sha256=sheet.sha256, data={"classes": CLASSES},
        )
    )  # fmt: skip
    session.add_all(Metric(job_id=job.id, name="loss", step=step, value=1 / step) for step in range(1, 101))
    for step, share in ((25, 0.0), (50, 1 / 32), (75, 0.5), (100, 0.9)):
        session.add(Metric(job_id=job.id, name="copy_rate", step=step, value=share))
        session.add(Metric(job_id=job.id, name="copy_floor", step=step, value=1 / 340))
    session.add(Event(job_id=job.id, number=1, kind="log", data={"level": "info", "text": "Trained."}))


def add_other_jobs(session: Session, who: Identity, version: DatasetVersion) -> None:
    error = {
        "code": "crash",
        "title": "The job crashed",
        "detail": "Memory ran out.",
        "hint": "Ask for smaller batches.",
    }
    factories.job(session, who, JobKind.TRAIN_DIFFUSION, state=JobState.QUEUED)
    factories.job(session, who, JobKind.SAMPLE, state=JobState.PAUSED, done=3, total=10)
    factories.job(session, who, JobKind.EVALUATE, state=JobState.FAILED, error=error)
    factories.job(session, who, JobKind.EXPLAIN, state=JobState.CANCELLED)


def send_upload(url: str, token: str) -> int:
    """An upload with a table, which waits for its plan to be looked at."""
    with httpx2.Client(base_url=url, headers={"Authorization": f"Bearer {token}"}) as client:
        upload_id: int = client.post("/api/v1/uploads", json={"kind": "folder", "name": "shapes"}).json()["id"]
        paths = [f"shapes/{name}/{k}.png" for name in ("disc", "ring") for k in range(3)] + ["shapes/README.txt"]
        files = [("files", (path, encode_png(factories.drawing(0, k)), "image/png")) for k, path in enumerate(paths)]
        rows = [f"{path.removeprefix('shapes/')},{path[7:11]},p{k // 2}\n" for k, path in enumerate(paths[:-1])]
        files.append(
            ("files", ("shapes/manifest.csv", "".join(["path,label,patient_id\n", *rows]).encode(), "text/csv"))
        )
        client.post(f"/api/v1/uploads/{upload_id}/files", files=files).raise_for_status()
    return upload_id
