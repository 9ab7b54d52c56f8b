"""Draw the images of a sampling, or of one part of it, and keep them in storage.

Image k of class c depends on nothing but the checkpoint, its class, the seed, its index (app/core/drawing.py) and the
sampler's options. So a set of 100 images of a class begins with the set of 50, whatever the other classes are, and may
continue it; any number of attempts, parts or workers draw the same. What is drawn is noted batch by batch and never drawn again.
"""

import functools
import json
import tomllib
from collections.abc import Iterable
from dataclasses import astuple, dataclass, field
from pathlib import Path

import numpy as np
from sqlalchemy import select

from app.core.drawing import CLASS_STRIDE, Request
from app.core.images import Uint8, encode_png
from models import SyntheticImage
from models.specs import Sampling
from models.specs.sampling import DRAWN_WITH
from workers.context import JobContext
from workers.jobs import notes
from workers.jobs.pace import Pace
from workers.jobs.problems import explained
from workers.jobs.sample_joining import show_first
from workers.jobs.sample_set import Drawn, Origin
from workers.jobs.sheets import MOST_COLUMNS, publish_sheet
from workers.ml.diffusion.sampling import Guidance, SampledBatch, sample_images
from workers.ml.diffusion.training import Denoiser, load_denoiser

PYPROJECT = Path(__file__).parents[2] / "pyproject.toml"
NOTE = "Synthetic image, drawn by a diffusion model. It shows no patient and is not for diagnosis."


@dataclass
class Drawing:
    """One attempt. drawn: by index, those of earlier attempts as well."""

    context: JobContext
    spec: Sampling
    origin: Origin
    denoiser: Denoiser
    drawn: dict[int, Drawn] = field(default_factory=dict)


def draw(context: JobContext, spec: Sampling, origin: Origin, requests: list[Request]) -> list[Drawn]:
    """Draw the images asked for, or as many as there are when a person asks to stop, in the order of `requests`."""
    taken, before = taken_over(context, spec), drawn_before(context)
    drawn = taken | before
    if taken and not before:
        show_first(context, [taken[each.index] for each in requests if each.index in taken], origin)
    with explained(lower="batch_size"):
        denoiser = load_denoiser(context.storage.path(origin.checkpoint_sha256), device=context.device)
        job = Drawing(context, spec, origin, denoiser, drawn)
        _draw(job, requests)
    return [job.drawn[request.index] for request in requests if request.index in job.drawn]


def taken_over(context: JobContext, spec: Sampling) -> dict[int, Drawn]:
    """The images of the set that this one continues, by index: the same that would be drawn. Rejected ones are among them."""
    if spec.synthetic_set_id is None:
        return {}
    query = select(SyntheticImage.index, SyntheticImage.label, SyntheticImage.stored_sha256)
    with context.database.read() as session:
        rows = session.execute(query.where(SyntheticImage.set_id == spec.synthetic_set_id)).all()
    found = {index: Drawn(index, label, sha256) for index, label, sha256 in rows if context.storage.exists(sha256)}
    context.log(f"{len(found):,} images are those of synthetic set {spec.synthetic_set_id}; they are not drawn again.")
    return found


def drawn_before(context: JobContext) -> dict[int, Drawn]:
    """What earlier attempts drew, by index; noted in this attempt's folder, since old folders are given up in time."""
    earlier = [Drawn(*image) for note in notes.read_all(context) for image in note]
    drawn = {image.index: image for image in earlier if context.storage.exists(image.sha256)}
    if drawn:
        notes.write(context, "drawn-before", [astuple(image) for image in drawn.values()])
        context.resumed_from(len(drawn))
    return drawn


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
        guidance=Guidance(spec.guidance, spec.guidance_start, spec.guidance_stop),
        sampler=spec.sampler,
        num_steps=spec.num_steps,
        batch_size=spec.batch_size,
        device=job.context.device,
    )


def _keep(job: Drawing, index: int, pixels: Uint8) -> Drawn:
    """Store one image with its provenance inside."""
    label = index // CLASS_STRIDE
    png = encode_png(
        pixels, provenance(job.spec, job.origin.checkpoint_sha256, index=index, label=job.origin.classes[label])
    )
    return Drawn(index, label, job.context.storage.put(png).sha256)


def provenance(spec: Sampling, checkpoint_sha256: str, *, index: int, label: str) -> dict[str, str]:
    """The PNG's text chunks: what it is, for people, and how to draw it again, as JSON."""
    recipe = {
        "synthetic": True,
        "generator": "Phantom Studio",
        "version": studio_version(),
        "checkpoint_sha256": checkpoint_sha256,
        "class": label,
        "seed": spec.seed,
        "index": index,
        **{option: getattr(spec, option) for option in DRAWN_WITH},
    }
    return {"Software": f"Phantom Studio {studio_version()}", "Comment": NOTE, "phantom-studio": json.dumps(recipe)}


@functools.cache
def studio_version() -> str:
    return str(tomllib.loads(PYPROJECT.read_text())["project"]["version"])


def _show(job: Drawing, batch: SampledBatch) -> None:
    """Show the first images at once, a row for each class, as long as every class has as many."""
    classes, labels = job.origin.classes, batch.indices // CLASS_STRIDE
    columns = min(MOST_COLUMNS, *(int((labels == label).sum()) for label in range(len(classes))))
    if columns:
        places = np.concatenate([np.flatnonzero(labels == label)[:columns] for label in range(len(classes))])
        publish_sheet(job.context, batch.images_uint8[places], step=0, classes=classes, columns=columns)
