"""What LIME says of two arms on the same test images, whose opening was counted when they were explained."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.studies.reporting.shown import Lime, LimeArm, LimeCheck, LimeImage, LimeSummary
from app.services.studies.reporting.values import Figure, Link, Picture
from app.services.studies.reporting.words import ARMS, EXPLAINED, listed, number, p_value, with_interval
from models import Arm, ExplanationItem, Study

MOST_IMAGES = 8
PLAIN = ("deletion_auc", "insertion_auc", "stability")
SHARES = ("border", "corners", "outside")


def lime(session: Session, study: Study, classes: Sequence[str], *, real_images: bool) -> Lime:
    told = (study.answer or {}).get("explanations")
    if told is None:
        return Lime(missing="This study made no explanations.")
    if told["reason"]:
        return Lime(missing=told["reason"])
    shown = told["images"][:MOST_IMAGES]
    ids = {item_id for image in shown for item_id in image["items"].values()}
    items = {row.id: row for row in session.scalars(select(ExplanationItem).where(ExplanationItem.id.in_(ids)))}
    more = len(told["images"]) - len(shown)
    tested = [row["method"] for row in told["summary"] if row["p"] is not None]
    return Lime(
        about=_about(told), arms=[_arm(arm) for arm in told["arms"]],
        summary=[_summary(row, told["arms"]) for row in told["summary"]], agreement=_agreement(told),
        methods=list(dict.fromkeys([*tested, told["agreement"]["method"]])),
        checks=[LimeCheck(_arm(arm), each["is_flagged"], each["sentence"]) for arm, each in told["shortcut"].items()],
        images=[_image(each, items, classes, real_images=real_images) for each in shown],
        left_out=f"{number(more, 'further image was', 'further images were')} explained." if more else "",
    )  # fmt: skip


def _arm(arm: str) -> str:
    return ARMS[Arm(arm)][0]


def _about(told: Mapping[str, Any]) -> str:
    return (
        f"LIME of {number(len(told['images']), 'test image')}, chosen without a look at any prediction, with {told['architecture']}, "
        f"seed {told['seed']}, for the arms {listed([_arm(arm) for arm in told['arms']])}. Blue speaks for the predicted class, orange against it."
    )


def _summary(row: Mapping[str, Any], arms: Sequence[str]) -> LimeSummary:
    name, good = EXPLAINED[row["what"]]
    difference = Figure(row["difference"], row["low"], row["high"], "not measured")
    return LimeSummary(name, good, [row["values"][arm] for arm in arms], difference, row["p_holm"], row["num_images"])


def _agreement(told: Mapping[str, Any]) -> str:
    """How far both arms look at the same regions, beside two seeds of one arm where there are two."""
    found = told["agreement"]
    said = f"The strongest regions of both arms overlap by {found['overlap']:.2f} on average (1 is the same regions)"
    if found["correlation"] is not None:
        said += f"; the rank correlation of all weights is {found['correlation']:.2f}"
    if found["difference"] is None:
        return f"{said}."
    seeds = listed([f"{found['seed_overlap'][arm]:.2f} ({_arm(arm)})" for arm in told["arms"]])
    against = with_interval(found["difference"], found["low"], found["high"], signed=True)
    tested = f", {p_value(found['p'])}" if found["p"] is not None else ""
    return f"{said}. Two seeds of one arm overlap by {seeds}; both arms differ from their mean by {against}{tested}."


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
        title, classes[told["label"]], picture, told["overlap"], told["correlation"],
        [_of_arm(arm, told, found.get(arm), classes, title, real_images=real_images) for arm in told["items"]],
    )  # fmt: skip


def _of_arm(
    arm: str, told: Mapping[str, Any], item: ExplanationItem | None, classes: Sequence[str], title: str, *, real_images: bool
) -> LimeArm:  # fmt: skip
    figures: list[tuple[str, float | None, float | None]] = [(EXPLAINED[key][0], told[key][arm], None) for key in PLAIN]
    for key in SHARES:
        share = told[key][arm]
        figures.append(
            (EXPLAINED[key][0], share["positive"], share["area"]) if share else (EXPLAINED[key][0], None, None)
        )
    predicted = classes[told["predicted"][arm]]
    if item is None:
        return LimeArm(_arm(arm), predicted, None, figures, None)
    path = f"/explanations/{item.explanation_id}"
    overlay = Picture(
        item.overlay_sha256, f"{title}: what speaks for {predicted}, {_arm(arm)}", _arm(arm), path, is_real=True
    )
    link = Link(f"explanation {item.explanation_id}", path)
    return LimeArm(_arm(arm), predicted, overlay if real_images else None, figures, link)
