"""Audits of synthetic sets, and the pairs that they show."""

import datetime as dt
from typing import Any, Literal

from pydantic import Field

from app.api.schemas.base import Out, file_url
from app.services import audits
from app.services.audits import Pair
from models import Audit


class LightOut(Out):
    """One light of the release gate."""

    name: str = Field(description="leakage, copies, membership or utility.")
    state: Literal["green", "red", "grey"] = Field(description="grey: not known; the sentence says why.")
    sentence: str


class AuditOut(Out):
    """How near a synthetic set comes to real images, and what it gives away of those that were learnt."""

    id: int
    job_id: int
    synthetic_set_id: int
    filtered_set_id: int | None = Field(description="The set without the flagged images; null: there is none.")
    set_to_train_on_id: int = Field(description="filtered_set_id, or synthetic_set_id where nothing was left out.")
    version_id: int = Field(description="Version of the real images.")
    classes: list[str]
    num_images: int
    num_flagged: int | None = Field(description="null: too few held-out images to say what is a copy.")
    lights: list[LightOut] = Field(description="As the audit found them; the set's own gate knows studies as well.")
    fidelity: dict[str, Any] = Field(description="Every figure with its interval, n, extractor and real-vs-real floor.")
    privacy: dict[str, Any] = Field(description="Copies, memorised images, authenticity, power and membership.")
    images: dict[str, Any] = Field(description="How many images of each kind took part, and what to know of them.")
    spec: dict[str, Any]
    created_at: dt.datetime
    url: str

    @classmethod
    def of(cls, row: Audit) -> "AuditOut":
        return cls(
            id=row.id, job_id=row.job_id, synthetic_set_id=row.synthetic_set_id, filtered_set_id=row.filtered_set_id,
            set_to_train_on_id=audits.to_train_on(row), version_id=row.version_id, classes=row.classes, num_images=row.num_images,
            num_flagged=row.num_flagged, lights=[LightOut(**light) for light in row.lights], fidelity=row.report["fidelity"],
            privacy=row.report["privacy"], images=row.report["images"], spec=row.spec, created_at=row.created_at,
            url=f"/audits/{row.id}",
        )  # fmt: skip


class AuditPairOut(Out):
    """A synthetic image beside the training image that it is nearest to."""

    id: int
    synthetic_image_id: int
    image_id: int
    label: str
    real_label: str
    space: str = Field(description="pixels, or the extractor in whose features they are near.")
    kind: str = Field(description="plain, or how the synthetic image is mirrored to resemble the other.")
    similarity: float
    score: float = Field(description="Robust deviations by which it is nearer than a typical held-out image.")
    threshold: float
    flagged: bool
    synthetic_url: str
    real_url: str

    @classmethod
    def of(cls, row: Pair, classes: list[str]) -> "AuditPairOut":
        pair = row.pair
        return cls(
            id=pair.id, synthetic_image_id=pair.synthetic_image_id, image_id=pair.image_id, label=classes[row.synthetic.label],
            real_label=classes[row.real.label], space=pair.space, kind=pair.kind, similarity=pair.similarity, score=pair.score,
            threshold=pair.threshold, flagged=pair.flagged, synthetic_url=file_url(row.synthetic.stored_sha256),
            real_url=file_url(row.real.stored_sha256),
        )  # fmt: skip
