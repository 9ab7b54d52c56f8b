"""Image arrays: right pixels in the right order, read once, and never a damaged or partial cache."""

from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from app.core import leases
from app.core.errors import NotFoundError
from app.core.leases import Lease
from models import Image, JobKind, Queue, Split
from tests import factories
from tests.workers.jobs.conftest import OWNER, Studio
from workers.context import JobCancelled, JobContext
from workers.jobs.arrays import Source, join, load_images, real_sources, take


@pytest.fixture
def context(studio: Studio) -> JobContext:
    with studio.database.write() as session:
        spec = {"kind": "evaluate", "classifier_id": 1}
        factories.job(session, studio.who, JobKind.EVALUATE, spec=spec)
        job = leases.claim_next(session, queues=list(Queue), owner=OWNER)
        assert job is not None
    from models.specs import EvaluateSpec

    return JobContext(
        lease=Lease(job.id, job.attempt, OWNER), project_id=job.project_id, spec=EvaluateSpec(classifier_id=1),
        database=studio.database, storage=studio.storage, settings=studio.settings, device="cpu",
    )  # fmt: skip


@pytest.fixture
def sources(studio: Studio, version_id: int) -> list[Source]:
    with studio.database.read() as session:
        return real_sources(session, version_id=version_id, split=Split.TRAIN)


def cached(studio: Studio) -> list[Path]:
    return sorted((studio.settings.cache_dir / "arrays").iterdir())


def load(context: JobContext, sources: list[Source], image_size: int = 16) -> np.ndarray:
    return load_images(context, sources, image_size=image_size, channels=1, fit="pad", what="images").images_uint8


def test_only_the_split_asked_for_is_read(studio: Studio, sources: list[Source]) -> None:
    splits = {image.id: image.split for image in studio.rows(select(Image))}
    assert len(sources) == 14
    assert {splits[source.id] for source in sources} == {"train"}


def test_pixels_stand_in_the_order_of_the_sources(context: JobContext, sources: list[Source]) -> None:
    # The factory draws image i of class i % 2 with seed i; at their own size pixels are unchanged.
    images = load_images(context, sources, image_size=16, channels=1, fit="pad", what="images")
    for place in (0, 5, 13):
        assert np.array_equal(images.images_uint8[place], factories.drawing(place % 2, place))
    assert images.labels.tolist() == [0, 1] * 7


class TestCache:
    def test_is_used_the_second_time(self, studio: Studio, context: JobContext, sources: list[Source]) -> None:
        first = load(context, sources)
        studio.storage.delete(sources[0].key)
        assert np.array_equal(load(context, sources), first)
        assert len(cached(studio)) == 1

    def test_holds_each_size_apart(self, studio: Studio, context: JobContext, sources: list[Source]) -> None:
        assert load(context, sources, 8).shape == (14, 8, 8, 1)
        assert load(context, sources, 16).shape == (14, 16, 16, 1)
        assert len(cached(studio)) == 2

    @pytest.mark.parametrize("damage", [b"", b"\x93NUMPY\x01\x00", b"something else entirely"])
    def test_is_made_anew_when_damaged(
        self, studio: Studio, context: JobContext, sources: list[Source], damage: bytes
    ) -> None:
        first = np.array(load(context, sources))
        cached(studio)[0].write_bytes(damage)
        assert np.array_equal(load(context, sources), first)

    def test_leaves_nothing_behind_when_reading_fails(
        self, studio: Studio, context: JobContext, sources: list[Source]
    ) -> None:
        studio.storage.delete(sources[3].key)
        with pytest.raises(NotFoundError):
            load(context, sources)
        assert cached(studio) == []

    def test_leaves_nothing_behind_when_the_job_is_cancelled(
        self, studio: Studio, context: JobContext, sources: list[Source]
    ) -> None:
        context.flags.cancel = True
        with pytest.raises(JobCancelled):
            load(context, sources)
        assert cached(studio) == []


def test_join_puts_one_lot_after_the_other(context: JobContext, sources: list[Source]) -> None:
    images = load_images(context, sources, image_size=16, channels=1, fit="pad", what="images")
    joined = join([take(images, [3]), take(images, [0, 1])])
    assert np.array_equal(joined.images_uint8, images.images_uint8[[3, 0, 1]])
    assert joined.labels.tolist() == [1, 0, 1]
