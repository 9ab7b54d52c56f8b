"""Parts of a report that hold a study's own figures: tables, baselines, what its charts show, recalls."""

from dataclasses import dataclass, field

from app.services.studies.reporting.against import Against
from app.services.studies.reporting.values import Figure, Link


@dataclass(frozen=True)
class SeedResult:
    """One classifier's test; reason: why there is none."""

    seed: int
    value: float | None
    reason: str
    result: Link
    job: Link


@dataclass(frozen=True)
class Row:
    """An arm of a table. figures: (metric, figure) of the mean over seeds; against: None for the reference itself.

    seen: what of the tested images training had seen, in words, the largest over seeds; empty where nothing: else the row is leaking.
    """

    key: str
    name: str
    size: float | None
    is_reference: bool
    seeds: list[SeedResult]
    figures: list[tuple[str, Figure]]
    spread: float | None
    against: Against | None
    seen: str


@dataclass(frozen=True)
class Table:
    """unit: what intervals resample, in words; reason: why there are no figures."""

    title: str
    network: str
    tested_on: str
    num_images: int | None
    unit: str
    metrics: list[str]  # of its rows, the main one first
    rows: list[Row]
    methods: list[str]
    notes: list[str]
    saturation: str
    reason: str


@dataclass(frozen=True)
class Results:
    tables: list[Table] = field(default_factory=list)
    missing: str = ""


@dataclass(frozen=True)
class Baselines:
    """rows: (what it sees, how, balanced accuracy)."""

    rows: list[tuple[str, str, Figure]] = field(default_factory=list)
    chance: float | None = None
    method: str = ""
    path: str = ""
    missing: str = ""


@dataclass(frozen=True)
class ArmsPanel:
    """Points of one network on one set of test images: (arm, figure, whether it is the reference)."""

    title: str
    points: list[tuple[str, Figure, bool]]


@dataclass(frozen=True)
class CurvePanel:
    """Over sizes: series of (size, figure) by arm; levels: arms without a size, (name, value)."""

    title: str
    series: list[tuple[str, list[tuple[float, Figure]]]]
    levels: list[tuple[str, float]]
    saturation: str


@dataclass(frozen=True)
class Charts:
    arms: list[ArmsPanel] = field(default_factory=list)
    curves: list[CurvePanel] = field(default_factory=list)
    no_arms: str = ""
    no_curves: str = ""


@dataclass(frozen=True)
class RecallTable:
    """rows: (arm, recall of each class as mean over seeds, number of seeds); support: test images of each class."""

    title: str
    classes: list[str]
    support: list[int]
    rows: list[tuple[str, list[float | None], int]]


@dataclass(frozen=True)
class Recalls:
    tables: list[RecallTable] = field(default_factory=list)
    missing: str = ""
