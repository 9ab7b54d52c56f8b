"""The release gate of a set: what it rests on, and releases that a person answers for."""

from typing import Any

import pytest
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core.db import Database
from app.core.errors import BadInputError, ConflictError
from app.services import gates, studies
from app.services.gates import Gate, gate_of_set
from app.services.identity import Identity
from models import Audit, AuditEvent, DatasetVersion, Job, JobState, Mark, Release, Study, SyntheticImage, SyntheticSet
from tests import factories
from tests.app.pages import study_data
from tests.audit_data import audited, cleared

REASON = "The ethics board agreed on 12 March."


@pytest.fixture
def drawn(database: Database, who: Identity) -> SyntheticSet:
    with database.write() as session:
        version = factories.dataset_with_version(session, who)
        version.leaks = {"patients": 0, "identical": 0, "near": 0}
        return factories.synthetic_set(session, who, factories.checkpoint(session, who, version))


def studied(session: Session, who: Identity, *, worst: float = 1.5, **options: Any) -> Study:
    """A finished study whose synthetic images are audited, without a copy."""
    version = factories.dataset_with_version(session, who, name="studied", num_images=80)
    version.leaks = {"patients": 0, "identical": 0, "near": 0}
    study = study_data.launched(session, who, version, **options)
    study_data.with_tests(session, who, study)
    audit = studies.audit_of(session, studies.progress(session, study))
    assert audit is not None
    cleared(session, audit)
    for each in studies.progress(session, study).steps:
        if each.step.name == "audit":
            each.job.result = {"audit_id": audit.id, "synthetic_set_id": audit.synthetic_set_id}
    study_data.answered(session, study, worst=worst)
    return study


def learnt(session: Session, study: Study) -> SyntheticSet:
    audit = studies.audit_of(session, studies.progress(session, study))
    assert audit is not None
    return session.get_one(SyntheticSet, audit.synthetic_set_id)


def states(gate: Gate) -> dict[str, str]:
    return {light["name"]: light["state"] for light in gate.lights}


