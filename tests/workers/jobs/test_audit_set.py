"""Audits of synthetic sets: planted copies are found and dropped, a fresh set keeps everything, and what cannot be said has a reason."""

import io
from typing import Any

import numpy as np
import pytest
from PIL import Image as PillowImage
from sqlalchemy import func, select, update

from app.core.images import encode_png
from models import (
    Audit,
    AuditPair,
    Checkpoint,
    DatasetVersion,
    Image,
    JobState,
    Mark,
    Opening,
    Split,
    SyntheticImage,
    SyntheticSet,
)
from models.specs import AuditSpec
from tests import factories
from tests.workers.jobs.conftest import Studio
from tests.workers.ml.diffusion.tiny import new_state
from tests.workers.ml.privacy.pictures import pictures
from workers.context import JobContext
from workers.jobs.audit_images import choose
from workers.ml.diffusion.training import export_denoiser

SIDE, PER_CLASS = 16, 4
QUICK: dict[str, Any] = {
    "extractors": ["tf_efficientnet_lite0"], "num_planted": 4, "num_halves": 4, "num_subsets": 2, "num_bootstrap": 100,
    "num_draws": 1, "timesteps": [200], "batch_size": 128,
}  # fmt: skip


@pytest.fixture(scope="session")
def network(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A checkpoint's file: of a network that has learnt nothing."""
    path = tmp_path_factory.mktemp("network") / "network.safetensors"
    export_denoiser(path, state=new_state(), metadata={})
    return path.read_bytes()


def dataset_of(studio: Studio, *, val: int) -> int:
    """Real images of two classes, 30 to learn from, `val` to hold out, 10 locked; returns the version's id."""
    num = 40 + val
    with studio.database.write() as session:
        version = factories.dataset_with_version(session, studio.who, name="pictures", num_images=num)
        rows = session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)).all()
        splits = [Split.TRAIN] * 30 + [Split.TEST] * 10 + [Split.VAL] * val
        for row, split, pixels in zip(rows, splits, pictures(num, seed=0, side=8), strict=True):
            key = studio.storage.put(encode_png(pixels)).sha256
            row.split = split
            row.file_sha256 = row.pixel_sha256 = row.stored_sha256 = row.thumbnail_sha256 = key
        version.counts = {
            name: {s: sum(r.label == label and r.split == s for r in rows) for s in Split}
            for label, name in enumerate(version.classes)
        }
        version.leaks = {"patients": 0, "identical": 0, "near": 0}
        return version.id


def set_of(studio: Studio, version_id: int, network: bytes, *, copies: int) -> int:
    """A synthetic set of eight images, the first `copies` of each class being training images; returns its id."""
    with studio.database.write() as session:
        version = session.get_one(DatasetVersion, version_id)
        checkpoint = factories.checkpoint(
            session, studio.who, version, image_size=8, sha256=studio.storage.put(network).sha256
        )
        made = factories.synthetic_set(session, studio.who, checkpoint, per_class=PER_CLASS)
        learnt = session.scalars(
            select(Image).where(Image.version_id == version_id, Image.split == Split.TRAIN).order_by(Image.id)
        ).all()
        fresh = pictures(2 * PER_CLASS, seed=9, side=8)
        for row, pixels in zip(session.scalars(select(SyntheticImage).order_by(SyntheticImage.id)), fresh, strict=True):
            place = row.index % PER_CLASS
            copied = learnt[2 * place + row.label].stored_sha256
            row.stored_sha256 = copied if place < copies else studio.storage.put(encode_png(pixels)).sha256
        return made.id


def audit(studio: Studio, set_id: int, **options: Any) -> Audit:
    made: Audit = studio.made(Audit, studio.run(AuditSpec(synthetic_set_id=set_id, **{**QUICK, **options})), "audit_id")
    return made


def pairs_of(studio: Studio, made: Audit) -> list[AuditPair]:
    return studio.rows(select(AuditPair).where(AuditPair.audit_id == made.id).order_by(AuditPair.id))


def light(made: Audit, name: str) -> tuple[str, str]:
    return next((each["state"], each["sentence"]) for each in made.lights if each["name"] == name)


