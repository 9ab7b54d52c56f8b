"""Draw a synthetic set from a checkpoint.

Image k of class c has the index c * 1,000,000 + k, and depends on nothing but the checkpoint, its class, the seed, that
index and the sampler's options. So a set of 100 images of a class begins with the set of 50, whatever the other classes
are, and any number of attempts or workers draw the same. What is drawn is noted batch by batch and never drawn again.
"""

import functools
import json
import tomllib
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import insert
from sqlalchemy.orm import Session

from app.core.images import Uint8, encode_png
from models import Checkpoint, Job, SyntheticImage, SyntheticSet
from models.specs import SampleSpec
from workers.context import JobContext, Recorder
from workers.jobs import notes
from workers.jobs.pace import Pace
from workers.jobs.problems import explained
from workers.jobs.sheets import publish_sheet
from workers.ml.diffusion.sampling import SampledBatch, sample_images
from workers.ml.diffusion.training import Denoiser, load_denoiser

CLASS_STRIDE = 1_000_000  # a multiple of every chunk size, so that each class fills whole chunks
ROWS_AT_ONCE = 2000
MOST_COLUMNS = 8
PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
NOTE = "Synthetic image, drawn by a diffusion model. It shows no patient and is not for diagnosis."


@dataclass(frozen=True)
class Request:
    index: int
    label: int


@dataclass(frozen=True)
class Drawn:
    """An image that lies in storage."""

    index: int
    label: int
    sha256: str


@dataclass
class Drawing:
    """One attempt. drawn: by index, those of earlier attempts as well."""

    context: JobContext
    spec: SampleSpec
    classes: list[str]
    image_size: int
    channels: int
    version_id: int | None
    checkpoint_sha256: str
    denoiser: Denoiser
    drawn: dict[int, Drawn] = field(default_factory=dict)


def run(context: JobContext, spec: SampleSpec) -> Recorder:
    with explained(lower="batch_size"):
        job = _begin(context, spec)
        requests = requested(spec, job.classes)
        _take_over(job)
        _draw(job, requests)
    return functools.partial(_record, job, [job.drawn[r.index] for r in requests if r.index in job.drawn])


def _begin(context: JobContext, spec: SampleSpec) -> Drawing:
    with context.database.read() as session:
        row = session.get_one(Checkpoint, spec.checkpoint_id)
        about = (list(row.classes), row.image_size, row.channels, row.version_id, row.sha256)
    denoiser = load_denoiser(context.storage.path(about[-1]), device=context.device)
    return Drawing(context, spec, *about, denoiser)


def requested(spec: SampleSpec, classes: Sequence[str]) -> list[Request]:
    """Every image asked for, taking turns between the classes, so that a set stopped early is balanced."""
    counts = [spec.counts.get(name, 0) if spec.counts is not None else spec.per_class or 0 for name in classes]
    return [
        Request(label * CLASS_STRIDE + number, label)
        for number in range(max(counts))
        for label, count in enumerate(counts)
        if number < count
    ]


def _take_over(job: Drawing) -> None:
    """Know what earlier attempts drew; note it in this attempt's folder, since old folders are given up in time."""
    earlier = [Drawn(*image) for note in notes.read_all(job.context) for image in note]
    job.drawn = {image.index: image for image in earlier if job.context.storage.exists(image.sha256)}
    if job.drawn:
        notes.write(job.context, "drawn-before", [astuple(image) for image in job.drawn.values()])
        job.context.resumed_from(len(job.drawn))


def _draw(job: Drawing, requests: list[Request]) -> None:
    context, total = job.context, len(requests)
    missing = [request for request in requests if request.index not in job.drawn]
    done = total - len(missing)
    pace = Pace(done)
    context.report(done, total, message="Drawing", unit="images")
    for batch in _batches(job, missing):
        images = [_keep(job, int(index), pixels) for index, pixels in zip(*batch, strict=True)]
        if not job.drawn:
            _show(job, batch)
        job.drawn |= {image.index: image for image in images}
        notes.write(context, f"drawn-{len(job.drawn):09d}", [astuple(image) for image in images])
        done += len(images)
        rate = pace.tick(done)
        context.report(done, total, message=f"Drawing, {rate:.1f} images/s", rate=rate, unit="images")
        if context.should_stop and done < total:
            context.log(f"Stopped after {done:,} of {total:,} images, as asked.")
            return


def _batches(job: Drawing, missing: list[Request]) -> Iterable[SampledBatch]:
    spec = job.spec
    return sample_images(
        denoiser=job.denoiser,
        labels=np.array([request.label for request in missing], dtype=np.int64),
        indices=np.array([request.index for request in missing], dtype=np.int64),
        seed=spec.seed,
        guidance=spec.guidance,
        sampler=spec.sampler,
        num_steps=spec.num_steps,
        batch_size=spec.batch_size,
        device=job.context.device,
    )


def _keep(job: Drawing, index: int, pixels: Uint8) -> Drawn:
    """Store one image with its provenance inside."""
    label = index // CLASS_STRIDE
    png = encode_png(pixels, provenance(job.spec, job.checkpoint_sha256, index=index, label=job.classes[label]))
    return Drawn(index, label, job.context.storage.put(png).sha256)


def provenance(spec: SampleSpec, checkpoint_sha256: str, *, index: int, label: str) -> dict[str, str]:
    """The PNG's text chunks: what it is, for people, and how to draw it again, as JSON."""
    recipe = {
        "synthetic": True,
        "generator": "Phantom Studio",
        "version": studio_version(),
        "checkpoint_sha256": checkpoint_sha256,
        "class": label,
        "seed": spec.seed,
        "index": index,
        "guidance": spec.guidance,
        "sampler": spec.sampler,
        "num_steps": spec.num_steps,
    }
    return {"Software": f"Phantom Studio {studio_version()}", "Comment": NOTE, "phantom-studio": json.dumps(recipe)}


@functools.cache
def studio_version() -> str:
    return str(tomllib.loads(PYPROJECT.read_text())["project"]["version"])


def _show(job: Drawing, batch: SampledBatch) -> None:
    """Show the first images at once, a row for each class, as long as every class has as many."""
    labels = batch.indices // CLASS_STRIDE
    columns = min(MOST_COLUMNS, *(int((labels == label).sum()) for label in range(len(job.classes))))
    if columns:
        places = np.concatenate([np.flatnonzero(labels == label)[:columns] for label in range(len(job.classes))])
        publish_sheet(job.context, batch.images_uint8[places], step=0, classes=job.classes, columns=columns)


def _record(job: Drawing, images: list[Drawn], session: Session, row: Job) -> dict[str, Any]:
    spec = job.spec
    counts = {name: sum(1 for image in images if image.label == label) for label, name in enumerate(job.classes)}
    synthetic_set = SyntheticSet(
        project_id=row.project_id, job_id=row.id, checkpoint_id=spec.checkpoint_id, version_id=job.version_id,
        name=spec.name, image_size=job.image_size, channels=job.channels, classes=job.classes,
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
