"""A job that a worker hands in is the same as one that a person hands in."""

import pytest
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError

from app.core.queue import NOTES
from app.core.submission import add_check, add_job
from app.services import jobs
from models import AuditEvent, Job, JobState, Queue
from models.specs import CheckDatasetSpec
from tests import factories


def test_a_check_waits_has_an_event_and_an_audit_line_and_will_ring(database, who):
    with database.write() as session:
        version = factories.dataset_with_version(session, who)
        job = add_check(session, version, project_id=who.project_id, created_by="importer")
        assert (job.state, job.queue, job.title) == (JobState.QUEUED, Queue.IO, "Check of shapes, version 1")
        assert (job.spec["version_id"], job.created_by) == (version.id, "importer")
        assert [event.data["state"] for event in jobs.events_after(session, job.id, 0)] == ["queued"]
        audit = session.scalars(select(AuditEvent)).one()
        assert (audit.action, audit.subject, audit.actor) == ("jobs.submit", f"job {job.id}", "importer")
        assert [ring.job_id for _, ring in session.info[NOTES]] == [job.id]


def test_it_is_the_job_that_a_person_would_have_asked_for(database, who):
    with database.write() as session:
        version = factories.dataset_with_version(session, who)
        ours = add_check(session, version, project_id=who.project_id, created_by=who.name)
        theirs = jobs.submit(session, who, CheckDatasetSpec(dataset_id=version.dataset_id))
        assert (ours.spec, ours.title, ours.queue) == (theirs.spec, theirs.title, theirs.queue)


def test_a_key_that_is_taken_leaves_the_transaction_whole(database, who):
    spec = CheckDatasetSpec(dataset_id=1, version_id=1)
    with database.write() as session:
        same = {"project_id": who.project_id, "created_by": "x", "title": "t", "idempotency_key": "k"}
        add_job(session, spec, **same)
        with pytest.raises(IntegrityError):
            add_job(session, spec, **same)
        assert len(session.scalars(select(Job)).all()) == 1
