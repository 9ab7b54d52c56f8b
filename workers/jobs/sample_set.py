"""A synthetic set as rows, from the images that lie in storage."""

from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import insert
from sqlalchemy.orm import Session

from models import Checkpoint, Job, SyntheticImage, SyntheticSet
from models.specs import SampleSpec
from workers.context import JobContext

ROWS_AT_ONCE = 2000


@dataclass(frozen=True)
class Drawn:
    """An image that lies in storage."""

    index: int
    label: int
    sha256: str


class Origin(NamedTuple):
    """What a set has from the checkpoint that drew it."""

    classes: list[str]
    image_size: int
    channels: int
    version_id: int | None
    checkpoint_sha256: str


def origin_of(context: JobContext, checkpoint_id: int) -> Origin:
    with context.database.read() as session:
        row = session.get_one(Checkpoint, checkpoint_id)
        return Origin(list(row.classes), row.image_size, row.channels, row.version_id, row.sha256)


def record(spec: SampleSpec, origin: Origin, images: list[Drawn], session: Session, row: Job) -> dict[str, Any]:
    """Write the set and its images; returns the job's result."""
    counts = {name: sum(1 for image in images if image.label == label) for label, name in enumerate(origin.classes)}
    synthetic_set = SyntheticSet(
        project_id=row.project_id, job_id=row.id, checkpoint_id=spec.checkpoint_id, version_id=origin.version_id,
        name=spec.name, image_size=origin.image_size, channels=origin.channels, classes=origin.classes,
        num_images=len(images), counts=counts, spec=spec.model_dump(mode="json"),
    )  # fmt: skip
    session.add(synthetic_set)
    session.flush()
    for start in range(0, len(images), ROWS_AT_ONCE):
        rows = [
            {
                "set_id": synthetic_set.id,
                "index": image.index,
                "label": image.label,
                "seed": spec.seed,
                "stored_sha256": image.sha256,
            }
            for image in images[start : start + ROWS_AT_ONCE]
        ]
        session.execute(insert(SyntheticImage), rows)
    return {"synthetic_set_id": synthetic_set.id, "num_images": len(images)}
