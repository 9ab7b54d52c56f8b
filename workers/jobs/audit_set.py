"""Audit a synthetic set: how near it comes to real images, and what it gives away of those that were learnt.

Flagged images are left out of a further set, so that nothing is trained on copies; the audited set stays as it was drawn.
"""

import functools
from typing import Any, NamedTuple

from sqlalchemy import insert, select
from sqlalchemy.orm import Session

from app.core import naming
from app.core.lights import lights, unmeasured
from models import Audit, AuditPair, Job, Mark, SyntheticImage, SyntheticSet
from models.specs import AuditSpec
from workers.context import JobContext, Recorder
from workers.jobs.audit_images import Chosen, choose, load
from workers.jobs.audit_measuring import Progress, Sides, architectures, attack, by_kind, extract, fidelity
from workers.jobs.problems import explained
from workers.ml.privacy import audit as privacy
from workers.ml.privacy.planted import AMOUNTS
from workers.ml.pulse import listening

ROWS_AT_ONCE = 1000


class Found(NamedTuple):
    """report: {fidelity, privacy, images}. pairs: rows of AuditPair, less the audit's id. flagged: ids of synthetic images."""

    report: dict[str, Any]
    pairs: list[dict[str, Any]]
    flagged: set[int]


def run(context: JobContext, spec: AuditSpec) -> Recorder:
    with explained(lower="most_images or batch_size"):
        with context.database.read() as session:
            chosen = choose(session, spec)
        for note in chosen.notes:
            context.log(note, level="warning")
        names = architectures(context, spec)
        sides = _read(context, spec, chosen, num_extractors=len(names))
        with listening(sides.progress.step):
            features = extract(sides, names)
            near = fidelity(sides, features)
            told = attack(sides, chosen)
            sides.progress.begin("Searching for copies")
            found = privacy.audit(
                synthetic_uint8=sides.synthetic.uint8, synthetic_labels=sides.synthetic.labels, train=sides.train.real(),
                held_out=sides.held_out.real(), features=by_kind(features), mirrors=tuple(spec.mirrors or ()),
                membership=told, level=spec.level, num_planted=spec.num_planted, num_worst=0, seed=spec.seed,
            )  # fmt: skip
        sides.progress.finish()
    return functools.partial(_record, spec, chosen, _found(spec, chosen, near, found))


def _read(context: JobContext, spec: AuditSpec, chosen: Chosen, *, num_extractors: int) -> Sides:
    synthetic = load(context, chosen, chosen.synthetic, what="synthetic images")
    train = load(context, chosen, chosen.train, what="training images")
    held_out = load(context, chosen, chosen.held_out, what="validation images")
    images = len(synthetic) + len(train) + len(held_out)
    searched = images + spec.num_planted * len(AMOUNTS) * len(privacy.POWER_STRENGTHS)
    attacked = sum(min(len(each), spec.most_images) for each in (train, held_out)) if spec.membership else 0
    context.log(
        f"{len(synthetic):,} synthetic images against {len(train):,} that were learnt and {len(held_out):,} held out."
    )
    progress = Progress(context, num_extractors * images + attacked + searched)
    return Sides(synthetic, train, held_out, len(chosen.synthetic_set.classes), spec, context, progress)


def _found(spec: AuditSpec, chosen: Chosen, near: dict[str, Any], audited: privacy.Audit) -> Found:
    """With rows' ids in place of places in arrays."""
    report = audited.report
    thresholds = {}
    for name, space in report["spaces"].items():
        if "rate" not in space["copies"]:
            continue
        thresholds[name] = space["copies"]["threshold"]["value"]
        del space["copies"]["worst"]  # the pairs are rows
        for leak in space["copies"]["suspected_leaks"]:
            leak["held_out"] = chosen.held_out[leak["held_out"]].id
            leak["train"] = chosen.train[leak["train"]].id
        for memorised in space["memorised"]["train"]:
            memorised["train"] = chosen.train[memorised["train"]].id
    nearest = [_nearest(each["spaces"], thresholds) for each in audited.images]
    ranked = sorted((each for each in nearest if each is not None), key=_suspicion, reverse=True)
    num_flagged = sum(each["flagged"] for each in ranked)
    pairs = [_pair(chosen, each) for each in ranked[: max(num_flagged, spec.num_pairs)]]
    flagged = {chosen.synthetic[each["synthetic"]].id for each in audited.images if each["flagged"]}
    images = {
        "synthetic": len(chosen.synthetic), "train": len(chosen.train), "held_out": len(chosen.held_out),
        "was_learnt": chosen.was_learnt, "notes": chosen.notes,
    }  # fmt: skip
    return Found({"fidelity": near, "privacy": report, "images": images}, pairs, flagged)