class TestTheLights:
    def test_a_set_that_nobody_audited_is_not_audited(self, database: Database, drawn: SyntheticSet) -> None:
        with database.read() as session:
            gate = gate_of_set(session, drawn)
        assert (gate.verdict, gate.audit_id, gate.study_id) == ("not audited", None, None)
        assert states(gate) == {"leakage": "green", "copies": "grey", "membership": "grey", "utility": "grey"}
        assert "launch one" in gate.lights[3]["sentence"]

    def test_an_audited_set_that_no_study_learnt_is_not_releasable(
        self, database: Database, who: Identity, drawn: SyntheticSet
    ) -> None:
        with database.write() as session:
            audit = audited(session, who, drawn)
            cleared(session, audit)
            gate = gate_of_set(session, drawn)
        assert (gate.verdict, gate.stopped_by, gate.audit_id) == ("not releasable", ["utility"], audit.id)

    def test_a_set_that_taught_every_network_enough_is_releasable(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            study = studied(session, who)
            gate = gate_of_set(session, learnt(session, study))
        assert (gate.verdict, gate.stopped_by, gate.study_id) == ("releasable", [], study.id)
        assert f"Study {study.id}: trained on synthetic images alone" in gate.lights[3]["sentence"]

    def test_one_that_taught_too_little_is_not(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            gate = gate_of_set(session, learnt(session, studied(session, who, worst=-1.0)))
        assert (gate.verdict, states(gate)["utility"]) == ("not releasable", "red")

    def test_a_study_without_equal_real_images_cannot_say(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            study = studied(session, who)
            tables = [
                {**table, "rows": [row for row in table["rows"] if row["arm"] != "real_equal"]}
                for table in study.answer["tables"]
            ]
            study.answer = {"tables": tables}
            gate = gate_of_set(session, learnt(session, study))
        assert states(gate)["utility"] == "grey"
        assert "no arm real_equal" in gate.lights[3]["sentence"]

    def test_a_study_that_still_runs_says_that_it_does(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            study = studied(session, who)
            session.get_one(Job, study.answer_job_id).state = JobState.RUNNING
            session.flush()
            gate = gate_of_set(session, learnt(session, study))
        assert (states(gate)["utility"], gate.study_id) == ("grey", None)
        assert gate.lights[3]["sentence"] == f"Study {study.id} measures it; it has not ended."

    def test_leaks_that_are_found_after_the_audit_count(
        self, database: Database, who: Identity, drawn: SyntheticSet
    ) -> None:
        with database.write() as session:
            audited(session, who, drawn)
            session.get_one(DatasetVersion, drawn.version_id).leaks = {"patients": 3, "identical": 0, "near": 0}
            session.flush()
            assert states(gate_of_set(session, drawn))["leakage"] == "red"

    def test_the_newest_audit_decides(self, database: Database, who: Identity, drawn: SyntheticSet) -> None:
        with database.write() as session:
            first, second = audited(session, who, drawn), audited(session, who, drawn)
            cleared(session, second)
            gate = gate_of_set(session, drawn)
            before = {light["name"]: light["state"] for light in gates.lights_of_audit(session, first)}
        assert (gate.audit_id, states(gate)["copies"], before["copies"]) == (second.id, "green", "red")

    def test_an_image_that_is_no_longer_rejected_was_not_audited(
        self, database: Database, who: Identity, drawn: SyntheticSet
    ) -> None:
        with database.write() as session:
            audit = audited(session, who, drawn)
            cleared(session, audit)
            audit.num_images -= 1
            session.flush()
            gate = gate_of_set(session, drawn)
        assert states(gate)["copies"] == "grey"
        assert "1 images were rejected" in gate.lights[1]["sentence"]


class TestASetWithoutItsCopies:
    def test_is_red_where_a_quarter_had_to_be_left_out(
        self, database: Database, who: Identity, drawn: SyntheticSet
    ) -> None:
        with database.write() as session:
            audit = audited(session, who, drawn)
            gate = gate_of_set(session, session.get_one(SyntheticSet, audit.filtered_set_id))
        assert states(gate)["copies"] == "red"
        assert "2 of 8 images (25.0 %)" in gate.lights[1]["sentence"]

    def test_is_green_where_few_were(self, database: Database, who: Identity, drawn: SyntheticSet) -> None:
        with database.write() as session:
            audit = audited(session, who, drawn)
            audit.num_images = 80
            session.flush()
            gate = gate_of_set(session, session.get_one(SyntheticSet, audit.filtered_set_id))
        assert (states(gate)["copies"], gate.audit_id) == ("green", audit.id)

    def test_stays_red_when_it_is_audited_itself(self, database: Database, who: Identity, drawn: SyntheticSet) -> None:
        with database.write() as session:
            filtered = session.get_one(SyntheticSet, audited(session, who, drawn).filtered_set_id)
            cleared(session, audited(session, who, filtered))
            assert states(gate_of_set(session, filtered))["copies"] == "red"

    def test_is_what_a_study_measures_for_both(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            version = factories.dataset_with_version(session, who, name="studied", num_images=80)
            study = study_data.launched(session, who, version)
            study_data.with_tests(session, who, study)
            study_data.answered(session, study, worst=1.5)
            audit = session.scalars(select(Audit)).one()
            whole = gate_of_set(session, session.get_one(SyntheticSet, audit.synthetic_set_id))
            filtered = gate_of_set(session, session.get_one(SyntheticSet, audit.filtered_set_id))
        assert [gate.study_id for gate in (whole, filtered)] == [study.id] * 2
        assert whole.lights[3]["sentence"].startswith(f"Study {study.id}, without the copies:")

    def test_is_not_measured_by_a_study_that_learnt_the_copies_too(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            study = studied(session, who)
            whole = learnt(session, study)
            filtered = session.get_one(SyntheticSet, audited(session, who, whole).filtered_set_id)
            assert gate_of_set(session, filtered).study_id is None


class TestARelease:
    @pytest.fixture
    def audit(self, database: Database, who: Identity, drawn: SyntheticSet) -> Audit:
        with database.write() as session:
            return audited(session, who, drawn)

    def test_says_who_when_why_and_what_they_knew(
        self, database: Database, who: Identity, drawn: SyntheticSet, audit: Audit
    ) -> None:
        with database.write() as session:
            before = gate_of_set(session, drawn)
            gates.release(session, who, drawn, f"  {REASON}\n")
        with database.read() as session:
            gate = gate_of_set(session, drawn)
            event = session.scalars(select(AuditEvent).where(AuditEvent.action == "release")).one()
        assert gate.verdict == "released by override"
        assert gate.override is not None
        assert (gate.override.created_by, gate.override.reason, gate.override.audit_id) == (who.name, REASON, audit.id)
        assert gate.override.lights == before.lights
        assert (event.actor, event.subject) == (who.name, f"synthetic_sets/{drawn.id}")
        assert (event.data["reason"], event.data["lights"]) == (REASON, before.lights)

    def test_is_taken_back_and_stays_on_record(
        self, database: Database, who: Identity, drawn: SyntheticSet, audit: Audit
    ) -> None:
        with database.write() as session:
            gates.release(session, who, drawn, REASON)
            gates.withdraw(session, who, drawn)
            assert gate_of_set(session, drawn).verdict == "not releasable"
            row = session.scalars(select(Release)).one()
            assert row.withdrawn_by == who.name
            assert row.withdrawn_at is not None
            assert "withdraw release" in session.scalars(select(AuditEvent.action)).all()
            with pytest.raises(ConflictError, match="Nobody has released"):
                gates.withdraw(session, who, drawn)

    def test_is_never_called_releasable(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            study = studied(session, who)
            made = learnt(session, study)
            audit = session.get_one(Audit, gate_of_set(session, made).audit_id)
            leaky = session.get_one(DatasetVersion, audit.version_id)
            leaky.leaks = {"patients": 1, "identical": 0, "near": 0}
            gates.release(session, who, made, REASON)
            leaky.leaks = {"patients": 0, "identical": 0, "near": 0}
            session.flush()
            gate = gate_of_set(session, made)
        assert (gate.verdict, gate.stopped_by) == ("released by override", [])

    def test_needs_a_reason(self, database: Database, who: Identity, drawn: SyntheticSet, audit: Audit) -> None:
        with database.write() as session:
            for reason in ("because", "          ", "x" * 2001):
                with pytest.raises(BadInputError, match="use 10 to 2000"):
                    gates.release(session, who, drawn, reason)

    def test_needs_somebody_who_has_looked(self, database: Database, who: Identity, drawn: SyntheticSet) -> None:
        with database.write() as session, pytest.raises(ConflictError, match="Nobody has audited"):
            gates.release(session, who, drawn, REASON)

    def test_of_a_releasable_set_is_refused(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            made = learnt(session, studied(session, who))
            with pytest.raises(ConflictError, match="nothing to override"):
                gates.release(session, who, made, REASON)

    def test_is_refused_twice(self, database: Database, who: Identity, drawn: SyntheticSet, audit: Audit) -> None:
        with database.write() as session:
            gates.release(session, who, drawn, REASON)
            with pytest.raises(ConflictError, match="already"):
                gates.release(session, who, drawn, REASON)

    def test_is_deleted_with_its_set(
        self, database: Database, who: Identity, drawn: SyntheticSet, audit: Audit
    ) -> None:
        with database.write() as session:
            gates.release(session, who, drawn, REASON)
            session.execute(update(SyntheticSet).values(filtered_from_id=None))
            session.delete(session.get_one(SyntheticSet, drawn.id))
            session.flush()
            assert session.scalars(select(Release)).all() == []


def test_rejected_images_in_an_export_make_it_not_releasable(database: Database, who: Identity) -> None:
    with database.write() as session:
        made = learnt(session, studied(session, who))
        image = session.scalars(select(SyntheticImage).where(SyntheticImage.set_id == made.id)).first()
        assert image is not None
        image.mark = Mark.REJECTED
        session.flush()
        gate = gate_of_set(session, made)
    assert gate.verdict == "releasable"
    assert gates.with_rejected(gate, 0) == gate
    exported = gates.with_rejected(gate, 1)
    assert (exported.verdict, exported.stopped_by) == ("not releasable", ["copies"])
