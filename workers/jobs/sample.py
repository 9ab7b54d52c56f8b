"""Make a synthetic set: draw it from a checkpoint, or join what the parts of the job drew."""

import functools

from app.core import drawing
from models.specs import SampleSpec
from workers.context import JobContext, Recorder
from workers.jobs.sample_joining import join
from workers.jobs.sample_set import origin_of, record


def run(context: JobContext, spec: SampleSpec) -> Recorder:
    origin = origin_of(context, spec.checkpoint_id)
    requests = drawing.requested(drawing.counts_of(spec, origin.classes))
    if spec.num_parts > 1:
        images = join(context, requests, origin)
    else:
        from workers.jobs.sample_drawing import draw  # here, since a worker that only joins need not load torch

        images = draw(context, spec, origin, requests)
    return functools.partial(record, spec, origin, images)