def test_planted_copies_are_found_shown_beside_what_they_copy_and_dropped(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=2)
    job = studio.run(AuditSpec(synthetic_set_id=set_id, **QUICK))
    made = studio.made(Audit, job, "audit_id")
    assert made.num_flagged == 4
    pairs = pairs_of(studio, made)
    assert [pair.flagged for pair in pairs] == [True] * 4 + [False] * 4
    keys = dict(studio_rows(studio, select(Image.id, Image.stored_sha256)))
    drawn = dict(studio_rows(studio, select(SyntheticImage.id, SyntheticImage.stored_sha256)))
    assert all(keys[pair.image_id] == drawn[pair.synthetic_image_id] for pair in pairs[:4])
    assert light(made, "copies")[0] == "red"
    assert light(made, "leakage")[0] == "green"
    assert light(made, "utility")[0] == "grey"

    assert job.result == {"audit_id": made.id, "synthetic_set_id": made.filtered_set_id, "num_flagged": 4}
    filtered = studio.made(SyntheticSet, job, "synthetic_set_id")
    assert (filtered.filtered_from_id, filtered.num_images, filtered.counts) == (set_id, 4, {"disc": 2, "ring": 2})
    assert filtered.name == f"4 per class, without 4 copies (audit {job.id})"
    kept = studio.rows(select(SyntheticImage.index).where(SyntheticImage.set_id == filtered.id))
    assert sorted(kept) == [2, 3, 6, 7]
    assert len(studio.rows(select(SyntheticImage.id).where(SyntheticImage.set_id == set_id))) == 8  # as it was drawn


def studio_rows(studio: Studio, query: Any) -> Any:
    with studio.database.read() as session:
        return [tuple(row) for row in session.execute(query)]


def test_copies_may_stay(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=2)
    made = audit(studio, set_id, drop_copies=False, membership=False)
    assert (made.num_flagged, made.filtered_set_id) == (4, None)
    assert light(made, "membership") == ("grey", "It was not asked for.")


def test_a_fresh_set_keeps_everything(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=0)
    job = studio.run(AuditSpec(synthetic_set_id=set_id, **QUICK))
    assert job.result is not None
    assert (job.result["num_flagged"], job.result["synthetic_set_id"]) == (0, set_id)
    made = studio.made(Audit, job, "audit_id")
    assert light(made, "copies")[0] == "green"
    assert [pair.flagged for pair in pairs_of(studio, made)] == [False] * 8
    assert studio.rows(select(func.count(SyntheticSet.id))) == [1]


def test_every_figure_stands_beside_its_floor_and_what_it_was_taken_with(studio: Studio, network: bytes) -> None:
    made = audit(studio, set_of(studio, dataset_of(studio, val=30), network, copies=0))
    extractor = made.report["fidelity"]["extractors"][0]
    assert extractor["extractor"]["architecture"] == "tf_efficientnet_lite0"
    kid = extractor["whole"]["kid"]
    assert (kid["synthetic"]["n_real"], kid["synthetic"]["n_fake"], kid["floor"]["n_fake"]) == (30, 8, 8)
    assert [each["label"] for each in extractor["per_class"]] == [0, 1]
    assert list(made.report["privacy"]["spaces"]) == ["pixels", "tf_efficientnet_lite0"]
    assert made.report["privacy"]["membership"]["num_members"] == 30
    assert (made.report["images"]["synthetic"], made.report["images"]["held_out"]) == (8, 30)
    assert made.report["fidelity"]["ms_ssim"]["synthetic"] is None  # images of 8 px are too small for it


def test_no_test_image_takes_part_and_none_is_shown(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=2)
    with studio.database.write() as session:  # a test image that cannot be read would fail the job
        session.execute(update(Image).where(Image.split == Split.TEST).values(stored_sha256="f" * 64))
    shown = {pair.image_id for pair in pairs_of(studio, audit(studio, set_id))}
    assert set(studio.rows(select(Image.split).where(Image.id.in_(shown)))) == {Split.TRAIN}
    assert studio.rows(select(Opening)) == []


@pytest.mark.parametrize("val", [0, 10])
def test_too_few_validation_images_flag_nothing_and_say_so(studio: Studio, network: bytes, val: int) -> None:
    made = audit(studio, set_of(studio, dataset_of(studio, val=val), network, copies=2))
    assert (made.num_flagged, made.filtered_set_id, pairs_of(studio, made)) == (None, None, [])
    state, why = light(made, "copies")
    assert state == "grey"
    assert f"Only {val} held-out real images" in why
    assert f"{val} images that nobody trained on; at least 20" in made.report["images"]["notes"][0]


def test_images_that_a_person_rejected_are_neither_audited_nor_kept(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=1)
    with studio.database.write() as session:
        last = session.scalar(select(func.max(SyntheticImage.id)))
        session.execute(update(SyntheticImage).where(SyntheticImage.id == last).values(mark=Mark.REJECTED))
    job = studio.run(AuditSpec(synthetic_set_id=set_id, **QUICK))
    assert studio.made(Audit, job, "audit_id").num_images == 7
    assert studio.made(SyntheticSet, job, "synthetic_set_id").num_images == 5


