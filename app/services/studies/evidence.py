"""What two studies say beside their tables: the audits of their synthetic images with the gate's lights, and their explanations."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy.orm import Session

from app.services import audits, explanations, gates
from app.services.studies.figures import Figure, paired
from app.services.studies.looking import Step, progress
from app.services.studies.planning import DRAWN
from app.services.studies.reporting.words import arm_name
from models import FINISHED, Audit, Job, JobKind, JobState, Study

Kind = Literal["audit", "explanations"]
NO_AUDIT = "It plans none: its classifiers learn no such synthetic images."
NO_EXPLANATIONS = "It explains no images."
NOT_IN_TABLE = "Its table was made without them."
Pairs = list[tuple[int, int]]


class Link(NamedTuple):
    name: str
    url: str


@dataclass(frozen=True)
class Side:
    """What one study has: pages of it, or why there is nothing to compare."""

    study_id: int
    links: list[Link]
    missing: str


@dataclass(frozen=True)
class EvidenceComparison:
    """size: of the audited set. jobs: those that made it in a and in b. figures: none unless both have it."""

    kind: Kind
    size: float | None
    a: Side
    b: Side
    jobs: Pairs
    figures: list[Figure]

    @property
    def num_same_jobs(self) -> int:
        return sum(mine == theirs for mine, theirs in self.jobs)

    @property
    def only(self) -> int | None:
        """The study that alone has it; None: both have it, or neither."""
        if bool(self.a.missing) == bool(self.b.missing):
            return None
        return self.b.study_id if self.a.missing else self.a.study_id

    @property
    def words(self) -> str:
        if self.kind == "explanations":
            return "explanations"
        return "an audit" if self.size is None else f"an audit of size {self.size:g}"


def compare(session: Session, a: Study, b: Study) -> list[EvidenceComparison]:
    """The audits by the size of their sets, then the explanations; each also where neither study has any."""
    mine, theirs = (progress(session, study).steps for study in (a, b))
    return [*_audits(session, (a, mine), (b, theirs)), _explanations(session, (a, mine), (b, theirs))]


_Of = tuple[Study, list[Step]]


def _audits(session: Session, a: _Of, b: _Of) -> list[EvidenceComparison]:
    mine, theirs = (
        {float(each.step.cell[DRAWN]): each.job for each in steps if each.job.kind == JobKind.AUDIT_SET}
        for _, steps in (a, b)
    )
    sizes: list[float | None] = [*sorted({**mine, **theirs})]
    return [_audit(session, size, (a[0], mine), (b[0], theirs)) for size in sizes or [None]]


def _audit(
    session: Session, size: float | None, a: tuple[Study, Mapping[float, Job]], b: tuple[Study, Mapping[float, Job]]
) -> EvidenceComparison:
    jobs = [of.get(size) if size is not None else None for _, of in (a, b)]
    first, second = ((job.result or {}).get("audit_id", 0) if job is not None else 0 for job in jobs)
    made = (session.get(Audit, first), session.get(Audit, second))
    sides = [
        Side(study.id, [Link(f"Audit {found.id}", f"/audits/{found.id}")] if found else [], "" if found else _no_audit(job))
        for (study, _), job, found in zip((a, b), jobs, made, strict=True)
    ]  # fmt: skip
    pairs = [(jobs[0].id, jobs[1].id)] if jobs[0] is not None and jobs[1] is not None else []
    figures: list[Figure] = []
    if made[0] is not None and made[1] is not None:
        figures = [
            *_lights(session, made[0], made[1]),
            *paired({"audit": _report(made[0])}, {"audit": _report(made[1])}),
        ]
    return EvidenceComparison("audit", size, sides[0], sides[1], pairs if figures else [], figures)


def _no_audit(job: Job | None) -> str:
    if job is None:
        return NO_AUDIT
    if job.state == JobState.SUCCEEDED:
        return "It was deleted."
    if job.state in FINISHED:
        return (job.error or {}).get("detail") or job.message or f"Job {job.id} is {job.state}."
    return f"Job {job.id}, which makes it, has not ended."


def _report(audit: Audit) -> dict[str, Any]:
    """Its report without the numbers of rows, and how many images it searched and flagged."""
    told = audit.report
    spaces = {
        name: {**space, "memorised": {part: each for part, each in space["memorised"].items() if part != "train"}}
        for name, space in told["privacy"]["spaces"].items()
    }
    counts = {"num_searched": audit.num_images, "num_flagged": audit.num_flagged}
    return {**told, "privacy": {**told["privacy"], "spaces": spaces}, **counts}


def _lights(session: Session, a: Audit, b: Audit) -> list[Figure]:
    """Of the sets that the classifiers learnt, as they are now."""
    mine, theirs = (
        {light["name"]: light["state"] for light in gates.gate_of_set(session, audits.learnt(session, audit)).lights}
        for audit in (a, b)
    )
    return [Figure(f"gate.{name}", mine.get(name), theirs.get(name)) for name in {**mine, **theirs}]


def _explanations(session: Session, a: _Of, b: _Of) -> EvidenceComparison:
    told = [(study.answer or {}).get("explanations") for study, _ in (a, b)]
    sides = [
        Side(study.id, _explained(session, steps), _no_explanations(steps) if each is None else each["reason"])
        for (study, steps), each in zip((a, b), told, strict=True)
    ]
    if sides[0].missing or sides[1].missing:
        return EvidenceComparison("explanations", None, sides[0], sides[1], [], [])
    mine, theirs = (
        {each.step.name: each.job.id for each in steps if "explained_on" in each.step.cell} for _, steps in (a, b)
    )
    jobs = [(mine[name], theirs[name]) for name in mine if name in theirs]
    said = [{"explanations": _told(session, each)} for each in told if each is not None]
    return EvidenceComparison("explanations", None, sides[0], sides[1], jobs, paired(*said))


def _no_explanations(steps: list[Step]) -> str:
    return NOT_IN_TABLE if any("explained_on" in each.step.cell for each in steps) else NO_EXPLANATIONS


def _explained(session: Session, steps: list[Step]) -> list[Link]:
    """The explanations that are there, by arm and seed."""
    made = [
        (each.step.cell, (each.job.result or {}).get("explanation_id"))
        for each in steps
        if "explained_on" in each.step.cell
    ]
    there = explanations.existing(session, [found for _, found in made if found])
    return [
        Link(f"{arm_name(cell['arm'], cell['size'])}, seed {cell['seed']}", f"/explanations/{found}")
        for cell, found in made if found in there
    ]  # fmt: skip


def _told(session: Session, answer: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison of a study's explanations, its images by their paths."""
    paths = explanations.paths(session, [image["image_id"] for image in answer["images"]])
    images = {paths.get(image["image_id"], f"image {image['image_id']}"): image for image in answer["images"]}
    return {**{name: answer[name] for name in ("summary", "agreement", "shortcut")}, "images": images}
