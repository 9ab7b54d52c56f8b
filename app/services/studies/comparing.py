"""Two studies side by side: every figure of the one beside the same figure of the other, to the last digit.

A figure is matched by its network, its test images, its arm, its size and, below a row, its seed; those of audits by the size of
the audited set. What only one study has is listed, never left out. Two tests that are one and the same job are counted: to
compare them says nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.services.studies import differences, evidence, hashing
from app.services.studies.differences import Setting
from app.services.studies.evidence import EvidenceComparison
from app.services.studies.figures import Figure, paired
from app.services.studies.hashing import StepFiles
from app.services.studies.planning import OWN, SYNTHETIC
from models import Evaluation, Study

ROW_PARTS = ("mean", "delong", "against_reference", "balanced_accuracy")


class RowKey(NamedTuple):
    architecture: str
    tested_on: str
    arm: str
    size: float | None

    @property
    def words(self) -> str:
        return self.arm if self.size is None else f"{self.arm} x{self.size:g}"


@dataclass(frozen=True)
class SeedComparison:
    """One test of each study. is_same_job: they are one and the same, so nothing is compared."""

    seed: int
    a_job_id: int
    b_job_id: int
    figures: list[Figure]

    @property
    def is_same_job(self) -> bool:
        return self.a_job_id == self.b_job_id


@dataclass(frozen=True)
class RowComparison:
    key: RowKey
    figures: list[Figure]
    seeds: list[SeedComparison]


@dataclass(frozen=True)
class TableComparison:
    """on_same_images: None for tests on each study's own synthetic images."""

    architecture: str
    tested_on: str
    on_same_images: bool | None
    figures: list[Figure]
    rows: list[RowComparison]

    @property
    def all_figures(self) -> list[Figure]:
        seeds = [figure for row in self.rows for seed in row.seeds for figure in seed.figures]
        return [*self.figures, *(figure for row in self.rows for figure in row.figures), *seeds]


@dataclass(frozen=True)
class Alone:
    """A row, or one seed of it, that only one of the studies has. study_id: which."""

    study_id: int
    key: RowKey
    seed: int | None


@dataclass(frozen=True)
class Comparison:
    """settings, ran_with: those that differ. evidence: audits and explanations, once both have tables. on_same_images: whether the test
    images of their own datasets are the same."""

    a: Study
    b: Study
    settings: list[Setting]
    ran_with: list[Setting]
    tables: list[TableComparison]
    evidence: list[EvidenceComparison]
    alone: list[Alone]
    on_same_images: bool

    @property
    def figures(self) -> list[Figure]:
        return [*self._of_classifiers, *(figure for each in self.evidence for figure in each.figures)]

    @property
    def _of_classifiers(self) -> list[Figure]:
        return [figure for table in self.tables for figure in table.all_figures]

    @property
    def num_differing(self) -> int:
        return _differing(self.figures)

    @property
    def largest_difference(self) -> float:
        """Of the classifiers' figures that are shares."""
        found = (each.difference for each in self._of_classifiers if each.is_share)
        return max((abs(each) for each in found if each is not None), default=0.0)

    @property
    def num_tests(self) -> int:
        """Jobs that both have: tests of classifiers, audits and explanations."""
        tests = sum(len(row.seeds) for table in self.tables for row in table.rows)
        return tests + sum(len(each.jobs) for each in self.evidence)

    @property
    def num_same_jobs(self) -> int:
        """Those of them that are one and the same in both."""
        tests = sum(seed.is_same_job for table in self.tables for row in table.rows for seed in row.seeds)
        return tests + sum(each.num_same_jobs for each in self.evidence)

    @property
    def is_equal(self) -> bool:
        """Both have the same figures, all equal, and every one was made twice."""
        one_sided = self.alone or any(each.only is not None for each in self.evidence)
        return bool(self.figures) and not (self.num_differing or one_sided or self.num_same_jobs)

    @property
    def verdict(self) -> str:
        return " ".join(
            part for part in (self._of_figures(), self._of_same_jobs(), self._of_alone(), self._of_evidence()) if part
        )

    def _of_figures(self) -> str:
        missing = [study.id for study in (self.a, self.b) if study.answer is None]
        if missing:
            return f"Study {missing[0]} has no table yet, so there is no figure to compare."
        number = len(self.figures)
        if not number:
            return "There is no figure that both have."
        if not self.on_same_images:
            return "They were tested on different images, so their figures only stand side by side: no difference of them is tested."
        if self.num_differing:
            return f"{self.num_differing:,} of {number:,} figures differ{self._where()}."
        return f"All {number:,} figures are equal to the last digit."

    def _where(self) -> str:
        """By how much, and of what, unless all are of the classifiers."""
        most = f", by at most {self.largest_difference:.2g}" if self.largest_difference else ""
        counts = {"classifiers": _differing(self._of_classifiers)}
        for kind, name in (("audit", "audits and lights"), ("explanations", "explanations")):
            counts[name] = sum(_differing(each.figures) for each in self.evidence if each.kind == kind)
        if counts["classifiers"] == self.num_differing:
            return most
        said = [
            f"{count:,} of the {name}{most if name == 'classifiers' else ''}" for name, count in counts.items() if count
        ]
        return f": {'; '.join(said)}"

    def _of_same_jobs(self) -> str:
        if not self.num_same_jobs:
            return ""
        what = "tests, audits and explanations" if any(each.jobs for each in self.evidence) else "tests"
        return f"{self.num_same_jobs:,} of {self.num_tests:,} {what} are the same job in both, which compares nothing."

    def _of_alone(self) -> str:
        if not self.alone or None in (self.a.answer, self.b.answer):
            return ""
        number = len(self.alone)
        return f"{number:,} {'row or seed is' if number == 1 else 'rows or seeds are'} in one of them only."

    def _of_evidence(self) -> str:
        return " ".join(f"Only study {each.only} has {each.words}." for each in self.evidence if each.only is not None)


