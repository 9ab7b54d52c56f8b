"""The release gate of a synthetic set: four lights, the verdict, and releases that a person answers for.

What the lights rest on is looked up here, and nowhere else; the rules stand in app.core.lights.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import lights as rules
from app.core.errors import BadInputError, ConflictError
from app.core.lights import NOT_AUDITED, NOT_RELEASABLE, OVERRIDDEN, RELEASABLE, Light, Without
from app.services import audits, studies, synthetic_sets
from app.services.identity import Identity
from app.services.rows import note
from app.services.studies.planning import AUDITS
from models import Audit, DatasetVersion, Job, Release, Study, StudyStep, SyntheticSet, db_now

LEAST_REASON, LONGEST_REASON = 10, 2000
NO_STUDY = (
    "No study has taught classifiers with these images. A study draws a set of its own and measures it: launch one with the same options, "
    "and release the set that it draws."
)


@dataclass(frozen=True)
class Gate:
    """verdict: releasable, not releasable, not audited or released by override. lights: {name, state, sentence} in the order of rules.NAMES.

    audit_id, study_id: what the lights rest on, None where there is none. override: the release that holds, None: there is none.
    """

    verdict: str
    lights: list[Light]
    audit_id: int | None
    study_id: int | None
    override: Release | None

    @property
    def stopped_by(self) -> list[str]:
        """Names of the lights that are not green."""
        return rules.stopped_by(self.lights)


def gate_of_set(session: Session, synthetic_set: SyntheticSet) -> Gate:
    """What is known of the set now, by its newest audit and the newest finished study that learnt it."""
    audit = audits.newest_of(session, synthetic_set)
    study_id, utility = _utility(session, synthetic_set)
    found = _lights(session, synthetic_set, audit, utility)
    override = _override(session, synthetic_set)
    audit_id = audit.id if audit is not None else None
    return Gate(_verdict(found, audit, override), found, audit_id, study_id, override)


def lights_of_audit(session: Session, audit: Audit) -> list[Light]:
    """The lights of the set that was audited, by this audit, whether or not there is a newer one."""
    made = audits.set_of(session, audit)
    return _lights(session, made, audit, _utility(session, made)[1])


def with_rejected(gate: Gate, num_rejected: int) -> Gate:
    """The gate of an export that has images which a person rejected: no audit and no release is of those."""
    if not num_rejected:
        return gate
    said = f"{num_rejected:,} of these images were rejected by a person, and are not audited."
    copies = {"name": "copies", "state": rules.GREY, "sentence": said}
    found = [copies if light["name"] == "copies" else light for light in gate.lights]
    verdict = NOT_AUDITED if gate.audit_id is None else NOT_RELEASABLE
    return replace(gate, verdict=verdict, lights=found, override=None)


def release(session: Session, who: Identity, synthetic_set: SyntheticSet, reason: str) -> Release:
    """Release a set against its lights; the reason and the lights of this moment stay.

    Raises BadInputError for a reason that is none, ConflictError where nothing is to be overridden or nobody has looked.
    """
    reason = " ".join(reason.split())
    if not LEAST_REASON <= len(reason) <= LONGEST_REASON:
        raise BadInputError(
            f"The reason has {len(reason)} characters; use {LEAST_REASON} to {LONGEST_REASON}.",
            hint="Say why this set may leave the lab although the gate stops it.",
        )
    gate = gate_of_set(session, synthetic_set)
    if gate.override is not None:
        raise ConflictError(f"{gate.override.created_by} has released this set already.", hint="Take that back first.")
    if gate.verdict == RELEASABLE:
        raise ConflictError("This set is releasable: there is nothing to override.")
    if gate.verdict == NOT_AUDITED:
        raise ConflictError("Nobody has audited this set.", hint="Audit it first: what would be released is not known.")
    row = Release(
        project_id=who.project_id, synthetic_set_id=synthetic_set.id, audit_id=gate.audit_id, created_by=who.name, reason=reason,
        lights=gate.lights,
    )  # fmt: skip
    session.add(row)
    note(session, who, "release", synthetic_set, reason=reason, lights=gate.lights, audit_id=gate.audit_id)
    session.flush()
    return row


def withdraw(session: Session, who: Identity, synthetic_set: SyntheticSet) -> None:
    """Take the release back; ConflictError if there is none."""
    rows = session.scalars(_releases(synthetic_set)).all()
    if not rows:
        raise ConflictError("Nobody has released this set, so nothing can be taken back.")
    for row in rows:
        row.withdrawn_by, row.withdrawn_at = who.name, session.scalar(select(db_now()))
    note(session, who, "withdraw release", synthetic_set, reason=rows[0].reason)
    session.flush()


def as_json(session: Session, gate: Gate) -> dict[str, Any]:
    """The gate for programs: gate.json of an export."""
    audit = session.get(Audit, gate.audit_id) if gate.audit_id is not None else None
    override = gate.override
    return {
        "verdict": gate.verdict, "stopped_by": gate.stopped_by, "lights": gate.lights,
        "audit": _audit_json(audit) if audit is not None else None, "study_id": gate.study_id,
        "override": _override_json(override) if override is not None else None,
    }  # fmt: skip


def _audit_json(audit: Audit) -> dict[str, Any]:
    return {
        "id": audit.id, "made_at": audit.created_at.isoformat(), "of_synthetic_set_id": audit.synthetic_set_id,
        "num_images": audit.num_images, "num_flagged": audit.num_flagged, "spec": audit.spec,
    }  # fmt: skip


def _override_json(row: Release) -> dict[str, Any]:
    return {"by": row.created_by, "at": row.created_at.isoformat(), "reason": row.reason, "lights": row.lights}


def _verdict(found: list[Light], audit: Audit | None, override: Release | None) -> str:
    if override is not None:
        return OVERRIDDEN
    return NOT_AUDITED if audit is None else rules.verdict(found)


def _releases(synthetic_set: SyntheticSet) -> Any:
    """Those that hold, newest first."""
    query = select(Release).where(Release.synthetic_set_id == synthetic_set.id, Release.withdrawn_at.is_(None))
    return query.order_by(Release.id.desc())


def _override(session: Session, synthetic_set: SyntheticSet) -> Release | None:
    return session.scalars(_releases(synthetic_set)).first()


def _lights(session: Session, synthetic_set: SyntheticSet, audit: Audit | None, utility: Light) -> list[Light]:
    version_id = audit.version_id if audit is not None else synthetic_set.version_id
    version = session.get(DatasetVersion, version_id) if version_id is not None else None
    return rules.lights(
        leaks=version.leaks if version is not None else None, report=audit.report if audit is not None else None,
        utility=utility, without=_without(session, synthetic_set, audit), num_unseen=_num_unseen(session, synthetic_set, audit),
    )  # fmt: skip


def _without(session: Session, synthetic_set: SyntheticSet, audit: Audit | None) -> Without | None:
    """What the audit that made this set left out of it; None for a set that was drawn."""
    made_by = session.scalar(select(Audit).where(Audit.filtered_set_id == synthetic_set.id))
    if made_by is None or audit is None:
        return None
    return Without(made_by.num_flagged or 0, made_by.num_images, audited_since=audit.id != made_by.id)


def _num_unseen(session: Session, synthetic_set: SyntheticSet, audit: Audit | None) -> int:
    """How many more images are kept than were audited."""
    if audit is None or audit.synthetic_set_id != synthetic_set.id:
        return 0
    return max(0, sum(synthetic_sets.kept_counts(session, synthetic_set).values()) - audit.num_images)


def _utility(session: Session, synthetic_set: SyntheticSet) -> tuple[int | None, Light]:
    """Of the newest finished study that learnt the set, or the set without its copies: (its id, what it says)."""
    filtered = session.scalars(select(SyntheticSet.id).where(SyntheticSet.filtered_from_id == synthetic_set.id)).all()
    learnt = Job.result["synthetic_set_id"].as_integer()
    query = (
        select(Study, learnt)
        .join(StudyStep, StudyStep.study_id == Study.id)
        .join(Job, Job.id == StudyStep.job_id)
        .where(AUDITS, learnt.in_([synthetic_set.id, *filtered]))
    )
    running = None
    for study, set_id in session.execute(query.order_by(Study.id.desc())):
        state = studies.progress(session, study).state
        if state == "running":
            running = running or study.id
        if state == "succeeded":
            name = f"Study {study.id}" + ("" if set_id == synthetic_set.id else ", without the copies")
            return study.id, rules.utility(study=name, tables=_tables(study))
    if running is not None:
        return None, rules.unmeasured(f"Study {running} measures it; it has not ended.")
    return None, rules.unmeasured(NO_STUDY)


def _tables(study: Study) -> list[Mapping[str, Any]]:
    return list((study.answer or {}).get("tables", []))
