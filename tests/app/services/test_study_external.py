"""Other datasets that a study is tested on: what its training knows of them is said before anything is trained."""

from typing import Any

import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.core.fingerprints import fingerprint
from app.services import studies
from app.services.identity import Identity
from app.services.studies import estimating, external, planning
from models import DatasetVersion, Fingerprint, Image, Job, Split, Study
from models.specs import StudySpec
from tests import factories
from tests.app.services.test_studies import SMALL, spec_of, step

ACCEPTED = {**SMALL["classifier"], "accept_leaks": True}


@pytest.fixture
def other(session: Session, who: Identity) -> DatasetVersion:
    return factories.dataset_with_version(session, who, name="other")


def images_of(session: Session, version: DatasetVersion, split: Split = Split.TRAIN) -> list[Image]:
    query = select(Image).where(Image.version_id == version.id, Image.split == split)
    return list(session.scalars(query.order_by(Image.id)))


def same_pixels(session: Session, known: list[Image], images: list[Image]) -> None:
    for one, another in zip(known, images, strict=True):
        another.pixel_sha256 = one.pixel_sha256
    session.flush()


def asked(version: DatasetVersion, other: DatasetVersion, **options: Any) -> StudySpec:
    tests = {"a/b": {"dataset_id": other.dataset_id, **options.pop("test", {})}}
    return spec_of(version, **{"external": tests, "arms": ["real_equal"], "seeds": [0], **options})


def refusal(session: Session, who: Identity, spec: StudySpec) -> ConflictError:
    """The same at launch as in the estimate."""
    said = []
    for ask in (estimating.estimate, studies.launch):
        with pytest.raises(ConflictError) as refused:
            ask(session, who, spec)
        said.append(refused.value)
    assert str(said[0]) == str(said[1])
    assert session.scalars(select(Study)).all() == []
    return said[0]


@pytest.mark.parametrize("split", [Split.TRAIN, Split.VAL])
def test_identical_pictures_are_counted_and_refused_at_launch(session, who, version, other, split):
    known = images_of(session, version, split)[:2]
    same_pixels(session, known, images_of(session, other, Split.TEST)[:2])
    error = refusal(session, who, asked(version, other))
    assert "External test 'a/b'" in error.detail
    assert "the same picture as 2 (2 with identical pixels)" in error.detail
    assert "accept_leaks" in error.hint
    assert f"/datasets/{version.dataset_id}/overlap?other={other.dataset_id}" in error.hint
    assert [each["pointer"] for each in error.errors] == ["/external/a~1b"]


def test_look_alikes_and_patients_are_counted_as_well(session, who, version, other):
    known, image = images_of(session, version)[0], images_of(session, other)[0]
    look = fingerprint(factories.drawing(1, seed=3, size=64))
    session.add_all(
        Fingerprint(stored_sha256=each.stored_sha256, facts={}, **look._asdict()) for each in (known, image)
    )
    images_of(session, version)[1].group = "patient-1"
    for each in images_of(session, other)[3:6]:
        each.group = "patient-1"
    session.flush()
    error = refusal(session, who, asked(version, other))
    assert "the same picture as 1 (0 with identical pixels) and the patients of 3" in error.detail


def test_look_alikes_of_datasets_too_large_to_compare_while_a_person_waits_are_left_to_the_job(
    session, who, version, other, monkeypatch
):
    monkeypatch.setattr(external, "MOST_PAIRS", 16 * 20 - 1)  # training and validation, all of the other
    known, images = images_of(session, version), images_of(session, other)
    look = fingerprint(factories.drawing(1, seed=3, size=64))
    rows = (known[0], images[0])
    session.add_all(Fingerprint(stored_sha256=each.stored_sha256, facts={}, **look._asdict()) for each in rows)
    session.flush()
    assert studies.launch(session, who, asked(version, other)).id
    same_pixels(session, known[3:4], images[3:4])
    with pytest.raises(ConflictError, match="the same picture as 1"):
        studies.launch(session, who, asked(version, other))
    monkeypatch.setattr(external, "MOST_PAIRS", 16 * 20)
    with pytest.raises(ConflictError, match="the same picture as 2"):
        studies.launch(session, who, asked(version, other))


def test_test_images_of_the_study_may_be_in_the_other_dataset_since_nothing_learns_them(session, who, version, other):
    same_pixels(session, images_of(session, version, Split.TEST), images_of(session, other, Split.TEST))
    assert studies.launch(session, who, asked(version, other)).id


