"""Draw one part of a synthetic set. Its result names a list of what it drew, from which the job of the whole makes the set."""

import json
from dataclasses import astuple

from app.core import drawing
from models.specs import SamplePartSpec
from workers.context import JobContext, Recorder
from workers.jobs.sample_drawing import draw, drawn_before
from workers.jobs.sample_set import Drawn, origin_of


def run(context: JobContext, spec: SamplePartSpec) -> Recorder:
    origin = origin_of(context, spec.checkpoint_id)
    counts = drawing.counts_of(spec, origin.classes)
    requests = drawing.requested_of_part(counts, part=spec.part, num_parts=spec.num_parts)
    if context.should_stop:  # it was asked to before this attempt began
        images = list(drawn_before(context).values())
        context.log(f"Stopped after {len(images):,} of {len(requests):,} images, as asked.")
        context.report(len(images), len(requests), unit="images")
    else:
        images = draw(context, spec, origin, requests)
    result = {"drawn_sha256": _keep_list(context, images), "num_images": len(images)}
    return lambda *_: result


def _keep_list(context: JobContext, images: list[Drawn]) -> str:
    """Store the list [[index, label, sha256], ...]; app/core/leftovers.py knows it as long as it is not joined."""
    return context.storage.put(json.dumps([astuple(image) for image in images]).encode()).sha256