class TestWhatWasLearnt:
    def test_is_the_share_that_training_took_and_what_it_went_on_from(self, studio: Studio, network: bytes) -> None:
        version_id = dataset_of(studio, val=30)
        set_id = set_of(studio, version_id, network, copies=0)
        spec = AuditSpec(synthetic_set_id=set_id, version_id=version_id)
        with studio.database.write() as session:
            made = session.get_one(SyntheticSet, set_id)
            last = session.get_one(Checkpoint, made.checkpoint_id)
            last.spec = {"kind": "train_diffusion", "train_share": 0.2}
            session.flush()
            assert len(choose(session, spec).train) == 6
            first = factories.checkpoint(session, studio.who, session.get_one(DatasetVersion, version_id))
            last.spec = {**last.spec, "init_checkpoint_id": first.id}
            session.flush()
            assert len(choose(session, spec).train) == 30
            last.spec = {**last.spec, "init_checkpoint_id": 999}
            session.flush()
            assert "was deleted" in choose(session, spec).notes[0]

    def test_leaves_out_what_has_become_a_test_image_since(self, studio: Studio, network: bytes) -> None:
        version_id = dataset_of(studio, val=30)
        set_id = set_of(studio, version_id, network, copies=0)
        with studio.database.write() as session:
            locked = session.scalars(
                select(Image.stored_sha256).where(Image.version_id == version_id, Image.split == Split.TEST)
            ).all()
            before = factories.dataset_with_version(session, studio.who, name="before", num_images=20)
            learnt = session.scalars(
                select(Image).where(Image.version_id == before.id, Image.split == Split.TRAIN)
            ).all()
            for image, key in zip(learnt, locked[:3], strict=False):
                image.stored_sha256 = key
            first = factories.checkpoint(session, studio.who, before)
            last = session.get_one(Checkpoint, session.get_one(SyntheticSet, set_id).checkpoint_id)
            last.spec = {"kind": "train_diffusion", "init_checkpoint_id": first.id}
            session.flush()
            chosen = choose(session, AuditSpec(synthetic_set_id=set_id, version_id=version_id))
        assert len(chosen.train) == 30 + 14 - 3
        assert not {source.key for source in chosen.train} & set(locked)
        assert "3 images that were learnt earlier are test images now" in chosen.notes[0]


def test_a_cancelled_audit_leaves_nothing(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=2)
    job_id = studio.submit(AuditSpec(synthetic_set_id=set_id, **QUICK))
    seen: list[Any] = []

    def cancel(context: JobContext, done: int) -> None:
        seen.append(context.news)  # type: ignore[attr-defined]
        context.flags.cancel = done >= 30

    studio.attempt_until(job_id, cancel)
    assert studio.job(job_id).state == JobState.QUEUED  # as attempt_until leaves it
    assert studio.rows(select(Audit)) == []
    assert studio.rows(select(func.count(SyntheticSet.id))) == [1]
    assert {"unit": "images"}.items() <= seen[-1].items()
    assert seen[-1]["rate"] > 0


def test_every_phase_tells_that_it_goes_on_and_ends_when_it_is_cancelled(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=2)
    job_id = studio.submit(AuditSpec(synthetic_set_id=set_id, **QUICK))
    seen: list[str] = []

    def cancel(context: JobContext, done: int) -> None:
        seen.append(context.news["message"])  # type: ignore[attr-defined]
        context.flags.cancel = seen.count("Searching for copies") == 2

    studio.attempt_until(job_id, cancel)
    for phase in (
        "Features by tf_efficientnet_lite0",
        "Comparing features by tf_efficientnet_lite0",
        "Attacking the network by its loss",
    ):
        assert seen.count(phase) > 2, phase
    assert seen[-2:] == ["Searching for copies"] * 2  # its first block was the last


def test_the_same_audit_twice_says_the_same(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=1)
    assert audit(studio, set_id).report == audit(studio, set_id).report


def test_a_kept_image_has_the_very_file_of_the_one_drawn(studio: Studio, network: bytes) -> None:
    set_id = set_of(studio, dataset_of(studio, val=30), network, copies=1)
    filtered = studio.made(SyntheticSet, studio.run(AuditSpec(synthetic_set_id=set_id, **QUICK)), "synthetic_set_id")
    rows = studio.rows(select(SyntheticImage).where(SyntheticImage.set_id == filtered.id))
    stored = [np.asarray(PillowImage.open(io.BytesIO(studio.storage.read(row.stored_sha256)))) for row in rows]
    assert len(stored) == 6
    assert {image.shape for image in stored} == {(8, 8)}
