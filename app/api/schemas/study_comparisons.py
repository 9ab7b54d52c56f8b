"""Two studies side by side."""

from typing import Any

from pydantic import Field

from app.api.schemas.base import Out
from app.services.studies.comparing import Comparison, RowComparison, RowKey, SeedComparison, TableComparison
from app.services.studies.evidence import EvidenceComparison, Side
from app.services.studies.figures import Figure
from app.services.studies.hashing import StepFiles


class SettingOut(Out):
    """An option whose value differs; null: not set."""

    name: str
    a: Any
    b: Any


class FigureOut(Out):
    name: str = Field(description="Its place in the report, such as mean.balanced_accuracy.low.")
    a: float | str | None = Field(
        description="A number, or the state of one of the gate's lights; null: that study has no such figure."
    )
    b: float | str | None
    difference: float | None = Field(description="b minus a; null unless both are numbers.")
    is_equal: bool = Field(description="To the last digit.")

    @classmethod
    def of(cls, each: Figure) -> "FigureOut":
        return cls(name=each.name, a=each.a, b=each.b, difference=each.difference, is_equal=each.is_equal)


class SeedComparisonOut(Out):
    seed: int
    a_job_id: int
    b_job_id: int
    is_same_job: bool = Field(description="Both tests are one and the same job, so nothing is compared.")
    figures: list[FigureOut]

    @classmethod
    def of(cls, each: SeedComparison) -> "SeedComparisonOut":
        figures = [FigureOut.of(figure) for figure in each.figures]
        return cls(
            seed=each.seed,
            a_job_id=each.a_job_id,
            b_job_id=each.b_job_id,
            is_same_job=each.is_same_job,
            figures=figures,
        )


class RowComparisonOut(Out):
    arm: str
    size: float | None
    figures: list[FigureOut] = Field(description="Means over seeds with intervals, differences to the reference and p.")
    seeds: list[SeedComparisonOut]

    @classmethod
    def of(cls, each: RowComparison) -> "RowComparisonOut":
        return cls(
            arm=each.key.arm, size=each.key.size, figures=[FigureOut.of(figure) for figure in each.figures],
            seeds=[SeedComparisonOut.of(seed) for seed in each.seeds],
        )  # fmt: skip


class TableComparisonOut(Out):
    architecture: str
    tested_on: str
    on_same_images: bool | None = Field(description="null: each was tested on its own synthetic images.")
    figures: list[FigureOut] = Field(description="Of the table as a whole: where the curve over sizes saturates.")
    rows: list[RowComparisonOut]

    @classmethod
    def of(cls, each: TableComparison) -> "TableComparisonOut":
        return cls(
            architecture=each.architecture, tested_on=each.tested_on, on_same_images=each.on_same_images,
            figures=[FigureOut.of(figure) for figure in each.figures], rows=[RowComparisonOut.of(row) for row in each.rows],
        )  # fmt: skip


class EvidenceLinkOut(Out):
    name: str
    url: str


class EvidenceSideOut(Out):
    study_id: int
    links: list[EvidenceLinkOut] = Field(description="Pages of the studio: the audit, or each explanation.")
    missing: str = Field(description="Why this study has nothing to compare; empty where it has.")

    @classmethod
    def of(cls, each: Side) -> "EvidenceSideOut":
        return cls(
            study_id=each.study_id, links=[EvidenceLinkOut(name=link.name, url=link.url) for link in each.links],
            missing=each.missing,
        )  # fmt: skip


class EvidenceComparisonOut(Out):
    """Audits with the gate's lights, or explanations, of both studies; listed also where one study or neither has any."""

    kind: str = Field(description="audit or explanations.")
    size: float | None = Field(description="Of the audited set.")
    a: EvidenceSideOut
    b: EvidenceSideOut
    num_jobs: int = Field(description="Jobs that both have for it.")
    num_same_jobs: int = Field(description="Those that are one and the same in both, which compares nothing.")
    figures: list[FigureOut] = Field(
        description="Named by their place, such as gate.copies; none unless both have them."
    )

    @classmethod
    def of(cls, each: EvidenceComparison) -> "EvidenceComparisonOut":
        return cls(
            kind=each.kind, size=each.size, a=EvidenceSideOut.of(each.a), b=EvidenceSideOut.of(each.b), num_jobs=len(each.jobs),
            num_same_jobs=each.num_same_jobs, figures=[FigureOut.of(figure) for figure in each.figures],
        )  # fmt: skip


class AloneOut(Out):
    """A row that only one study has; with a seed, only that seed of it."""

    study_id: int
    architecture: str
    tested_on: str
    arm: str
    size: float | None
    seed: int | None

    @classmethod
    def of(cls, study_id: int, key: RowKey, seed: int | None) -> "AloneOut":
        return cls(study_id=study_id, seed=seed, **key._asdict())


class StepFilesOut(Out):
    """What a step made in both studies, by hash."""

    name: str
    what: str = Field(description="Of what the hashes are: a network's file, the images of a set, predictions.")
    a_job_id: int
    b_job_id: int
    a: str | None
    b: str | None
    outcome: str = Field(description="same bytes; differs; not there; one job: the same job made it in both.")

    @classmethod
    def of(cls, each: StepFiles) -> "StepFilesOut":
        return cls(
            name=each.name, what=each.what, a_job_id=each.a_job_id, b_job_id=each.b_job_id, a=each.a, b=each.b, outcome=each.outcome,
        )  # fmt: skip


class StudyComparisonOut(Out):
    """Study a beside study b, figure by figure, as far as both have tables."""

    a: int
    b: int
    verdict: str
    is_equal: bool = Field(
        description="Both have the same figures, all equal to the last digit, and each was made twice."
    )
    on_same_images: bool = Field(description="Both were tested on the same images of their own datasets.")
    num_figures: int
    num_differing: int
    largest_difference: float = Field(
        description="Of the classifiers' accuracies, p-values and the like; not of counts."
    )
    num_tests: int = Field(description="Jobs that both have: tests of classifiers, audits and explanations.")
    num_same_jobs: int
    settings: list[SettingOut] = Field(description="Those that differ.")
    ran_with: list[SettingOut] = Field(
        description="Device, threads and versions of packages that differ, as the jobs of both have noted them."
    )
    tables: list[TableComparisonOut]
    evidence: list[EvidenceComparisonOut] = Field(description="Audits and explanations; empty unless both have tables.")
    alone: list[AloneOut]
    files: list[StepFilesOut]
    url: str

    @classmethod
    def of(cls, found: Comparison, files: list[StepFiles]) -> "StudyComparisonOut":
        return cls(
            a=found.a.id, b=found.b.id, verdict=found.verdict, is_equal=found.is_equal, on_same_images=found.on_same_images,
            num_figures=len(found.figures), num_differing=found.num_differing, largest_difference=found.largest_difference,
            num_tests=found.num_tests, num_same_jobs=found.num_same_jobs,
            settings=[SettingOut(name=each.name, a=each.a, b=each.b) for each in found.settings],
            ran_with=[SettingOut(name=each.name, a=each.a, b=each.b) for each in found.ran_with],
            tables=[TableComparisonOut.of(each) for each in found.tables],
            evidence=[EvidenceComparisonOut.of(each) for each in found.evidence],
            alone=[AloneOut.of(each.study_id, each.key, each.seed) for each in found.alone],
            files=[StepFilesOut.of(each) for each in files], url=f"/studies/compare?a={found.a.id}&b={found.b.id}",
        )  # fmt: skip
