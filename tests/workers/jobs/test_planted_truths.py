"""What is known beforehand comes out of the product: altered training images fail, fresh real ones pass, permuted labels teach nothing."""

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from sqlalchemy import select

from app.core import phantoms
from app.core.images import encode_png
from app.services import studies
from models import Audit, AuditPair, DatasetVersion, Image, Split, SyntheticImage
from models.specs import AuditSpec, StudySpec
from tests import factories
from tests.workers.jobs.conftest import Studio
from tests.workers.jobs.test_audit_set import light, pairs_of
from tests.workers.jobs.test_study import done, table_of
from workers.ml.privacy.planted import AMOUNTS, altered

SIDE = 32
PER_CLASS = 4  # of each synthetic set
CLASSES = list(phantoms.CLASSES)
AUDIT: dict[str, Any] = {
    "extractors": ["tf_efficientnet_lite0"], "mirrors": ["left_right"], "membership": False, "drop_copies": False, "num_planted": 0,
    "num_halves": 4, "num_subsets": 2, "num_pairs": 16, "batch_size": 128,
}  # fmt: skip


def heads(num_per_class: int, *, seed: int) -> NDArray[np.uint8]:
    """(4 * num_per_class, SIDE, SIDE, 1) phantoms, the classes in turn."""
    drawn = [[phantoms.draw(name, seed * 1000 + k, SIDE) for name in CLASSES] for k in range(num_per_class)]
    return np.array(drawn).reshape(-1, SIDE, SIDE, 1)


LEARNT, HELD_OUT, FRESH = heads(12, seed=0), heads(12, seed=1), heads(PER_CLASS, seed=2)


def dataset_of(studio: Studio) -> int:
    """The version's id: LEARNT to train on, HELD_OUT to validate, four test images that cannot be read."""
    pixels = np.concatenate([LEARNT, HELD_OUT])
    with studio.database.write() as session:
        version = factories.dataset_with_version(
            session, studio.who, name="heads", num_images=len(pixels) + 4, classes=CLASSES
        )
        rows = session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)).all()
        splits = [Split.TRAIN] * len(LEARNT) + [Split.VAL] * len(HELD_OUT) + [Split.TEST] * 4
        for place, (row, split) in enumerate(zip(rows, splits, strict=True)):
            row.split = split
            if split != Split.TEST:
                row.stored_sha256 = studio.storage.put(encode_png(pixels[place])).sha256
        count(version, rows)
        return version.id


def count(version: DatasetVersion, rows: Any) -> None:
    version.counts = {
        name: {s: sum(r.label == label and r.split == s for r in rows) for s in Split}
        for label, name in enumerate(version.classes)
    }
    version.leaks = {"patients": 0, "identical": 0, "near": 0}


def set_of(studio: Studio, version_id: int, images: NDArray[np.uint8]) -> int:
    """A synthetic set of these images, the classes in turn; returns its id."""
    with studio.database.write() as session:
        version = session.get_one(DatasetVersion, version_id)
        checkpoint = factories.checkpoint(session, studio.who, version, image_size=SIDE)
        made = factories.synthetic_set(session, studio.who, checkpoint, per_class=PER_CLASS)
        rows = session.scalars(
            select(SyntheticImage).where(SyntheticImage.set_id == made.id).order_by(SyntheticImage.index)
        )
        for place, (row, pixels) in enumerate(zip(rows, images, strict=True)):
            row.label, row.stored_sha256 = place % len(CLASSES), studio.storage.put(encode_png(pixels)).sha256
        return made.id


def audited(studio: Studio, version_id: int, images: NDArray[np.uint8]) -> tuple[str, list[AuditPair]]:
    """The light for copies, and every image with its score, by the real job."""
    job = studio.run(AuditSpec(synthetic_set_id=set_of(studio, version_id, images), **AUDIT))
    made: Audit = studio.made(Audit, job, "audit_id")
    pairs = pairs_of(studio, made)
    assert len(pairs) == len(images)
    return light(made, "copies")[0], pairs


def auc(near: list[AuditPair], far: list[AuditPair]) -> float:
    ours, theirs = (np.array([pair.score for pair in pairs]) for pairs in (near, far))
    return float((ours[:, None] > theirs).mean() + (ours[:, None] == theirs).mean() / 2)


def test_altered_training_images_fail_the_light_for_copies_and_fresh_real_ones_pass_it(studio: Studio) -> None:
    version_id = dataset_of(studio)
    state, fresh = audited(studio, version_id, FRESH)
    assert (state, sum(pair.flagged for pair in fresh)) == ("green", 0)
    found = {}
    for alteration in AMOUNTS:
        halves = [
            altered(images_uint8=part, alteration=alteration, strength=strength, seed=0)
            for part, strength in zip((LEARNT[:8], LEARNT[8:16]), ("mild", "moderate"), strict=True)
        ]
        state, pairs = audited(studio, version_id, np.concatenate(halves))
        found[alteration] = (state, auc(pairs, fresh))
    assert set(found) == {"noise", "blur", "shift", "mirror", "contrast", "jpeg"}
    assert {state for state, _ in found.values()} == {"red"}, found
    assert min(value for _, value in found.values()) >= 0.95, found


def shapes(studio: Studio, *, num: int, permuted: bool) -> int:
    """The dataset's id: discs and rings; permuted: each image has the label of another one."""
    with studio.database.write() as session:
        version = factories.dataset_with_version(session, studio.who, num_images=num, storage=studio.storage)
        rows = session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)).all()
        if permuted:
            labels = np.random.default_rng(0).permutation([row.label for row in rows])
            for row, label in zip(rows, labels.tolist(), strict=True):
                row.label = label
        count(version, rows)
        return version.dataset_id


@pytest.mark.parametrize(("permuted", "arms"), [(False, ["real_equal"]), (True, ["real", "real_equal"])])
def test_a_study_of_permuted_labels_covers_chance_in_every_arm_and_one_of_true_labels_excludes_it(
    studio: Studio, permuted: bool, arms: list[str]
) -> None:
    learn = {"epochs": 4, "pretrained": False, "input_size": 32, "batch_size": 8}
    spec = {
        "dataset_id": shapes(studio, num=160, permuted=permuted), "architectures": ["resnet10t"], "seeds": [0], "arms": arms,
        "diffusion": {"image_size": 16}, "classifier": learn, "num_bootstrap": 200, "explanations": None,
    }  # fmt: skip
    with studio.database.write() as session:
        study_id = studies.launch(session, studio.who, StudySpec.model_validate(spec)).id
    table = table_of(done(studio, study_id))
    assert ([row["key"] for row in table["rows"]], table["num_images"]) == (arms, 32)
    for row in table["rows"]:
        figure = row["mean"]["balanced_accuracy"]
        assert figure["low"] < figure["high"]
        assert (figure["low"] <= 1 / 2 <= figure["high"]) is permuted, figure
        assert permuted or figure["value"] > 1 / 2, figure