def test_a_training_image_is_found_beside_a_test_image_that_looks_more_alike(session, who, version, other):
    seen, locked = images_of(session, version)[0], images_of(session, version, Split.TEST)[0]
    image = images_of(session, other)[0]
    drawing = factories.drawing(1, seed=3, size=64)
    brighter = (drawing * 0.9 + 20).astype("uint8")
    for row, pixels in ((seen, brighter), (locked, drawing), (image, drawing)):
        session.add(Fingerprint(stored_sha256=row.stored_sha256, facts={}, **fingerprint(pixels)._asdict()))
    session.flush()
    assert "the same picture as 1" in refusal(session, who, asked(version, other)).detail


def test_classes_that_are_not_tested_are_not_looked_at(session, who, version):
    other = factories.dataset_with_version(session, who, name="other", classes=["disc", "ring", "dust"], num_images=30)
    dust = [each for each in images_of(session, other) if other.classes[each.label] == "dust"]
    same_pixels(session, images_of(session, version)[: len(dust)], dust)
    test = {"class_map": {"disc": "disc", "ring": "ring"}}
    assert studies.launch(session, who, asked(version, other, test=test)).id


@pytest.mark.parametrize(("options", "own"), [
    ({"test": {"accept_leaks": True}}, False), ({"classifier": ACCEPTED}, True),
])  # fmt: skip
def test_is_accepted_for_that_test_alone_or_with_the_leaks_of_the_study(session, who, version, other, options, own):
    same_pixels(session, images_of(session, version), images_of(session, other))
    study = studies.launch(session, who, asked(version, other, **options))
    accepted = {
        name: session.get_one(Job, step(session, study, f"test/real_equal/resnet10t/seed 0/{name}").job_id).spec["accept_leaks"]
        for name in ("own", "a/b")
    }  # fmt: skip
    assert accepted == {"own": own, "a/b": True}


def test_accepting_leaks_trains_no_classifier_anew(session, who, version, other):
    first = studies.launch(session, who, spec_of(version, arms=["real_equal"], seeds=[0]))
    second = studies.launch(session, who, asked(version, other, classifier=ACCEPTED))
    name = "train/real_equal/resnet10t/seed 0"
    assert step(session, second, name).job_id == step(session, first, name).job_id
    own = f"test/{name.removeprefix('train/')}/own"
    assert step(session, second, own).job_id != step(session, first, own).job_id


def test_a_study_that_accepts_no_leaks_has_the_keys_that_it_had_before(version):
    """So that what earlier releases made is found: the key of a classifier is over all of its options but its name."""
    spec = spec_of(version, arms=["real"], seeds=[0]).model_copy(update={"version_id": version.id})
    training = planning.steps(spec, version)[0]
    assert training.draft["accept_leaks"] is False
    changed = planning.Planned(**{**vars(training), "draft": {**training.draft, "accept_leaks": True}})
    assert planning.step_keys([training]) == planning.step_keys([changed])


def test_the_papers_protocol_looks_at_the_splits_that_it_makes(session, who, other):
    version = factories.dataset_with_version(session, who, num_images=100)
    spec = asked(version, other, preset="paper")
    paper = session.get_one(DatasetVersion, studies.launch(session, who, spec).version_id)
    was_learnt = {image.pixel_sha256 for image in images_of(session, version)}
    tested = next(each for each in images_of(session, paper, Split.TEST) if each.pixel_sha256 in was_learnt)
    same_pixels(session, [tested], images_of(session, other)[:1])
    assert studies.launch(session, who, spec).id
    same_pixels(session, images_of(session, paper)[:1], images_of(session, other)[:1])
    with pytest.raises(ConflictError, match="the same picture as 1"):
        studies.launch(session, who, spec)


def test_extending_looks_at_datasets_that_are_added(session, who, version, other):
    study = studies.launch(session, who, spec_of(version, arms=["real_equal"], seeds=[0]))
    same_pixels(session, images_of(session, version)[:1], images_of(session, other)[:1])
    added = {"external": {"x": {"dataset_id": other.dataset_id}}}
    with pytest.raises(ConflictError, match="External test 'x'"):
        studies.extend(session, who, study, added)
    added["external"]["x"]["accept_leaks"] = True
    studies.extend(session, who, study, added)
    studies.extend(session, who, study, {"seeds": [1]})
    assert step(session, study, "test/real_equal/resnet10t/seed 1/x").job_id
