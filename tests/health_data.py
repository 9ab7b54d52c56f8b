"""The health of a version as a check writes it, with one of everything; tests/workers/jobs holds the real one against its shape."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from models import DatasetVersion, Image, JobKind, JobState
from tests import factories


def finding(
    kind: str, severity: str, *, count: int = 1, image_ids: list[int] | None = None, link: str | None = None
) -> dict[str, Any]:
    return {
        "kind": kind, "severity": severity, "title": f"Something {kind.replace('_', ' ')}", "meaning": "It means something.",
        "action": "Do something.", "count": count, "image_ids": image_ids or [], "link": link,
    }  # fmt: skip


def figure(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.05, "high": value + 0.05}


def a_class(name: str, number: int, mean_image: str | None) -> dict[str, Any]:
    return {
        "name": name, "num_images": number, "width": {"min": 16, "median": 16.0, "max": 32},
        "height": {"min": 16, "median": 16.0, "max": 16}, "modes": {"L": number}, "bit_depths": {"8": number},
        "formats": {"png": number}, "metadata": {"none": number - 1, "EXIF": 1}, "histogram": [0.5] + [0.5 / 31] * 31,
        "mean_image": mean_image,
    }  # fmt: skip


def health(
    version: DatasetVersion, image_ids: list[int], *, job_id: int, mean_image: str | None = None
) -> dict[str, Any]:
    """image_ids: of images that are to be found blank."""
    classes = version.classes
    shares = {name: round(1 / (place + 1), 4) for place, name in enumerate(classes)}
    models = [
        {"name": "numbers_linear", "what": "4 numbers", "how": "logistic regression", "sees": "numbers"},
        {"name": "numbers_forest", "what": "4 numbers", "how": "a random forest", "sees": "numbers"},
        {"name": "pixels_forest", "what": "24 × 24 grey pixels", "how": "a random forest", "sees": "pixels"},
    ]
    return {
        "num_images": version.num_images,
        "findings": [
            finding("leaks", "serious", link="leaks"),
            finding("label_conflicts", "serious", link="duplicates?span=classes"),
            finding("blank", "warning", count=len(image_ids), image_ids=image_ids),
            finding("metadata", "note"),
        ],
        "classes": [a_class(name, sum(version.counts[name].values()), mean_image) for name in classes],
        "quality": {"blank": len(image_ids), "dark": 0},
        "copies": {"exact": 1, "near": 2, "groups": 2, "across_splits": 0, "across_classes": 1},
        "leaks": {"patients": 0, "identical": 0, "near": 0},
        "properties": [
            {
                "name": "format", "title": "File format", "accuracy": 0.75, "skill": 0.5, "p_value": 1e-6,
                "values": [{"value": "png", "shares": shares}, {"value": "jpg", "shares": shares}],
            }
        ],
        "marks": [{"tone": "bright", "box": [0.8, 0.7, 1.0, 1.0], "shares": shares, "num_looked_at": 20}],
        "text": {"num_looked_at": 20, "num_found": 1, "shares": shares, "image_ids": image_ids[:1]},
        "groups": {"num_groups": 0, "num_without": version.num_images},
        "baselines": {
            "reason": None, "classes": classes, "chance": 1 / len(classes), "num_images": 16, "num_units": 15, "num_folds": 5,
            "confidence": 0.95,
            "models": [{**model, "accuracy": figure(0.8), "balanced_accuracy": figure(0.75)} for model in models],
        },
        "job_id": job_id,
    }  # fmt: skip


def give(session: Session, who: Any, version: DatasetVersion, *, mean_image: str | None = None) -> list[int]:
    """Write down that the version was checked, and that its first two images are blank; returns their ids."""
    ids = list(session.scalars(select(Image.id).where(Image.version_id == version.id).order_by(Image.id).limit(2)))
    spec = {"kind": "check_dataset", "dataset_id": version.dataset_id, "version_id": version.id, "seed": 0}
    job = factories.job(
        session, who, JobKind.CHECK_DATASET, state=JobState.SUCCEEDED, spec=spec,
        result={"dataset_id": version.dataset_id, "version_id": version.id},
    )  # fmt: skip
    version.health = health(version, ids, job_id=job.id, mean_image=mean_image)
    session.flush()
    return ids
