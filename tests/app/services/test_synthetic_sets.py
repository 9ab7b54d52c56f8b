"""Synthetic sets: pages of images, marks that can be undone, what may be deleted."""

import pytest
from sqlalchemy import select

from app.core.db import Database
from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.services import synthetic_sets
from app.services.identity import Identity
from models import Audit, Mark, SyntheticImage, SyntheticSet
from tests import factories
from tests.audit_data import audited


@pytest.fixture
def made(database: Database, who: Identity) -> SyntheticSet:
    """Four images of each of two classes."""
    with database.write() as session:
        checkpoint = factories.checkpoint(session, who, factories.dataset_with_version(session, who))
        return factories.synthetic_set(session, who, checkpoint, per_class=4)


def ids_of(database: Database, made: SyntheticSet) -> list[int]:
    with database.read() as session:
        return list(
            session.scalars(
                select(SyntheticImage.id).where(SyntheticImage.set_id == made.id).order_by(SyntheticImage.id)
            )
        )


class TestImages:
    def test_come_in_pages_without_gap_or_overlap(self, database: Database, made: SyntheticSet) -> None:
        seen, cursor = [], None
        with database.read() as session:
            for _ in range(3):
                page = synthetic_sets.images(session, made, cursor=cursor, limit=3)
                seen += [image.id for image in page.items]
                cursor = page.next_cursor
        assert seen == ids_of(database, made)
        assert cursor is None

    def test_can_be_of_one_class_and_one_mark(self, database: Database, made: SyntheticSet) -> None:
        ids = ids_of(database, made)
        with database.write() as session:
            synthetic_sets.mark(session, made, [ids[5], ids[0]], Mark.STARRED)
        with database.read() as session:
            found = synthetic_sets.images(session, made, label=1, mark=Mark.STARRED).items
        assert [image.id for image in found] == [ids[5]]


class TestMark:
    def test_gives_back_the_marks_there_were(self, database: Database, made: SyntheticSet) -> None:
        ids = ids_of(database, made)
        with database.write() as session:
            synthetic_sets.mark(session, made, ids[:1], Mark.STARRED)
            before = synthetic_sets.mark(session, made, ids[:2], Mark.REJECTED)
        assert before == {ids[0]: Mark.STARRED, ids[1]: Mark.NONE}
        with database.read() as session:
            assert synthetic_sets.mark_counts(session, made) == {Mark.NONE: 6, Mark.STARRED: 0, Mark.REJECTED: 2}
            assert synthetic_sets.mark_counts(session, made, label=1)[Mark.REJECTED] == 0
            assert synthetic_sets.kept_counts(session, made) == {"disc": 2, "ring": 4}

    @pytest.mark.parametrize("stranger", [10**6, -1, 10**30])
    def test_marks_none_if_one_is_not_of_the_set(self, database: Database, made: SyntheticSet, stranger: int) -> None:
        ids = ids_of(database, made)
        with database.write() as session, pytest.raises(NotFoundError, match="none was marked"):
            synthetic_sets.mark(session, made, [ids[0], stranger], Mark.REJECTED)
        with database.read() as session:
            assert synthetic_sets.mark_counts(session, made)[Mark.REJECTED] == 0

    @pytest.mark.parametrize("number", [0, 1001])
    def test_wants_one_to_a_thousand_images(self, database: Database, made: SyntheticSet, number: int) -> None:
        with database.write() as session, pytest.raises(BadInputError, match="name 1 to 1000"):
            synthetic_sets.mark(session, made, [1] * number, Mark.STARRED)


def test_a_recipe_says_how_to_draw_the_image_again(database: Database, made: SyntheticSet) -> None:
    with database.read() as session:
        image = synthetic_sets.image(session, made, ids_of(database, made)[5])
    made.spec = {"seed": 3, "guidance": 1.5, "sampler": "ddim", "num_steps": 9}
    assert synthetic_sets.recipe(made, image) == {
        "checkpoint_id": made.checkpoint_id, "class": "ring", "seed": image.seed, "index": 5, "guidance": 1.5,
        "sampler": "ddim", "num_steps": 9,
    }  # fmt: skip


class TestDelete:
    def test_takes_the_images_along(self, database: Database, who: Identity, made: SyntheticSet) -> None:
        with database.write() as session:
            synthetic_sets.delete(session, who, session.get_one(SyntheticSet, made.id))
        assert ids_of(database, made) == []

    def test_is_refused_while_a_classifier_learnt_from_it(
        self, database: Database, who: Identity, made: SyntheticSet
    ) -> None:
        with database.write() as session:
            version = factories.dataset_with_version(session, who, name="real")
            factories.classifier(session, who, version, synthetic_set_id=made.id, train_on="synthetic")
        with database.write() as session, pytest.raises(ConflictError, match="1 classifiers were trained"):
            synthetic_sets.delete(session, who, session.get_one(SyntheticSet, made.id))

    def test_takes_its_audits_along_but_not_before_the_set_without_its_copies(
        self, database: Database, who: Identity, made: SyntheticSet
    ) -> None:
        with database.write() as session:
            audit = audited(session, who, session.get_one(SyntheticSet, made.id))
        with database.write() as session, pytest.raises(ConflictError, match="1 sets are synthetic set 1 without its"):
            synthetic_sets.delete(session, who, session.get_one(SyntheticSet, made.id))
        with database.write() as session:
            synthetic_sets.delete(session, who, session.get_one(SyntheticSet, audit.filtered_set_id))
        with database.read() as session:
            assert session.get_one(Audit, audit.id).filtered_set_id is None
        with database.write() as session:
            synthetic_sets.delete(session, who, session.get_one(SyntheticSet, made.id))
        with database.read() as session:
            assert session.get(Audit, audit.id) is None

    def test_is_refused_while_a_classifier_was_tested_on_it(
        self, database: Database, who: Identity, made: SyntheticSet
    ) -> None:
        with database.write() as session:
            version = factories.dataset_with_version(session, who, name="real")
            tested = factories.evaluation(session, who, factories.classifier(session, who, version), {})
            tested.synthetic_set_id = made.id
        with database.write() as session, pytest.raises(ConflictError, match="1 evaluations are on synthetic set"):
            synthetic_sets.delete(session, who, session.get_one(SyntheticSet, made.id))
