"""A study whose classifiers are explained: real jobs with tiny networks, to the comparison in its answer."""

from typing import Any

from sqlalchemy import delete, select

from app.services import studies
from models import (
    Classifier,
    Explanation,
    ExplanationItem,
    Job,
    JobState,
    Opening,
    OpeningKind,
    Study,
    StudyStep,
)
from tests.workers.jobs.conftest import Studio
from tests.workers.jobs.test_study import done, launch

QUICK = {"num_images": 4, "num_samples": 60, "num_segments": 6, "top_k": 2, "batch_size": 64}
ARMS = ["real_equal", "synthetic"]


def explained(studio: Studio, **options: Any) -> Study:
    return done(studio, launch(studio, arms=ARMS, explanations=QUICK, **options))


def told(study: Study) -> dict[str, Any]:
    assert study.answer is not None
    found: dict[str, Any] = study.answer["explanations"]
    return found


def item(studio: Studio, item_id: int) -> tuple[ExplanationItem, Classifier]:
    with studio.database.read() as session:
        row = session.get_one(ExplanationItem, item_id)
        explanation = session.get_one(Explanation, row.explanation_id)
        return row, session.get_one(Classifier, explanation.classifier_id)


def test_the_same_test_images_stand_side_by_side_each_explained_with_its_arms_classifier(studio: Studio) -> None:
    found = told(explained(studio))
    assert (found["architecture"], found["arms"], found["seed"], found["reason"]) == ("resnet10t", ARMS, 0, "")
    assert [image["label"] for image in found["images"]] == [0, 0, 1, 1]
    for image in found["images"]:
        for arm, train_on in zip(ARMS, ("real", "synthetic"), strict=True):
            row, classifier = item(studio, image["items"][arm])
            assert row.faithfulness is not None
            assert row.stability is not None
            assert row.places is not None
            assert (row.image_id, str(classifier.train_on), classifier.spec["seed"]) == (image["image_id"], train_on, 0)
            assert image["predicted"][arm] == row.predicted
            assert image["deletion_auc"][arm] == row.faithfulness["deletion_auc"]
            assert image["stability"][arm] == row.stability["overlap"]
            assert image["border"][arm] == row.places["border"]
            assert 0 <= image["seed_overlap"][arm] <= 1
        assert 0 <= image["overlap"] <= 1
    assert [row["num_images"] for row in found["summary"] if row["what"] == "deletion_auc"] == [4]
    assert set(found["shortcut"]) == {*ARMS}
    assert found["agreement"]["overlap"] is not None
    openings = studio.rows(select(Opening).where(Opening.kind == OpeningKind.EXPLANATION))
    assert [opening.num_images for opening in openings] == [4] * 4


def test_a_second_table_says_the_same_until_an_explanation_is_deleted(studio: Studio) -> None:
    study = explained(studio, seeds=[3])
    assert told(study)["seed"] == 3
    assert {value for image in told(study)["images"] for value in image["seed_overlap"].values()} == {None}
    assert summarised_again(studio, study).answer == study.answer
    with studio.database.write() as session:
        first = session.scalars(select(Explanation.id).order_by(Explanation.id)).first()
        session.execute(delete(Explanation).where(Explanation.id == first))
    assert told(summarised_again(studio, study))["reason"] == "real_equal: The explanation was deleted."


def summarised_again(studio: Studio, study: Study) -> Study:
    with studio.database.write() as session:
        answer_job_id = studies.summarise(session, studio.who, session.get_one(Study, study.id)).id
    studio.work(answer_job_id)
    with studio.database.read() as session:
        return session.get_one(Study, study.id)


def test_a_failed_explanation_is_named_and_the_table_is_made(studio: Studio) -> None:
    study_id = launch(studio, arms=ARMS, seeds=[0], explanations=QUICK)
    with studio.database.write() as session:
        step = session.get_one(StudyStep, (study_id, "explain/synthetic/resnet10t/size 1/seed 0"))
        job = session.get_one(Job, step.job_id)
        job.spec = {**job.spec, "image_ids": [10**6]}
    study = done(studio, study_id)
    assert studio.job(step.job_id).state == JobState.FAILED
    assert study.answer is not None
    assert study.answer["tables"][0]["rows"][1]["mean"]["balanced_accuracy"]["value"] is not None
    assert told(study)["images"] == []
    assert told(study)["reason"].startswith("synthetic: ")
