"""Explanations: items in the order asked for, named by their images."""

import pytest
from sqlalchemy import select

from app.core.db import Database
from app.core.errors import NotFoundError
from app.services import explanations
from app.services.explanations import Spread, Summary
from app.services.identity import Identity
from models import Explanation, ExplanationItem, Image, UploadedImage
from tests import factories


@pytest.fixture
def explanation(database: Database, who: Identity) -> Explanation:
    """Of two dataset images and an uploaded one."""
    with database.write() as session:
        version = factories.dataset_with_version(session, who)
        classifier = factories.classifier(session, who, version)
        made = Explanation(
            project_id=who.project_id, job_id=classifier.job_id, classifier_id=classifier.id, classes=version.classes,
            num_images=3, spec={},
        )  # fmt: skip
        upload = UploadedImage(
            project_id=who.project_id,
            name="mine.png",
            width=8,
            height=8,
            stored_sha256="a" * 64,
            thumbnail_sha256="b" * 64,
        )
        session.add_all([made, upload])
        session.flush()
        images = [image.id for image in session.scalars(select(Image).limit(2))]
        for index, (image_id, uploaded_id) in enumerate([(images[1], None), (images[0], None), (None, upload.id)]):
            session.add(
                ExplanationItem(
                    explanation_id=made.id, index=index, image_id=image_id, uploaded_image_id=uploaded_id, predicted=0,
                    probabilities=[1.0, 0.0], width=8, height=8, picture_sha256="c" * 64, segments_sha256="d" * 64,
                    overlay_sha256="e" * 64, weights={},
                )
            )  # fmt: skip
        return made


def test_items_come_in_the_order_asked_for_with_their_names(database: Database, explanation: Explanation) -> None:
    with database.read() as session:
        items = explanations.items(session, explanation).items
        names = explanations.names(session, items)
    assert [item.index for item in items] == [0, 1, 2]
    assert [names[item.id] for item in items] == ["ring/00001.png", "disc/00000.png", "mine.png"]


def test_an_item_of_another_explanation_is_not_found(database: Database, explanation: Explanation) -> None:
    with database.read() as session, pytest.raises(NotFoundError, match="has no item 999"):
        explanations.item(session, explanation, 999)


class TestSummaries:
    def test_are_mean_least_and_greatest_over_the_images_that_were_measured(
        self, database: Database, explanation: Explanation
    ) -> None:
        measure(database, explanation, [(0.2, 0.9), (0.4, 0.6), None], [None, (0.5, 0.25), (1.0, None)])
        with database.read() as session:
            found = explanations.summaries(session, [explanation])[explanation.id]
        assert found.deletion_auc == Spread(2, pytest.approx(0.3), 0.2, 0.4)
        assert found.insertion_auc == Spread(2, 0.75, 0.6, 0.9)
        assert found.overlap == Spread(2, 0.75, 0.5, 1.0)
        assert found.correlation == Spread(1, 0.25, 0.25, 0.25)

    def test_are_empty_where_nothing_was_measured(self, database: Database, explanation: Explanation) -> None:
        with database.read() as session:
            assert explanations.summaries(session, [explanation]) == {explanation.id: Summary()}

    def test_of_no_explanations_are_none(self, database: Database) -> None:
        with database.read() as session:
            assert explanations.summaries(session, []) == {}


def measure(
    database: Database,
    explanation: Explanation,
    areas: list[tuple[float, float] | None],
    agreements: list[tuple[float, float | None] | None],
) -> None:
    """Give each item its (deletion_auc, insertion_auc) and its (overlap, correlation), where there is one."""
    with database.write() as session:
        items = explanations.items(session, explanation).items
        for item, area, agreement in zip(items, areas, agreements, strict=True):
            item.faithfulness = dict(zip(("deletion_auc", "insertion_auc"), area, strict=True)) if area else None
            item.stability = dict(zip(("overlap", "correlation"), agreement, strict=True)) if agreement else None


def test_deleting_takes_the_items_along(database: Database, who: Identity, explanation: Explanation) -> None:
    with database.write() as session:
        explanations.delete(session, who, session.get_one(Explanation, explanation.id))
    with database.read() as session:
        assert session.scalars(select(ExplanationItem)).all() == []
