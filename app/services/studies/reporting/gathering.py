"""Gather the report of a study from what is stored: every figure as the study, its audit and its check wrote it down."""

import datetime as dt

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services import audits
from app.services.studies import looking
from app.services.studies.looking import Progress
from app.services.studies.reporting import (
    answering,
    curves,
    data,
    gate,
    lime,
    limits,
    protocol,
    recipe,
    record,
    results,
    samples,
    synthetic,
)
from app.services.studies.reporting.document import About, Report
from app.services.studies.reporting.shown import pictures_of
from app.services.studies.reporting.values import Link
from models import Audit, DatasetVersion, JobKind, Study, SyntheticSet, db_now
from models.specs import StudySpec


def gather(session: Session, study: Study, *, studio: str, real_images: bool) -> Report:
    """studio: the address that links lead to, without a slash at its end. The same rows give the same report, but for `made_at`."""
    version = session.get_one(DatasetVersion, study.version_id)
    spec, so_far = StudySpec.model_validate(study.spec), looking.progress(session, study)
    audit = looking.audit_of(session, so_far)
    drawn = _drawn(session, so_far, audit)
    known, baselines = data.data(session, version), results.baselines(version)
    parts = (
        samples.samples(session, version, drawn, real_images=real_images),
        synthetic.privacy(session, audit, real_images=real_images),
        lime.lime(session, study, version.classes, real_images=real_images),
    )
    num_real = len({picture.sha256 for picture in pictures_of(*parts) if picture.is_real})
    return Report(
        about=_about(session, study, so_far, studio, real_images=real_images, num_real_images=num_real),
        answer=answering.answer(study, version.dataset), gate=gate.gate(session, drawn), data=known,
        protocol=protocol.protocol(session, spec, version, so_far), results=results.results(study, so_far), baselines=baselines,
        charts=curves.charts(study), recalls=results.recalls(session, study), samples=parts[0],
        fidelity=synthetic.fidelity(audit), privacy=parts[1], lime=parts[2],
        limits=limits.limits(session, study, spec, version, so_far, known, baselines),
        record=record.record(session, study, so_far), reproduce=recipe.reproduce(session, study, version, studio),
    )  # fmt: skip


def _about(
    session: Session, study: Study, so_far: Progress, studio: str, *, real_images: bool, num_real_images: int
) -> About:
    made_at: dt.datetime = session.scalars(select(db_now())).one()
    job = (
        Link(f"job {study.answer_job_id}", f"/jobs/{study.answer_job_id}") if study.answer_job_id is not None else None
    )
    return About(
        study.id,
        study.name,
        study.created_by,
        study.created_at,
        made_at,
        studio,
        so_far.state,
        job,
        real_images,
        num_real_images,
    )


def _drawn(session: Session, so_far: Progress, audit: Audit | None) -> SyntheticSet | None:
    """The set that the classifiers learnt: without the copies, where an audit left some out; None if it was deleted."""
    if audit is not None:
        return audits.learnt(session, audit)
    made = looking.audited(so_far) or next((each for each in so_far.steps if each.job.kind == JobKind.SAMPLE), None)
    set_id = (made.job.result or {}).get("synthetic_set_id") if made is not None else None
    return session.get(SyntheticSet, set_id) if set_id is not None else None
