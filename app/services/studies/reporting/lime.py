"""What LIME says of two arms on the same test images, whose opening was counted when they were explained."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.studies.reporting.shown import Lime, LimeArm, LimeImage, LimeSummary
from app.services.studies.reporting.values import Figure, Link, Picture
from app.services.studies.reporting.words import ARMS, listed, number
from models import Arm, ExplanationItem, Study

MOST_IMAGES = 8
FIGURES = {"deletion_auc": "Deletion", "insertion_auc": "Insertion", "stability": "Stability"}
SHARES = ("border", "outside")


def lime(session: Session, study: Study, classes: Sequence[str], *, real_images: bool) -> Lime:
    told = (study.answer or {}).get("explanations")
    if not told or not told.get("images"):
        return Lime(missing=(told or {}).get("reason") or "This study made no explanations.")
    shown = told["images"][:MOST_IMAGES]
    ids = {item_id for image in shown for item_id in image["items"].values()}
    items = {row.id: row for row in session.scalars(select(ExplanationItem).where(ExplanationItem.id.in_(ids)))}
    more = len(told["images"]) - len(shown)
    return Lime(
        _about(told), [_summary(row) for row in told.get("summary", [])],
        [(_arm(arm), bool(each["is_flagged"]), each["sentence"]) for arm, each in told.get("shortcut", {}).items()],
        [_image(each, items, classes, real_images=real_images) for each in shown],
        f"{number(more, 'further image was', 'further images were')} explained." if more else "",
    )  # fmt: skip


def _arm(name: str) -> str:
    """Of an arm, with its size where it has one: synthetic, or synthetic x1."""
    arm, _, size = name.partition(" x")
    if arm not in set(Arm):
        return name
    return ARMS[Arm(arm)][0] + (f" ×\u00a0{size}" if size else "")


def _about(told: Mapping[str, Any]) -> str:
    arms = listed([_arm(arm) for arm in told["arms"]])
    return (
        f"{told['architecture']}, seed {told['seed']}: {number(len(told['images']), 'test image')} explained for the arms {arms}, "
        "with the same superpixels."
    )


def _summary(row: Mapping[str, Any]) -> LimeSummary:
    difference = Figure(row.get("difference"), row.get("low"), row.get("high"), row.get("reason") or "")
    return LimeSummary(row["what"], difference, row.get("p"), row.get("method") or "")


def _image(
    told: Mapping[str, Any], items: Mapping[int, ExplanationItem], classes: Sequence[str], *, real_images: bool
) -> LimeImage:
    found = {arm: items[item_id] for arm, item_id in told["items"].items() if item_id in items}
    first = next(iter(found.values()), None)
    title = f"Test image {told['image_id']}"
    picture = None
    if real_images and first is not None:
        path = f"/explanations/{first.explanation_id}"
        picture = Picture(first.picture_sha256, title, "as the classifiers see it", path, is_real=True)
    return LimeImage(
        title, classes[told["label"]], picture, told.get("overlap"), told.get("correlation"),
        [_of_arm(arm, told, found.get(arm), classes, title, real_images=real_images) for arm in told["items"]],
    )  # fmt: skip


def _of_arm(
    arm: str, told: Mapping[str, Any], item: ExplanationItem | None, classes: Sequence[str], title: str, *, real_images: bool
) -> LimeArm:  # fmt: skip
    figures = [(name, told[key][arm]) for key, name in FIGURES.items() if arm in (told.get(key) or {})]
    for key in SHARES:
        for name, value in ((told.get(key) or {}).get(arm) or {}).items():
            if isinstance(value, int | float) and not isinstance(value, bool):
                figures.append((f"{key.capitalize()}, {name.replace('_', ' ')}", float(value)))
    predicted = classes[told["predicted"][arm]]
    if item is None:
        return LimeArm(_arm(arm), predicted, None, figures, None)
    path = f"/explanations/{item.explanation_id}"
    overlay = Picture(
        item.overlay_sha256, f"{title}: what speaks for {predicted}, {_arm(arm)}", _arm(arm), path, is_real=True
    )
    link = Link(f"explanation {item.explanation_id}", path)
    return LimeArm(_arm(arm), predicted, overlay if real_images else None, figures, link)
