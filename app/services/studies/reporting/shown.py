"""Parts of a report that show images: samples, what the audit says with its pairs, and LIME."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from app.services.studies.reporting.values import Figure, Link, Picture


@dataclass(frozen=True)
class SampleClass:
    name: str
    real: list[Picture]
    synthetic: list[Picture]


@dataclass(frozen=True)
class Samples:
    classes: list[SampleClass] = field(default_factory=list)
    note: str = ""
    missing: str = ""


@dataclass(frozen=True)
class FidelityRow:
    """A figure of a class (of all, if part is empty): synthetic, unseen real, and synthetic at the floor's n."""

    part: str
    metric: str
    synthetic: Figure
    n: str
    floor: Figure
    floor_n: str
    at_floor: Figure


@dataclass(frozen=True)
class Extractor:
    name: str
    about: str
    rows: list[FidelityRow]
    notes: list[str]


@dataclass(frozen=True)
class Fidelity:
    """basis: which images were measured, where copies were left out of them afterwards."""

    extractors: list[Extractor] = field(default_factory=list)
    variety: list[tuple[str, Figure, Figure, Figure]] = field(default_factory=list)  # class: synthetic, train, held out
    methods: list[tuple[str, str]] = field(default_factory=list)
    path: str = ""
    job: Link | None = None
    basis: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Pair:
    synthetic: Picture
    real: Picture | None  # None if real images are left out
    flagged: bool
    told: str


@dataclass(frozen=True)
class Privacy:
    """rows: (what, figure of each space with its n)."""

    spaces: list[str] = field(default_factory=list)
    rows: list[tuple[str, list[tuple[Figure, int | None]]]] = field(default_factory=list)
    thresholds: list[tuple[str, str]] = field(default_factory=list)
    power: list[tuple[str, Figure, float | None]] = field(default_factory=list)
    power_reason: str = ""
    membership: Figure | None = None
    membership_method: str = ""
    guarantee: str = ""
    counts: str = ""
    notes: list[str] = field(default_factory=list)
    pairs: list[Pair] = field(default_factory=list)
    left_out: str = ""
    path: str = ""
    job: Link | None = None
    missing: str = ""


@dataclass(frozen=True)
class LimeArm:
    """One arm's explanation of an image. figures: (name, value, and of a share what an even spread would give); overlay:
    None if real images are left out."""

    name: str
    predicted: str
    overlay: Picture | None
    figures: list[tuple[str, float | None, float | None]]
    link: Link | None


@dataclass(frozen=True)
class LimeImage:
    title: str
    label: str
    picture: Picture | None
    overlap: float | None
    correlation: float | None
    arms: list[LimeArm]


@dataclass(frozen=True)
class LimeSummary:
    """A figure's mean over the images, by arm; difference: second arm minus first; n: images."""

    what: str
    good: str
    values: list[float | None]
    difference: Figure
    p_holm: float | None
    n: int


@dataclass(frozen=True)
class LimeCheck:
    """Of one arm; is_flagged: None where too few images can tell."""

    arm: str
    is_flagged: bool | None
    sentence: str


@dataclass(frozen=True)
class Lime:
    about: str = ""
    arms: list[str] = field(default_factory=list)
    summary: list[LimeSummary] = field(default_factory=list)
    agreement: str = ""
    methods: list[str] = field(default_factory=list)
    checks: list[LimeCheck] = field(default_factory=list)
    images: list[LimeImage] = field(default_factory=list)
    left_out: str = ""
    missing: str = ""


def pictures_of(samples: Samples, privacy: Privacy, lime: Lime) -> Iterator[Picture]:
    for of_class in samples.classes:
        yield from (*of_class.real, *of_class.synthetic)
    for pair in privacy.pairs:
        yield from (each for each in (pair.synthetic, pair.real) if each is not None)
    for image in lime.images:
        yield from (each for each in (image.picture, *(arm.overlay for arm in image.arms)) if each is not None)
