"""Checkpoints of the project: found, listed, renamed, and deleted only when nothing rests on them."""

import pytest
from sqlalchemy import select

from app.core.db import Database
from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.services import checkpoints
from app.services.identity import Identity
from models import AuditEvent, Checkpoint, JobKind, JobState
from tests import factories


@pytest.fixture
def checkpoint(database: Database, who: Identity) -> Checkpoint:
    with database.write() as session:
        return factories.checkpoint(session, who, factories.dataset_with_version(session, who))


class TestGet:
    @pytest.mark.parametrize("missing", [0, -1, 999, 2**63, 10**30])
    def test_says_that_there_is_none(self, database: Database, who: Identity, missing: int) -> None:
        with database.read() as session, pytest.raises(NotFoundError, match=f"There is no checkpoint {missing}"):
            checkpoints.get(session, who, missing)

    def test_another_projects_is_as_if_it_were_not_there(
        self, database: Database, who: Identity, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            stranger = factories.identity(session, "other")
        with database.read() as session, pytest.raises(NotFoundError, match=f"There is no checkpoint {checkpoint.id}"):
            checkpoints.get(session, stranger, checkpoint.id)


class TestListing:
    def test_is_newest_first_in_pages(self, database: Database, who: Identity) -> None:
        with database.write() as session:
            version = factories.dataset_with_version(session, who)
            made = [factories.checkpoint(session, who, version).id for _ in range(5)]
        with database.read() as session:
            first = checkpoints.listing(session, who, limit=3)
            second = checkpoints.listing(session, who, cursor=first.next_cursor, limit=3)
        assert [row.id for row in [*first.items, *second.items]] == made[::-1]
        assert second.next_cursor is None

    def test_can_be_of_one_dataset(self, database: Database, who: Identity, checkpoint: Checkpoint) -> None:
        with database.write() as session:
            other = factories.dataset_with_version(session, who, name="other")
            there = factories.checkpoint(session, who, other)
        with database.read() as session:
            assert [row.id for row in checkpoints.listing(session, who, dataset_id=other.dataset_id).items] == [
                there.id
            ]


class TestRename:
    def test_trims_the_name(self, database: Database, checkpoint: Checkpoint) -> None:
        with database.write() as session:
            assert checkpoints.rename(session, session.get_one(Checkpoint, checkpoint.id), "  a   b ").name == "a b"

    @pytest.mark.parametrize("name", ["", "   ", "x" * 201])
    def test_refuses_no_name_and_a_long_one(self, database: Database, checkpoint: Checkpoint, name: str) -> None:
        with database.write() as session, pytest.raises(BadInputError, match="use 1 to 200"):
            checkpoints.rename(session, session.get_one(Checkpoint, checkpoint.id), name)


class TestDelete:
    def test_takes_it_away_and_notes_who_did(self, database: Database, who: Identity, checkpoint: Checkpoint) -> None:
        with database.write() as session:
            checkpoints.delete(session, who, session.get_one(Checkpoint, checkpoint.id))
        with database.read() as session:
            assert session.get(Checkpoint, checkpoint.id) is None
            event = session.scalars(select(AuditEvent)).one()
        assert (event.actor, event.action, event.subject) == (who.name, "delete", f"checkpoints/{checkpoint.id}")

    def test_is_refused_while_a_set_was_drawn_from_it(
        self, database: Database, who: Identity, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            factories.synthetic_set(session, who, checkpoint)
        with database.write() as session, pytest.raises(ConflictError, match="1 synthetic sets were drawn"):
            checkpoints.delete(session, who, session.get_one(Checkpoint, checkpoint.id))

    @pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.PAUSED])
    def test_is_refused_while_a_job_needs_it(
        self, database: Database, who: Identity, checkpoint: Checkpoint, state: JobState
    ) -> None:
        with database.write() as session:
            spec = {"kind": "sample", "checkpoint_id": checkpoint.id}
            job = factories.job(session, who, JobKind.SAMPLE, spec=spec, state=state)
        with database.write() as session, pytest.raises(ConflictError, match=f"Job {job.id} is using this checkpoint"):
            checkpoints.delete(session, who, session.get_one(Checkpoint, checkpoint.id))

    def test_is_allowed_when_the_job_has_ended(self, database: Database, who: Identity, checkpoint: Checkpoint) -> None:
        with database.write() as session:
            spec = {"kind": "sample", "checkpoint_id": checkpoint.id}
            factories.job(session, who, JobKind.SAMPLE, spec=spec, state=JobState.FAILED)
            checkpoints.delete(session, who, session.get_one(Checkpoint, checkpoint.id))
