"""Join what the parts of a sampling drew, without running a network."""

import json
from itertools import islice

import numpy as np

from app.core import parts as job_parts
from app.core.drawing import Request
from app.core.errors import ConflictError
from app.core.images import load_uint8
from workers.context import JobContext
from workers.jobs.sample_set import Drawn, Origin
from workers.jobs.sheets import MOST_COLUMNS, publish_sheet

AGAIN = "Copy this job into a new one, which draws them again."
CHECKED_AT_ONCE = 500


def join(context: JobContext, requests: list[Request], origin: Origin) -> list[Drawn]:
    """The images that the job's parts drew, in the order of `requests`: all, unless a part was stopped early.

    Raises ConflictError if there is none, or if one is no longer in storage.
    """
    drawn = _drawn(context, total=len(requests))
    images = [drawn[request.index] for request in requests if request.index in drawn]
    if not images:
        raise ConflictError("Nothing had been drawn when its parts were stopped, so there is no set.", hint=AGAIN)
    if len(images) < len(requests):
        context.log(f"Only {len(images):,} of {len(requests):,} images were drawn: parts were stopped early, as asked.")
    _need_files(context, images, total=len(requests))
    show_first(context, images, origin)
    return images


def _drawn(context: JobContext, *, total: int) -> dict[int, Drawn]:
    with context.database.read() as session:
        results = [part.result or {} for part in job_parts.of(session, [context.job_id])[context.job_id]]
    drawn: dict[int, Drawn] = {}
    for number, result in enumerate(results, 1):
        images = [Drawn(*image) for image in json.loads(context.storage.read(result["drawn_sha256"]))]
        drawn |= {image.index: image for image in images}
        context.report(0, total, message=f"Reading part {number} of {len(results)}", unit="images")
    return drawn


def _need_files(context: JobContext, images: list[Drawn], *, total: int) -> None:
    gone = 0
    for done, image in enumerate(images, 1):
        gone += not context.storage.exists(image.sha256)
        if done % CHECKED_AT_ONCE == 0 or done == len(images):
            context.report(done, total, message="Joining", unit="images")
    if gone:
        raise ConflictError(f"{gone:,} of {len(images):,} images of its parts are no longer in storage.", hint=AGAIN)


def show_first(context: JobContext, images: list[Drawn], origin: Origin) -> None:
    """Show the first images, a row for each class, as long as every class has as many."""
    labels = range(len(origin.classes))
    first = [list(islice((each for each in images if each.label == label), MOST_COLUMNS)) for label in labels]
    columns = min(len(row) for row in first)
    if columns:
        keys = [image.sha256 for row in first for image in row[:columns]]
        pictures = [load_uint8(context.storage.path(key)) for key in keys]
        publish_sheet(context, np.stack(pictures), step=0, classes=origin.classes, columns=columns)
