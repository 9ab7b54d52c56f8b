"""The shape of a version's health: what was counted, what was measured, and what it means."""

from typing import Any, Literal

from pydantic import Field

from app.api.schemas.base import Out, file_url
from app.services.datasets.health import Health
from models import JobState


class SideOut(Out):
    """The least and the greatest, pixels."""

    min: int
    max: int


class SizesOut(Out):
    width: SideOut
    height: SideOut


class DuplicatesOut(Out):
    """Images whose pixels are equal to an earlier one's."""

    images: int
    groups: int
    across_splits: int = Field(description="Groups that span splits.")
    across_classes: int = Field(description="Groups that span classes.")


class CheckOut(Out):
    """The newest check of the version."""

    job_id: int
    state: JobState
    message: str


class FindingOut(Out):
    """One thing to know of the dataset, and what to do about it."""

    kind: str = Field(
        description="leaks, label_conflicts, shortcut_numbers, blank ...: docs/science/health.md lists them."
    )
    severity: Literal["serious", "warning", "note"]
    title: str
    meaning: str
    action: str
    count: int
    image_ids: list[int] = Field(description="At most 50.")
    link: str | None = Field(description="The page where there is more of it.")


class SpanOut(Out):
    min: float
    median: float
    max: float


class ClassHealthOut(Out):
    """A class: sizes and files of all its images, grey levels and mean image without the test images."""

    name: str
    num_images: int
    width: SpanOut
    height: SpanOut
    modes: dict[str, int]
    bit_depths: dict[str, int]
    formats: dict[str, int]
    metadata: dict[str, int] = Field(description="Images by the kinds of metadata that their files carried.")
    histogram: list[float] | None = Field(description="Mean shares of 32 grey levels, black first.")
    mean_image_url: str | None


class PropertyValueOut(Out):
    value: str
    shares: dict[str, float] = Field(description="Of each class's images.")


class PropertyOut(Out):
    """A property of the files, and how far it gives the class away."""

    name: str
    title: str
    values: list[PropertyValueOut]
    accuracy: float = Field(description="Balanced accuracy of whoever knows only the value.")
    skill: float = Field(description="The same between chance (0) and certainty (1).")
    p_value: float


class MarkOut(Out):
    """A mark that stands at one place in many images."""

    tone: Literal["bright", "dark"]
    box: list[float] = Field(description="Top, left, bottom, right, as shares of the sides.")
    shares: dict[str, float] = Field(description="Of each class's images that carry it.")
    num_looked_at: int


class TextOut(Out):
    """Burnt-in text."""

    num_looked_at: int
    num_found: int
    shares: dict[str, float]
    image_ids: list[int]


class CopiesOut(Out):
    exact: int = Field(description="Images whose pixels are equal to another's, beyond the first of each.")
    near: int = Field(description="Images beyond the first of each group of look-alikes, exact ones included.")
    groups: int
    across_splits: int
    across_classes: int


class GroupsOut(Out):
    """Patients."""

    num_groups: int
    num_without: int = Field(description="Images whose patient nobody knows.")


class FigureOut(Out):
    value: float
    low: float
    high: float


class BaselineOut(Out):
    """A model that hardly looks at an image, cross-validated without the test images."""

    name: str
    what: str = Field(description="It sees.")
    how: str
    sees: Literal["numbers", "pixels"]
    accuracy: FigureOut
    balanced_accuracy: FigureOut


class BaselinesOut(Out):
    reason: str | None = Field(description="Why there are no models.")
    classes: list[str]
    chance: float = Field(description="Balanced accuracy of guessing.")
    num_images: int
    num_units: int = Field(description="Patients, or groups of copies; no fold tears one.")
    num_folds: int
    confidence: float
    models: list[BaselineOut]


class MeasuredOut(Out):
    """What the check measured."""

    num_images: int
    classes: list[ClassHealthOut]
    quality: dict[str, int] = Field(description="Images that look wrong, by kind.")
    copies: CopiesOut
    leaks: dict[str, int]
    properties: list[PropertyOut]
    marks: list[MarkOut]
    text: TextOut
    groups: GroupsOut
    baselines: BaselinesOut


class HealthOut(Out):
    """What is known of a version's images: counted now, and measured by its check."""

    version: int
    num_images: int
    counts: dict[str, dict[str, int]]
    class_balance: dict[str, float] = Field(description="Each class's share of the images.")
    sizes: SizesOut
    modes: dict[str, int] = Field(description="Images by Pillow's mode of the file.")
    bit_depths: dict[str, int]
    duplicates: DuplicatesOut
    refused: dict[str, int] = Field(description="Files left out, by kind.")
    check: CheckOut | None = Field(description="Null if the version was never checked.")
    findings: list[FindingOut] = Field(description="The worst first; empty until the check has ended.")
    measured: MeasuredOut | None = Field(description="Null until the check has ended.")

    @classmethod
    def of(cls, health: Health) -> "HealthOut":
        check, version = health.check, health.version
        return cls(
            version=version.number,
            **health.summary.as_json(),
            check=CheckOut(job_id=check.id, state=JobState(check.state), message=check.message) if check else None,
            findings=[FindingOut(**finding) for finding in health.findings],
            measured=_measured(version.health) if version.health is not None else None,
        )


def _measured(stored: dict[str, Any]) -> MeasuredOut:
    classes = []
    for described in stored["classes"]:
        key = described["mean_image"]
        shown = {name: value for name, value in described.items() if name != "mean_image"}
        classes.append(ClassHealthOut(**shown, mean_image_url=file_url(key) if key else None))
    rest = {name: value for name, value in stored.items() if name not in ("classes", "findings", "job_id")}
    return MeasuredOut(classes=classes, **rest)
