"""Explanations: what LIME says of a classifier on some images, and what says whether to believe it."""

import datetime as dt
from collections.abc import Mapping
from typing import Any

from pydantic import Field

from app.api.schemas.base import API, Out, file_url
from app.api.schemas.results import by_class
from app.services.explanations import Spread, Summary
from models import Explanation, ExplanationItem


class SpreadOut(Out):
    """A figure over the images for which it was measured."""

    num_images: int
    mean: float
    least: float
    greatest: float

    @classmethod
    def of(cls, spread: Spread | None) -> "SpreadOut | None":
        return None if spread is None else cls(**vars(spread))


class SummaryOut(Out):
    """Whether the explanations can be believed, over their images; null: measured for none."""

    deletion_auc: SpreadOut | None = Field(description="Area under the deletion curve; the smaller the better.")
    insertion_auc: SpreadOut | None = Field(description="Area under the insertion curve; the larger the better.")
    overlap: SpreadOut | None = Field(description="Jaccard index of the strongest regions over seeds; 1: the same.")
    correlation: SpreadOut | None = Field(description="Correlation of the regions' weights over seeds; 1: the same.")

    @classmethod
    def of(cls, summary: Summary) -> "SummaryOut":
        return cls(**{name: SpreadOut.of(spread) for name, spread in vars(summary).items()})


class FaithfulnessOut(Out):
    """Regions hidden (deletion) and shown (insertion) one after another, from the most positive weight to the most negative."""

    label: str = Field(description="The class whose probability is followed: the predicted one.")
    shares: list[float] = Field(description="Share of the image's area hidden, or shown, after each region.")
    deletion: list[float] = Field(description="Probability of the class, from the whole image to all hidden.")
    insertion: list[float] = Field(description="Probability of the class, from all hidden to the whole image.")
    deletion_auc: float = Field(description="Area under the deletion curve, 0 to 1; the smaller the better.")
    insertion_auc: float = Field(description="Area under the insertion curve, 0 to 1; the larger the better.")

    @classmethod
    def of(cls, found: Mapping[str, Any], classes: list[str]) -> "FaithfulnessOut":
        return cls.model_validate({**found, "label": classes[found["label"]]})


class StabilityOut(Out):
    """How far explanations with several seeds agree, over all pairs of them."""

    label: str = Field(description="The class whose weights are compared: the predicted one.")
    seeds: list[int] = Field(description="The first is that of the explanation that is kept.")
    num_seeds: int
    top_k: int
    overlap: float = Field(description="Mean Jaccard index of the top_k regions that speak for the class, 0 to 1.")
    correlation: float | None = Field(description="Mean correlation of all weights, -1 to 1; null: they do not vary.")
    deviations: list[float] = Field(description="Standard deviation of each region's weight over the seeds.")

    @classmethod
    def of(cls, found: Mapping[str, Any], classes: list[str]) -> "StabilityOut":
        return cls.model_validate({**found, "label": classes[found["label"]]})


class ShareOut(Out):
    """How much of the weight lies in a part of the picture; spread evenly, it would be the share of the area."""

    area: float = Field(description="Share of the picture's area.")
    positive: float | None = Field(description="Share of the weight that speaks for the class; null: there is none.")
    absolute: float | None = Field(description="Share of all weight, without its sign; null: there is none.")


class PlacesOut(Out):
    """Where the weight lies: on marks at the edge, or on the patient?"""

    label: str = Field(description="The class whose weights are looked at: the predicted one.")
    border: ShareOut = Field(description="The frame, a tenth of the side wide.")
    corners: ShareOut = Field(description="A square in each corner, a fifth of the side long.")
    outside: ShareOut | None = Field(description="Outside the body; null: no background can be told.")
    reason: str = Field(description="Why no background can be told; empty if one can.")

    @classmethod
    def of(cls, found: Mapping[str, Any], classes: list[str]) -> "PlacesOut":
        return cls.model_validate({**found, "label": classes[found["label"]]})


class ExplanationOut(Out):
    """What LIME says of a classifier on some images."""

    id: int
    job_id: int
    classifier_id: int
    classes: list[str]
    num_images: int
    summary: SummaryOut
    spec: dict[str, Any]
    created_at: dt.datetime
    url: str
    download_url: str

    @classmethod
    def of(cls, row: Explanation, summary: Summary) -> "ExplanationOut":
        return cls(
            id=row.id, job_id=row.job_id, classifier_id=row.classifier_id, classes=row.classes,
            num_images=row.num_images, summary=SummaryOut.of(summary), spec=row.spec, created_at=row.created_at,
            url=f"/explanations/{row.id}", download_url=f"{API}/explanations/{row.id}/download",
        )  # fmt: skip


class ExplanationItemOut(Out):
    """One explained image."""

    id: int
    index: int
    image_id: int | None
    uploaded_image_id: int | None
    label: str | None = Field(description="True class, where known.")
    predicted: str
    probabilities: dict[str, float]
    width: int
    height: int
    picture_url: str = Field(description="As the classifier saw it.")
    segments_url: str = Field(description="16-bit grey PNG: the segment of each pixel.")
    overlay_url: str
    weights: dict[str, Any] = Field(description="The weight of each segment for each class, with the fit's score.")
    faithfulness: FaithfulnessOut | None = Field(
        description="Deletion and insertion; null: explained before it was measured."
    )
    stability: StabilityOut | None = Field(description="Agreement with further seeds; null: none were asked for.")
    places: PlacesOut | None = Field(description="Where the weight lies; null: explained before it was measured.")

    @classmethod
    def of(cls, row: ExplanationItem, classes: list[str]) -> "ExplanationItemOut":
        return cls(
            id=row.id, index=row.index, image_id=row.image_id, uploaded_image_id=row.uploaded_image_id,
            label=None if row.label is None else classes[row.label], predicted=classes[row.predicted],
            probabilities=by_class(classes, row.probabilities), width=row.width, height=row.height,
            picture_url=file_url(row.picture_sha256), segments_url=file_url(row.segments_sha256),
            overlay_url=file_url(row.overlay_sha256), weights=row.weights,
            faithfulness=FaithfulnessOut.of(row.faithfulness, classes) if row.faithfulness else None,
            stability=StabilityOut.of(row.stability, classes) if row.stability else None,
            places=PlacesOut.of(row.places, classes) if row.places else None,
        )  # fmt: skip