def _differing(figures: list[Figure]) -> int:
    return sum(not figure.is_equal for figure in figures)


def compare(session: Session, a: Study, b: Study) -> Comparison:
    """Both as they stand. Raises BadInputError for a study and itself."""
    if a.id == b.id:
        raise BadInputError(f"Study {a.id} cannot be compared with itself.", hint="Choose another one.")
    mine, theirs = _tables(a), _tables(b)
    shared = [key for key in mine if key in theirs]
    same = {tested_on: _same_images(session, a, b, tested_on) for tested_on in {OWN, *(key[1] for key in shared)}}
    tables = [_table(session, key, mine[key], theirs[key], same[key[1]]) for key in shared]
    beside = evidence.compare(session, a, b) if a.answer is not None and b.answer is not None else []
    ran_with = differences.ran_otherwise(session, a, b)
    return Comparison(
        a, b, differences.differing(a, b), ran_with, tables, beside, _alone(a, b), on_same_images=bool(same[OWN])
    )


def _same_images(session: Session, a: Study, b: Study, tested_on: str) -> bool | None:
    return None if tested_on == SYNTHETIC else hashing.same_test_images(session, a, b, tested_on)


def files(session: Session, a: Study, b: Study) -> list[StepFiles]:
    """The files and predictions of every step that both studies have, by hash."""
    return hashing.compare(session, a, b)


def _tables(study: Study) -> dict[tuple[str, str], Mapping[str, Any]]:
    return {(table["architecture"], table["tested_on"]): table for table in (study.answer or {}).get("tables", [])}


def _rows(table: Mapping[str, Any]) -> dict[RowKey, Mapping[str, Any]]:
    return {RowKey(table["architecture"], table["tested_on"], row["arm"], row["size"]): row for row in table["rows"]}


def _tested(row: Mapping[str, Any]) -> dict[int, Mapping[str, Any]]:
    """The seeds of a row that have a result."""
    return {each["seed"]: each for each in row["seeds"] if each["evaluation_id"] is not None}


def _table(
    session: Session, key: tuple[str, str], a: Mapping[str, Any], b: Mapping[str, Any], same: bool | None
) -> TableComparison:
    mine, theirs = _rows(a), _rows(b)
    reports = _reports(session, [*mine.values(), *theirs.values()])
    saturation = paired({"saturation": a.get("saturation")}, {"saturation": b.get("saturation")})
    rows = [_row(row, mine[row], theirs[row], reports) for row in mine if row in theirs]
    return TableComparison(*key, same, saturation, rows)


def _row(key: RowKey, a: Mapping[str, Any], b: Mapping[str, Any], reports: Mapping[int, Any]) -> RowComparison:
    mine, theirs = _tested(a), _tested(b)
    seeds = [
        SeedComparison(
            seed, mine[seed]["job_id"], theirs[seed]["job_id"],
            paired(reports.get(mine[seed]["evaluation_id"], {}), reports.get(theirs[seed]["evaluation_id"], {})),
        )
        for seed in mine if seed in theirs
    ]  # fmt: skip
    return RowComparison(key, paired(_parts(a), _parts(b)), seeds)


def _parts(row: Mapping[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ROW_PARTS if row.get(name) is not None}


def _reports(session: Session, rows: list[Mapping[str, Any]]) -> dict[int, dict[str, Any]]:
    """What single tests say, by evaluation; one that was deleted is left out."""
    ids = [seed["evaluation_id"] for row in rows for seed in _tested(row).values()]
    found = session.execute(select(Evaluation.id, Evaluation.report).where(Evaluation.id.in_(ids)))
    return {each.id: each.report for each in found}


def _alone(a: Study, b: Study) -> list[Alone]:
    """Rows, and of rows that both have the seeds, that are in one study only."""
    found: list[Alone] = []
    for study, other in ((a, b), (b, a)):
        theirs = {key: row for table in _tables(other).values() for key, row in _rows(table).items()}
        for table in _tables(study).values():
            for key, row in _rows(table).items():
                if key not in theirs:
                    found.append(Alone(study.id, key, None))
                else:
                    found += [Alone(study.id, key, seed) for seed in _tested(row).keys() - _tested(theirs[key]).keys()]
    return found
