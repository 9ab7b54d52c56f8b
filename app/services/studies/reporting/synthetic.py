"""What the audit says of the synthetic images: fidelity beside its floor, and privacy with the worst pairs."""

from collections.abc import Iterator, Mapping
from typing import Any

from sqlalchemy.orm import Session

from app.services import audits, checkpoints, synthetic_sets
from app.services.audits import Pair as FoundPair
from app.services.studies.reporting.shown import Extractor, Fidelity, FidelityRow, Pair, Privacy
from app.services.studies.reporting.values import Figure, Link, Picture, figure
from app.services.studies.reporting.words import metric_name, number
from models import Audit, Split

MOST_PAIRS = 10
NO_AUDIT = (
    "The synthetic images have no audit: it has not ended, it failed, it was deleted, or the study draws no images."
)
KINDS = {
    "plain": "", "left_right": ", mirrored left-right", "top_bottom": ", mirrored top-bottom", "rotated": ", turned by half",
}  # fmt: skip
SIDES = ("synthetic", "train", "held_out")
PARTS = (
    ("Flagged as copies", "copies", "rate"),
    ("Unseen real images flagged (floor)", "copies", "floor"),
    ("Memorised training images", "memorised", ""),
    ("Authentic", "authenticity", ""),
    ("Authentic, unseen real images", "authenticity_of_held_out", ""),
)


def fidelity(audit: Audit | None) -> Fidelity:
    if audit is None:
        return Fidelity(missing=NO_AUDIT)
    told = audit.report["fidelity"]
    return Fidelity(
        [_extractor(each, audit.classes) for each in told["extractors"]], list(_variety(told["ms_ssim"], audit.classes)),
        [(metric_name(name), words) for name, words in told["how"].items()], f"/audits/{audit.id}", _job(audit), _basis(audit),
    )  # fmt: skip


def _basis(audit: Audit) -> str:
    """Which images were measured; empty where they are those that the classifiers learn."""
    if audit.filtered_set_id is None:
        return ""
    flagged = number(audit.num_flagged or 0, "flagged image", "flagged images")
    return f"Measured on all {number(audit.num_images, 'image')} as drawn, before {flagged} left the set."


def _job(audit: Audit) -> Link:
    return Link(f"job {audit.job_id}", f"/jobs/{audit.job_id}")


def _extractor(told: Mapping[str, Any], classes: list[str]) -> Extractor:
    about = told["extractor"]
    words = f"weights from {about['weights']}, {about['input_size']} px, {about['num_features']:,} features"
    sections = [("", told["whole"]), *((classes[each["label"]], each) for each in told["per_class"])]
    rows = [_fidelity_row(part, metric, section[metric]) for part, section in sections for metric in section["order"]]
    notes = [f"{part}: {note}" if part else note for part, section in sections for note in section["notes"]]
    return Extractor(about["architecture"], words, rows, notes)


def _fidelity_row(part: str, metric: str, told: Mapping[str, Any]) -> FidelityRow:
    synthetic, floor, at_floor = (told[name] for name in ("synthetic", "floor", "synthetic_at_floor"))
    return FidelityRow(
        part,
        metric_name(metric),
        figure(synthetic),
        _counts(synthetic),
        figure(floor),
        _counts(floor),
        figure(at_floor),
    )


def _counts(told: Mapping[str, Any]) -> str:
    return f"{told['n_real']:,} / {told['n_fake']:,}" if "n_real" in told else "–"


def _variety(told: Mapping[str, Any], classes: list[str]) -> Iterator[tuple[str, Figure, Figure, Figure]]:
    """Of the whole, then class by class; nothing where the images are too small for it."""
    if told["synthetic"] is None:
        return
    for label in (None, *range(len(classes))):
        synthetic, train, held_out = (_of_side(told[side], label) for side in SIDES)
        yield "All classes" if label is None else classes[label], synthetic, train, held_out


def _of_side(told: Mapping[str, Any] | None, label: int | None) -> Figure:
    if told is None:
        return Figure(reason="There are no such images.")
    return figure(told["whole"] if label is None else told["per_class"][label])


def privacy(session: Session, audit: Audit | None, *, real_images: bool) -> Privacy:
    if audit is None:
        return Privacy(missing=NO_AUDIT)
    told, counts = audit.report["privacy"], audit.report["images"]
    spaces, power, attacked = told["spaces"], told["power"], told["membership"]
    worst = audits.worst(session, audit, limit=MOST_PAIRS)
    checkpoint = synthetic_sets.checkpoint_of(session, audits.set_of(session, audit))
    return Privacy(
        list(spaces), [_privacy_row(name, spaces, part, inner) for name, part, inner in PARTS],
        [(name, _threshold(space["copies"])) for name, space in spaces.items()],
        [_planted(row) for row in power] if isinstance(power, list) else [],
        "" if isinstance(power, list) else power["reason"],
        figure(attacked.get("auc", attacked)), attacked.get("method", ""), checkpoints.guarantee_in_words(checkpoint),
        f"{number(counts['synthetic'], 'synthetic image')} against {number(counts['train'], 'training image')} and "
        f"{counts['held_out']:,} held out from training.",
        counts["notes"], [_pair(audit, each, real_images=real_images) for each in worst], _left_out(audit, len(worst)),
        f"/audits/{audit.id}", _job(audit),
    )  # fmt: skip


def _privacy_row(
    name: str, spaces: Mapping[str, Any], part: str, inner: str
) -> tuple[str, list[tuple[Figure, int | None]]]:
    told = [space[part].get(inner, space[part]) if inner else space[part] for space in spaces.values()]
    return name, [(figure(each), each.get("n")) for each in told]


def _threshold(copies: Mapping[str, Any]) -> str:
    words: str = copies["threshold"]["method"] if "threshold" in copies else copies["reason"]
    return words


def _planted(row: Mapping[str, Any]) -> tuple[str, Figure, float | None]:
    return f"{row['strength']} {row['alteration']}", figure(row["found"]), row["auc"]


def _pair(audit: Audit, found: FoundPair, *, real_images: bool) -> Pair:
    pair, place = found.pair, f"/audits/{audit.id}"
    label, real_label = audit.classes[found.synthetic.label], audit.classes[found.real.label]
    shows_real = real_images and found.real.split != Split.TEST  # an audit has none; a report shows none in any case
    return Pair(
        Picture(found.synthetic.stored_sha256, f"Synthetic image {found.synthetic.index}, {label}", f"synthetic {found.synthetic.index}, {label}", place, is_real=False),
        Picture(found.real.thumbnail_sha256, f"Training image {found.real.id}, {real_label}", f"real {found.real.id}, {real_label}", place, is_real=True) if shows_real else None,
        pair.flagged,
        f"score {pair.score:.1f} (threshold {pair.threshold:.1f}) by {pair.space}, similarity {pair.similarity:.2f}{KINDS[pair.kind]}",
    )  # fmt: skip


def _left_out(audit: Audit, num_shown: int) -> str:
    """What became of the flagged images, and how many of them have no pair here."""
    told = []
    if audit.filtered_set_id is not None:
        told.append("Flagged images were left out before anything was trained on the set.")
    elif audit.num_flagged:
        told.append("Flagged images stayed in the set, as asked for: the classifiers learn them.")
    if (more := (audit.num_flagged or 0) - num_shown) > 0:
        told.append(
            f"{number(more, 'further flagged image is', 'further flagged images are')} on the page of the audit."
        )
    return " ".join(told)
