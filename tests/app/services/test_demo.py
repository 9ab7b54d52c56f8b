from pathlib import Path

from sqlalchemy import func, select

from app.core.db import Database
from app.core.phantoms import CLASSES
from app.core.storage import Storage
from app.services import demo
from app.services.identity import Identity
from models import Checkpoint, Explanation, JobKind, JobState, TrainOn
from tests import factories


def test_there_is_no_story_before_the_demo_has_run(database: Database, who: Identity):
    with database.write() as session:
        factories.dataset_with_version(session, who, name=demo.NAME)
        assert demo.story(session, who) is None


def test_the_story_follows_the_chain_back_from_the_explanation(database: Database, who: Identity):
    with database.write() as session:
        version = factories.dataset_with_version(session, who, name=demo.NAME)
        drawn = factories.synthetic_set(session, who, factories.checkpoint(session, who, version))
        learnt = factories.classifier(session, who, version, train_on=TrainOn.SYNTHETIC, synthetic_set_id=drawn.id)
        tested = factories.evaluation(
            session, who, learnt, {"balanced_accuracy": {"value": 0.9, "low": 0.8, "high": 1.0}}
        )
        job = factories.job(session, who, JobKind.EXPLAIN, state=JobState.SUCCEEDED)
        session.add(
            Explanation(
                project_id=who.project_id,
                job_id=job.id,
                classifier_id=learnt.id,
                classes=version.classes,
                num_images=0,
                spec={},
            )
        )
        session.flush()
        story = demo.story(session, who)
        assert story is not None
        assert (story.synthetic_set.id, story.classifier.id, story.evaluation.id) == (drawn.id, learnt.id, tested.id)
        assert [pair.name for pair in story.pairs] == version.classes
        assert [len(pair.synthetic) for pair in story.pairs] == [4, 4]
        assert len(story.jobs) == 5
        assert demo.story(session, factories.identity(session, "another")) is None


def test_the_bundled_checkpoint_is_registered_once_and_is_small(database: Database, who: Identity, storage: Storage):
    with database.write() as session:
        first = demo.register_checkpoint(session, who, storage)
        again = demo.register_checkpoint(session, who, storage)
        assert first.id == again.id
        assert session.scalar(select(func.count()).select_from(Checkpoint)) == 1
        assert first.classes == list(CLASSES)
        assert first.num_parameters > 100_000
        assert storage.exists(first.sha256)
    assert Path(demo.BUNDLED).stat().st_size < 3_000_000
