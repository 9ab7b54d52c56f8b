"""Check a version of a dataset: copies and leaks, images that look wrong, and what gives the classes away.

What it finds becomes the version's health: numbers, and findings in words, the worst first. It is quick and starts over when it is
interrupted.
"""

import functools
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.core import clusters, versions
from app.core.version_rows import locked
from models import DatasetVersion, Job
from models.specs import CheckDatasetSpec
from workers.context import JobContext, Recorder
from workers.jobs.health import baselines, measuring, pictures
from workers.jobs.health.findings import findings
from workers.jobs.health.steps import Steps
from workers.jobs.health.subject import LookedThrough, Subject, look_through, read
from workers.jobs.looks import record_looks
from workers.ml.health.associations import Association
from workers.ml.health.marks import Mark


def run(context: JobContext, spec: CheckDatasetSpec) -> Recorder:
    assert spec.version_id is not None, "prepare() fills it in"
    steps = Steps(context)
    steps.begin("Reading what is known of the images")
    with context.database.read() as session:
        subject = read(session, spec.version_id)
    looked = look_through(context.storage, steps, subject)
    health = measure(context, steps, looked.subject, seed=spec.seed)
    context.log(f"{len(health['findings'])} findings; " + "; ".join(each["title"] for each in health["findings"][:5]))
    steps.begin("Writing it down")
    return functools.partial(_record, looked, health)


def measure(context: JobContext, steps: Steps, subject: Subject, *, seed: int) -> dict[str, Any]:
    """The health of a version, as JSON."""
    steps.begin("Measuring sizes and grey levels")
    flags = measuring.quality(subject)
    classes = measuring.classes(subject)
    steps.begin("Laying thumbnails upon each other")
    sample = pictures.sample(context.storage, subject, seed=seed)
    means = pictures.publish_means(context, subject, sample, [each["name"] for each in classes])
    marks = pictures.marks(subject, sample)
    steps.begin("Looking for burnt-in text")
    text = pictures.text(context.storage, steps, subject, seed=seed)
    steps.begin("Trivial baselines")
    health: dict[str, Any] = {
        "num_images": len(subject.entries),
        "classes": [each | {"mean_image": means.get(each["name"])} for each in classes],
        "quality": {kind: int(found.sum()) for kind, found in flags.items()},
        "copies": measuring.copies(subject.entries),
        "leaks": versions.leaks(subject.entries),
        "properties": [_property(name, each, subject) for name, each in measuring.associations(subject).items()],
        "marks": [_mark(mark, subject, len(sample.places)) for mark in marks],
        "text": text,
        "groups": {
            "num_groups": len({entry.group for entry in subject.entries} - {None}),
            "num_without": sum(entry.group is None for entry in subject.entries),
        },
        "baselines": baselines.measure(steps, subject, seed=seed),
    }
    flagged = {kind: subject.ids_of(np.flatnonzero(found)) for kind, found in flags.items()}
    return {"findings": [each.as_json() for each in findings(subject, health, flagged)], **health}


def _property(name: str, found: Association, subject: Subject) -> dict[str, Any]:
    return {
        "name": name,
        "title": measuring.PROPERTIES[name],
        "values": [
            {"value": value, "shares": _by_class(row.tolist(), subject)}
            for value, row in zip(found.values, found.shares, strict=True)
        ],
        "accuracy": found.accuracy,
        "skill": found.skill,
        "p_value": found.p_value,
    }


def _mark(mark: Mark, subject: Subject, num_looked_at: int) -> dict[str, Any]:
    return {
        "tone": mark.tone,
        "box": list(mark.box),
        "shares": _by_class(mark.shares, subject),
        "num_looked_at": num_looked_at,
    }


def _by_class(shares: list[float], subject: Subject) -> dict[str, float]:
    """{class: share} of the classes that are described one by one."""
    return {subject.classes[label]: round(shares[label], 4) for label in measuring.shown_labels(subject)}


def _record(looked: LookedThrough, health: dict[str, Any], session: Session, job: Job) -> dict[str, Any]:
    locked(session, looked.subject.dataset_id)  # pairs are not written down by two at once
    version = session.get_one(DatasetVersion, looked.subject.version_id)
    record_looks(session, version.dataset_id, looked.looks, looked.facts, looked.look_alikes or [])
    if looked.look_alikes is not None:
        clusters.cluster_anew(session, version)
    version.health = health | {"job_id": job.id}
    serious = sum(each["severity"] == "serious" for each in health["findings"])
    return {
        "dataset_id": version.dataset_id,
        "version_id": version.id,
        "num_findings": len(health["findings"]),
        "num_serious": serious,
    }
