"""What the report of a study says: plain values, without pixels and without markup, so that page, file and JSON say the same.

`missing` of a part is empty, or says in a sentence why the part cannot be filled. A path is one of this studio.
"""

import datetime as dt
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from typing import Any

from app.services.studies.reporting.measured import Baselines, Charts, Recalls, Results
from app.services.studies.reporting.shown import Fidelity, Lime, Privacy, Samples, pictures_of
from app.services.studies.reporting.values import Link, Picture


@dataclass(frozen=True)
class About:
    """has_real_images: the report shows patients' images; wants_real_images: it was asked to."""

    study_id: int
    name: str
    created_by: str
    created_at: dt.datetime
    made_at: dt.datetime
    studio: str
    state: str
    job: Link | None
    wants_real_images: bool
    num_real_images: int = 0


@dataclass(frozen=True)
class Answer:
    """question and summary in sentences; networks: what each did, a sentence each."""

    question: str
    summary: list[str] = field(default_factory=list)
    networks: list[str] = field(default_factory=list)
    missing: str = ""


@dataclass(frozen=True)
class Light:
    name: str
    state: str
    sentence: str


@dataclass(frozen=True)
class Gate:
    """why: what stops it; released: who let it out against the lights, and for which reason."""

    verdict: str = ""
    why: str = ""
    released: str = ""
    lights: list[Light] = field(default_factory=list)
    path: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Finding:
    severity: str
    title: str
    meaning: str
    action: str
    path: str


@dataclass(frozen=True)
class Data:
    """counts: (class, images in train, val, test and all). stated: what a person says, (title, text)."""

    dataset: Link
    version: Link
    change: str
    num_images: int
    manifest_sha256: str
    counts: list[tuple[str, list[int]]]
    totals: list[int]
    facts: list[tuple[str, str]]
    stated: list[tuple[str, str]]
    not_stated: list[str]
    findings: list[Finding]
    health: Link
    job: Link | None
    missing: str = ""


@dataclass(frozen=True)
class Protocol:
    arms: list[tuple[str, str]]
    facts: list[tuple[str, str]]
    budget: list[tuple[str, int, int]]  # class, real images of the equal budget, synthetic images at the largest size


@dataclass(frozen=True)
class Step:
    name: str
    job: Link
    state: str
    is_reused: bool
    seconds: float | None
    step_key: str
    made: Link | None
    sha256: str
    about: str
    error: str


@dataclass(frozen=True)
class Record:
    """specs: the complete options of the first job of each kind. weights: (network, what its training began from).
    ran_with: (device or package, its version), as the jobs noted them. num_unnoted: jobs of an older studio, which noted nothing."""

    spec: dict[str, Any]
    specs: list[tuple[str, dict[str, Any]]]
    steps: list[Step]
    weights: list[tuple[str, str]]
    ran_with: list[tuple[str, str]]
    num_unnoted: int


@dataclass(frozen=True)
class Reproduce:
    """runs: studies that run this one again, or that it runs again, each compared with it."""

    yaml: str
    commands: list[tuple[str, str]]
    runs: list[Link]
    manifest_sha256: str


@dataclass(frozen=True)
class Report:
    about: About
    answer: Answer
    gate: Gate
    data: Data
    protocol: Protocol
    results: Results
    baselines: Baselines
    charts: Charts
    recalls: Recalls
    samples: Samples
    fidelity: Fidelity
    privacy: Privacy
    lime: Lime
    limits: list[str]
    record: Record
    reproduce: Reproduce

    def pictures(self) -> Iterator[Picture]:
        """Every picture that it shows."""
        yield from pictures_of(self.samples, self.privacy, self.lime)

    def to_json(self) -> str:
        """All of it but pixels; moments as ISO 8601."""
        return json.dumps(asdict(self), indent=1, ensure_ascii=False, default=dt.datetime.isoformat) + "\n"
