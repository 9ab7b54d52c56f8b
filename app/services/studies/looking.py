"""Studies as they stand: what is done, what is still to come, and what may be read of them so far."""

from collections import Counter
from dataclasses import dataclass
from typing import Any

from sqlalchemy import or_, select
from sqlalchemy.orm import Session, aliased

from app.core.errors import ConflictError
from app.services.identity import Identity
from app.services.paging import Page, page
from app.services.rows import note, owned
from app.services.studies.planning import DRAWN
from models import FINISHED, Audit, Dataset, DatasetVersion, Evaluation, Job, JobKind, JobState, Study, StudyStep


@dataclass(frozen=True)
class Step:
    step: StudyStep
    job: Job


@dataclass(frozen=True)
class Progress:
    """steps: in the order in which they were planned, without the table, which is `answer`."""

    steps: list[Step]
    answer: Job | None

    @property
    def counts(self) -> dict[str, int]:
        """Jobs by state."""
        return dict(Counter(str(each.job.state) for each in self.steps))

    @property
    def num_reused(self) -> int:
        return sum(each.step.is_reused for each in self.steps)

    @property
    def jobs(self) -> list[Job]:
        """Those of its steps and the one that makes the table."""
        return [each.job for each in self.steps] + ([self.answer] if self.answer is not None else [])

    @property
    def is_finished(self) -> bool:
        """Nothing of it will change by itself any more."""
        return all(job.state in FINISHED for job in self.jobs)

    @property
    def state(self) -> str:
        """running, succeeded (there is a table), failed, or cancelled."""
        if not self.is_finished:
            return "running"
        return str(self.answer.state) if self.answer is not None else str(JobState.FAILED)


def get(session: Session, who: Identity, study_id: int) -> Study:
    return owned(session, who, Study, study_id, noun="study")


def listing(session: Session, who: Identity, *, cursor: str | None = None, limit: int = 50) -> Page[Study]:
    """Newest first."""
    return page(
        session, select(Study).where(Study.project_id == who.project_id), key=Study.id, cursor=cursor, limit=limit
    )


def version_of(session: Session, study: Study) -> DatasetVersion:
    return session.get_one(DatasetVersion, study.version_id)


def dataset_of(session: Session, study: Study) -> Dataset:
    return version_of(session, study).dataset


def trivial_baselines(session: Session, study: Study) -> list[dict[str, Any]]:
    """Models that hardly look at an image, as the check of the study's version has cross-validated them: {what, how,
    balanced_accuracy: {value, low, high}}; none while nobody has looked."""
    health = session.get_one(DatasetVersion, study.version_id).health
    return list(health["baselines"]["models"]) if health is not None else []


def progress(session: Session, study: Study) -> Progress:
    query = select(StudyStep, Job).join(Job, Job.id == StudyStep.job_id).where(StudyStep.study_id == study.id)
    found = [Step(step, job) for step, job in session.execute(query.order_by(StudyStep.position))]
    answer = session.get(Job, study.answer_job_id) if study.answer_job_id is not None else None
    return Progress(found, answer)


def audit_of(session: Session, so_far: Progress) -> Audit | None:
    """The audit of the synthetic images that the study's classifiers learn, of the largest set that has one; None: none has
    ended, or it was deleted."""
    made = audited(so_far)
    return session.get(Audit, (made.job.result or {}).get("audit_id", 0)) if made is not None else None


def audited(so_far: Progress) -> Step | None:
    """The audit that has ended of the largest set; its row may be deleted since."""
    ended = [each for each in so_far.steps if each.job.kind == JobKind.AUDIT_SET and each.job.result]
    return max(ended, key=lambda each: float(each.step.cell[DRAWN]), default=None)


def preliminary(session: Session, so_far: Progress) -> dict[str, dict[str, Any]]:
    """What single evaluations say before the table is made: {name of the step: {evaluation_id, balanced_accuracy}}."""
    ids = {
        each.step.name: (each.job.result or {}).get("evaluation_id")
        for each in so_far.steps
        if "tested_on" in each.step.cell and each.job.state == JobState.SUCCEEDED
    }
    rows = session.execute(select(Evaluation.id, Evaluation.report).where(Evaluation.id.in_(ids.values())))
    reports = {row.id: row.report for row in rows}
    return {
        name: {"evaluation_id": made, "balanced_accuracy": reports[made]["balanced_accuracy"]["value"]}
        for name, made in ids.items()
        if made in reports
    }


def needed_elsewhere(session: Session, study: Study) -> set[int]:
    """Jobs of the study that another one has as well, which nobody has cancelled."""
    other, step, table = aliased(Study), aliased(StudyStep), aliased(Job)
    cancelled = (table.state == JobState.CANCELLED) | table.cancel_requested_at.is_not(None)
    query = (
        select(StudyStep.job_id)
        .join(step, (step.job_id == StudyStep.job_id) & (step.study_id != study.id))
        .join(other, other.id == step.study_id)
        .outerjoin(table, table.id == other.answer_job_id)
        .where(StudyStep.study_id == study.id, or_(table.id.is_(None), ~cancelled))
    )
    return set(session.scalars(query))


def delete(session: Session, who: Identity, study: Study) -> None:
    """Delete the study and its table. Its jobs and what they made stay."""
    so_far = progress(session, study)
    still = {job.id for job in so_far.jobs if job.state not in FINISHED}
    if still - needed_elsewhere(session, study):
        raise ConflictError(f"Study {study.id} is still running.", hint="Cancel it first, or wait until it has ended.")
    note(session, who, "delete", study)
    session.delete(study)