def _nearest(spaces: dict[str, Any], thresholds: dict[str, float]) -> dict[str, Any] | None:
    """What the most telling space says of one synthetic image; None for a blank one, or without a threshold."""
    rows = [
        {**row, "space": name, "threshold": thresholds[name]}
        for name, row in spaces.items()
        if row["train"] is not None and row["score"] is not None
    ]
    flagged = [row for row in rows if row["flagged"]]
    return next(iter(flagged or rows), None)


def _suspicion(row: dict[str, Any]) -> tuple[bool, float]:
    return row["flagged"], row["score"] - row["threshold"]


def _pair(chosen: Chosen, row: dict[str, Any]) -> dict[str, Any]:
    kept = ("space", "kind", "similarity", "score", "threshold", "flagged")
    return {
        "synthetic_image_id": chosen.synthetic[row["synthetic"]].id, "image_id": chosen.train[row["train"]].id,
        **{name: row[name] for name in kept},
    }  # fmt: skip


def _record(spec: AuditSpec, chosen: Chosen, found: Found, session: Session, row: Job) -> dict[str, Any]:
    audited = session.get_one(SyntheticSet, spec.synthetic_set_id)
    filtered = _without(session, row, audited, found.flagged) if found.flagged and spec.drop_copies else None
    made = Audit(
        project_id=row.project_id, job_id=row.id, synthetic_set_id=audited.id, version_id=spec.version_id,
        filtered_set_id=filtered.id if filtered is not None else None, classes=audited.classes, num_images=len(chosen.synthetic),
        num_flagged=found.report["privacy"]["num_flagged"], report=found.report,
        lights=lights(leaks=chosen.leaks, report=found.report, utility=unmeasured()), spec=spec.model_dump(mode="json"),
    )  # fmt: skip
    session.add(made)
    session.flush()
    for start in range(0, len(found.pairs), ROWS_AT_ONCE):
        pairs = found.pairs[start : start + ROWS_AT_ONCE]
        session.execute(insert(AuditPair), [{"audit_id": made.id, **pair} for pair in pairs])
    return {
        "audit_id": made.id, "synthetic_set_id": (filtered or audited).id, "num_flagged": made.num_flagged,
    }  # fmt: skip


def _without(session: Session, row: Job, audited: SyntheticSet, flagged: set[int]) -> SyntheticSet:
    """The set less what is flagged and what a person had rejected; the files are shared."""
    query = select(SyntheticImage).where(SyntheticImage.set_id == audited.id, SyntheticImage.mark != Mark.REJECTED)
    kept = [image for image in session.scalars(query.order_by(SyntheticImage.id)) if image.id not in flagged]
    counts = {name: sum(image.label == label for image in kept) for label, name in enumerate(audited.classes)}
    made = SyntheticSet(
        project_id=audited.project_id, job_id=row.id, checkpoint_id=audited.checkpoint_id, version_id=audited.version_id,
        filtered_from_id=audited.id,
        name=naming.without_copies(audited.name, num_copies=len(flagged), audit_job_id=row.id),
        image_size=audited.image_size, channels=audited.channels, classes=audited.classes, num_images=len(kept), counts=counts,
        spec=audited.spec,
    )  # fmt: skip
    session.add(made)
    session.flush()
    for start in range(0, len(kept), ROWS_AT_ONCE):
        session.execute(
            insert(SyntheticImage),
            [
                {
                    "set_id": made.id, "index": image.index, "label": image.label, "seed": image.seed, "mark": image.mark,
                    "stored_sha256": image.stored_sha256,
                }
                for image in kept[start : start + ROWS_AT_ONCE]
            ],
        )  # fmt: skip
    return made
