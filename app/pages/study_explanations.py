"""Where the classifiers of a study look: their explanations of the same test images, side by side on the study's page."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.pages.results import page_url
from app.services import explanations
from app.services.studies.reporting.words import ARMS, EXPLAINED
from models import Arm, DatasetVersion, Study

IN_THE_TABLE = ("deletion_auc", "insertion_auc", "stability", "border", "outside")


@dataclass(frozen=True)
class Side:
    """One arm's explanation of an image. url, overlay_sha256: None where it was deleted since."""

    arm: str
    predicted: str
    probability: float
    is_right: bool
    url: str | None
    overlay_sha256: str | None


@dataclass(frozen=True)
class Pair:
    """A figure of both arms; area: what weight spread evenly would give, where the figure is a share of it."""

    values: list[float | None]
    area: float | None


@dataclass(frozen=True)
class ImageRow:
    """cells: the pairs of IN_THE_TABLE, in its order."""

    name: str
    label: str
    sides: list[Side]
    overlap: float
    correlation: float | None
    cells: list[Pair]
    outside_reason: str


@dataclass(frozen=True)
class FigureRow:
    name: str
    good: str
    values: list[float | None]
    told: Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """Of one arm. is_flagged: None where too few images can tell."""

    arm: str
    is_flagged: bool | None
    sentence: str


@dataclass(frozen=True)
class Section:
    """reason: why there is no comparison; then there is nothing else."""

    architecture: str
    seed: int
    arms: list[str]
    heads: list[str]
    reason: str
    images: list[ImageRow]
    summary: list[FigureRow]
    agreement: Mapping[str, Any] | None
    seed_overlap: list[float | None]
    checks: list[Check]
    methods: list[str]


def section(session: Session, study: Study) -> Section | None:
    """None where the study explains nothing, or its answer is not there yet."""
    told = (study.answer or {}).get("explanations")
    if told is None:
        return None
    arms: list[str] = told["arms"]
    names = {arm: ARMS[Arm(arm)][0] for arm in arms}
    classes = session.get_one(DatasetVersion, study.version_id).classes
    agreement = told["agreement"]
    summary = [_figure(row, arms) for row in told["summary"]]
    said = [row.told["method"] for row in summary if row.told["p"] is not None]
    return Section(
        architecture=told["architecture"], seed=told["seed"], arms=[names[arm] for arm in arms],
        heads=[EXPLAINED[name][0] for name in IN_THE_TABLE], reason=told["reason"],
        images=_images(session, told["images"], arms, classes, names), summary=summary, agreement=agreement,
        seed_overlap=[agreement["seed_overlap"][arm] for arm in arms] if agreement is not None else [],
        checks=[Check(names[arm], each["is_flagged"], each["sentence"]) for arm, each in told["shortcut"].items()],
        methods=list(dict.fromkeys([*said, *([agreement["method"]] if agreement is not None else [])])),
    )  # fmt: skip


def _figure(row: Mapping[str, Any], arms: Sequence[str]) -> FigureRow:
    name, good = EXPLAINED[row["what"]]
    return FigureRow(name, good, [row["values"][arm] for arm in arms], row)


def _images(
    session: Session,
    told: Sequence[Mapping[str, Any]],
    arms: Sequence[str],
    classes: Sequence[str],
    names: Mapping[str, str],
) -> list[ImageRow]:
    items = explanations.items_by_id(session, [image["items"][arm] for image in told for arm in arms])
    paths = explanations.paths(session, [image["image_id"] for image in told])

    def side(image: Mapping[str, Any], arm: str) -> Side:
        item, predicted = items.get(image["items"][arm]), image["predicted"][arm]
        url = page_url(f"/explanations/{item.explanation_id}", item=item.id) if item is not None else None
        return Side(
            names[arm], classes[predicted], image["probability"][arm], predicted == image["label"], url,
            item.overlay_sha256 if item is not None else None,
        )  # fmt: skip

    return [
        ImageRow(
            name=paths.get(image["image_id"], f"image {image['image_id']}"), label=classes[image["label"]],
            sides=[side(image, arm) for arm in arms], overlap=image["overlap"], correlation=image["correlation"],
            cells=[_pair(image[name], arms) for name in IN_THE_TABLE], outside_reason=image["outside_reason"],
        )
        for image in told
    ]  # fmt: skip


def _pair(entry: Mapping[str, Any], arms: Sequence[str]) -> Pair:
    """Of plain figures, or of the positive shares of a place."""
    found = [entry[arm] for arm in arms]
    shares = [each for each in found if isinstance(each, Mapping)]
    if shares:
        return Pair([each["positive"] if each is not None else None for each in found], shares[0]["area"])
    return Pair(found, None)
