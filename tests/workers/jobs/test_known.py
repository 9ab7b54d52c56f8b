"""What counts as known to a classifier that learnt from synthetic images: all that the network behind them has learnt."""

from typing import Any

from sqlalchemy import select

from models import DatasetVersion, Image
from models.specs import EvaluateSpec
from tests import factories
from tests.workers.jobs.conftest import Studio
from workers.jobs.known import known_to_training, trainings_of


def versions(session: Any, studio: Studio) -> tuple[DatasetVersion, DatasetVersion]:
    """Of two datasets without a common patient."""
    first, second = (
        factories.dataset_with_version(session, studio.who, name=name, num_images=20) for name in ("first", "second")
    )
    for version in (first, second):
        for image in session.scalars(select(Image).where(Image.version_id == version.id)):
            image.group = f"{version.dataset.name} {image.id % 5}"
    session.flush()
    return first, second


def patients_known(
    session: Any, studio: Studio, start: int | None, tested: DatasetVersion, learnt: DatasetVersion
) -> int:
    last = factories.checkpoint(session, studio.who, learnt, spec={"init_checkpoint_id": start})
    drawn = factories.synthetic_set(session, studio.who, last)
    trained = factories.classifier(session, studio.who, learnt, synthetic_set_id=drawn.id)
    spec = EvaluateSpec(classifier_id=trained.id, dataset_id=tested.dataset_id, version_id=tested.id, split="all")
    return known_to_training(session, spec)["patients"]


def test_what_the_network_learnt_before_is_known_to_what_learns_from_its_images(studio: Studio) -> None:
    with studio.database.write() as session:
        first, second = versions(session, studio)
        begun = factories.checkpoint(session, studio.who, first)
        between = factories.checkpoint(session, studio.who, second, spec={"init_checkpoint_id": begun.id})
        assert patients_known(session, studio, None, first, second) == 0
        assert patients_known(session, studio, begun.id, first, second) == 20
        assert patients_known(session, studio, between.id, first, second) == 20  # of the one before that, as well


def test_trainings_end_at_a_network_that_was_deleted_or_came_from_elsewhere(studio: Studio) -> None:
    with studio.database.write() as session:
        first, _ = versions(session, studio)
        foreign = factories.checkpoint(session, studio.who, first, spec={"init_checkpoint_id": 1})
        foreign.version_id = None
        last = factories.checkpoint(session, studio.who, first, spec={"init_checkpoint_id": foreign.id})
        assert trainings_of(session, last) == ([last, foreign], None)
        orphan = factories.checkpoint(session, studio.who, first, spec={"init_checkpoint_id": 9999})
        assert trainings_of(session, orphan) == ([orphan], 9999)
