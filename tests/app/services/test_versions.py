"""Versions, copies, leaks and the lock, on rows of both databases."""

import numpy as np
import pytest
from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import phantoms
from app.core import versions as core
from app.core.errors import BadInputError, ConflictError, LockedError, NotFoundError
from app.core.fingerprints import fingerprint
from app.core.images.facts import facts
from app.services import datasets, jobs
from app.services.datasets import copies, leaks, openings
from app.services.datasets.revising import entries_of
from models import Dataset, DatasetVersion, Fingerprint, Image, Job, JobKind, OpeningKind, RefusedFile, Split
from models.specs import TrainClassifierSpec
from models.specs.changing import Exclude, MendLeaks, Move, Relabel, Resplit, Restore, Thin
from tests import factories
from workers.jobs.looks import record_looks


@pytest.fixture
def version(database, who) -> int:
    with database.write() as session:
        return factories.dataset_with_version(session, who).id


def rows(session: Session, version: DatasetVersion) -> list[Image]:
    return list(session.scalars(select(Image).where(Image.version_id == version.id).order_by(Image.id)))


def change(session, who, version_id: int, asked) -> tuple[Dataset, DatasetVersion]:
    dataset = session.get_one(DatasetVersion, version_id).dataset
    return dataset, datasets.change(session, who, dataset, asked)


def give_groups(session: Session, version: DatasetVersion, groups: dict[int, str]) -> None:
    images = rows(session, version)
    for place, name in groups.items():
        images[place].group = name
    version.leaks = core.leaks(entries_of(session, version))
    session.flush()


def look_at(session: Session, version: DatasetVersion, pictures: dict[int, np.ndarray]) -> None:
    """Give images of a version these pictures, as an import would have found them."""
    images = rows(session, version)
    seen = {images[place].stored_sha256: fingerprint(picture) for place, picture in pictures.items()}
    figures = {images[place].stored_sha256: facts(picture) for place, picture in pictures.items()}
    pairs = core.look_alikes(seen)
    record_looks(session, version.dataset_id, seen, figures, pairs)
    entries = entries_of(session, version)
    clustered = core.with_clusters(entries, [(pair.first, pair.second) for pair in pairs])
    for image, entry in zip(images, clustered, strict=True):
        image.cluster = entry.cluster
    version.leaks = core.leaks(clustered)
    session.flush()


class TestChange:
    def test_exclude_makes_a_version_and_leaves_the_old_one_alone(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            before, manifest = rows(session, old), old.manifest_sha256
            dataset, new = change(session, who, version, Exclude(image_ids=[before[0].id], reason="blurred"))
            assert (new.number, new.parent_number, new.num_images, new.change) == (2, 1, 19, "1 image left out")
            assert dataset.current_number == 2
            assert datasets.current_version(session, dataset) == new
            assert [image.path for image in rows(session, new)] == sorted(image.path for image in before[1:])
            assert (len(rows(session, old)), old.manifest_sha256) == (20, manifest)
            left = session.scalars(select(RefusedFile).where(RefusedFile.version_id == new.id)).all()
            assert [(file.path, file.kind, file.reason) for file in left] == [(before[0].path, "excluded", "blurred")]

    def test_each_new_version_is_checked(self, database, who, version):
        with database.write() as session:
            _, new = change(session, who, version, Resplit(seed=3))
            job = session.scalars(select(Job).where(Job.kind == JobKind.CHECK_DATASET)).one()
            assert job.spec["version_id"] == new.id

    def test_relabel_and_move_change_only_the_chosen(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            first, second = rows(session, old)[:2]
            assert (first.label, first.split, second.label) == (0, Split.TRAIN, 1)
            dataset, new = change(session, who, version, Relabel(image_ids=[first.id], label="ring"))
            labels = {image.path: image.label for image in rows(session, new)}
            assert (labels.pop(first.path), labels) == (
                1,
                {i.path: i.label for i in rows(session, old) if i.path != first.path},
            )
            moved = next(image for image in rows(session, new) if image.path == second.path)
            newest = datasets.change(session, who, dataset, Move(image_ids=[moved.id], split=Split.TEST))
            splits = {image.path: image.split for image in rows(session, newest)}
            assert (splits.pop(second.path), splits) == (
                Split.TEST, {i.path: i.split for i in rows(session, new) if i.path != second.path},
            )  # fmt: skip
            assert newest.counts["ring"]["test"] == new.counts["ring"]["test"] + 1

    def test_restore_goes_back_and_forward_and_makes_nothing(self, database, who, version):
        with database.write() as session:
            dataset, _ = change(session, who, version, Resplit(seed=9))
            datasets.change(session, who, dataset, Restore(number=1))
            assert (dataset.current_number, len(datasets.versions(session, dataset))) == (1, 2)
            third = datasets.change(session, who, dataset, Resplit(seed=11))
            assert (third.number, third.parent_number) == (3, 1)
            with pytest.raises(NotFoundError, match="no version 7"):
                datasets.change(session, who, dataset, Restore(number=7))
            with pytest.raises(ConflictError, match="current one already"):
                datasets.change(session, who, dataset, Restore(number=3))

    def test_what_cannot_be_done_is_refused_in_words(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            images = rows(session, old)
            discs = [image.id for image in images if image.label == 0]
            with pytest.raises(ConflictError, match="No image of the class disc would be left"):
                change(session, who, version, Exclude(image_ids=discs))
        with database.write() as session:
            with pytest.raises(BadInputError, match="There is no class 'square'; dataset 'shapes' has disc, ring"):
                change(session, who, version, Relabel(image_ids=discs[:1], label="square"))
            with pytest.raises(NotFoundError, match="has no image 999999"):
                change(session, who, version, Exclude(image_ids=[999_999]))
            with pytest.raises(ConflictError, match="Nothing would change"):
                change(session, who, version, Move(image_ids=discs[:1], split=Split.TRAIN))

    def test_resplit_keeps_patients_on_one_side(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            give_groups(session, old, {place: f"patient {place % 5}" for place in range(20)})
            assert old.leaks["patients"] > 0
            _, new = change(session, who, version, Resplit(seed=1))
            assert new.leaks == {"patients": 0, "identical": 0, "near": 0}
            assert {split for splits in new.counts.values() for split, number in splits.items() if number} == set(Split)

    def test_difference_names_what_happened_to_each_image(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            first, second, third = rows(session, old)[:3]
            dataset, _ = change(session, who, version, Exclude(image_ids=[first.id]))
            two = datasets.current_version(session, dataset)
            moved = next(image for image in rows(session, two) if image.path == second.path)
            three = datasets.change(session, who, dataset, Move(image_ids=[moved.id], split=Split.VAL))
            found = datasets.difference(session, old, three)
            assert found.counts == {"removed": 1, "moved": 1}
            assert {(each.path, each.what, each.before, each.after) for each in found.items} == {
                (first.path, "removed", "disc, train", ""), (second.path, "moved", "train", "val"),
            }  # fmt: skip
            assert third.path not in {each.path for each in found.items}


class TestLeaks:
    def test_of_a_patient_are_found_refused_and_mended_by_exclusion(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            images = rows(session, old)
            train, test = (
                next(i for i, image in enumerate(images) if image.split == split) for split in (Split.TRAIN, Split.TEST)
            )
            give_groups(session, old, {train: "patient-1", test: "patient-1", train + 2: "patient-2"})
            assert old.leaks == {"patients": 1, "identical": 0, "near": 0}
            (leak,) = leaks.found(session, old)
            assert (leak.kind, leak.key, len(leak.images)) == ("patients", "patient-1", 2)
            with pytest.raises(ConflictError, match="leaks: in several splits stand 1 patient") as refused:
                jobs.submit(session, who, TrainClassifierSpec(dataset_id=old.dataset_id, architecture="resnet18"))
            assert "accept_leaks" in refused.value.hint
            assert images[test].path in refused.value.errors[0]["detail"]
            accepted = TrainClassifierSpec(dataset_id=old.dataset_id, architecture="resnet18", accept_leaks=True)
            assert jobs.submit(session, who, accepted).spec["accept_leaks"] is True
            dataset, new = change(session, who, version, MendLeaks(how="exclude"))
            assert new.leaks["patients"] == 0
            paths = [image.path for image in rows(session, new)]
            assert images[train].path not in paths
            assert images[test].path in paths
            assert jobs.submit(session, who, TrainClassifierSpec(dataset_id=dataset.id, architecture="resnet18"))

    def test_are_mended_by_moving_to_where_most_of_it_is(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            images = rows(session, old)
            places = [i for i, image in enumerate(images) if image.split == Split.TRAIN][:2]
            test = next(i for i, image in enumerate(images) if image.split == Split.TEST)
            give_groups(session, old, dict.fromkeys([*places, test], "patient-1"))
            _, new = change(session, who, version, MendLeaks(how="move"))
            assert next(image.split for image in rows(session, new) if image.path == images[test].path) == Split.TRAIN
            assert new.num_images == old.num_images


class TestCopies:
    HEAD = phantoms.draw(phantoms.CLASSES[1], 3, 64)[..., None]
    OTHER = phantoms.draw(phantoms.CLASSES[0], 5, 64)[..., None]

    def test_are_grouped_counted_and_thinned(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            look_at(session, old, {0: self.HEAD, 1: self.OTHER, 3: self.HEAD[:, ::-1], 4: self.HEAD // 2 + 9})
            assert copies.tally(session, old) == copies.Tally(
                exact=0, near=2, groups=1, across_splits=0, across_classes=1
            )
            (group,) = copies.groups(session, old)
            assert [image.id for image in group.images] == [rows(session, old)[place].id for place in (0, 3, 4)]
            assert sorted(pair.mirrored for pair in group.pairs) == [False, True, True]
            assert copies.groups(session, old, span="splits") == []
            assert len(copies.groups(session, old, span="classes")) == 1
            _, new = change(session, who, version, Thin(near=True))
            assert new.num_images == 18
            assert copies.tally(session, new).groups == 0

    def test_told_apart_stay_apart(self, database, who, version):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            look_at(session, old, {0: self.HEAD, 19: self.HEAD[:, ::-1]})
            assert old.leaks["near"] == 1
            assert copies.tell_apart(session, who, old, 1) == 1
            assert (copies.groups(session, old), old.leaks["near"]) == ([], 0)
            _, new = change(session, who, version, Resplit(seed=5))
            assert copies.groups(session, new) == []

    def test_overlap_finds_the_images_of_another_dataset(self, database, who, version):
        with database.write() as session:
            data = session.get_one(DatasetVersion, version)
            other = factories.dataset_with_version(session, who, name="other", num_images=10)
            look_at(session, data, {0: self.HEAD, 1: self.OTHER})
            look_at(session, other, {2: self.HEAD[:, ::-1], 3: self.OTHER // 2 + 20, 4: self.HEAD[::-1]})
            image = rows(session, other)[6]
            image.pixel_sha256 = rows(session, data)[7].pixel_sha256
            session.flush()
            found = copies.overlap(session, data, other)
            assert (found.identical, found.near, found.mirrored, found.num_other) == (1, 2, 1, 10)
            assert [(pair[1].id, pair[2]) for pair in found.pairs] == [
                (rows(session, other)[2].id, "mirrored"), (rows(session, other)[3].id, "near"), (image.id, "identical"),
            ]  # fmt: skip

    def test_what_pictures_look_like_goes_with_the_last_dataset_that_has_them(self, database, who, version, storage):
        with database.write() as session:
            old = session.get_one(DatasetVersion, version)
            other = factories.dataset_with_version(session, who, name="other", num_images=10)
            look_at(session, old, {0: self.HEAD, 1: self.OTHER})
            rows(session, other)[4].stored_sha256 = rows(session, old)[0].stored_sha256
            session.flush()
            datasets.delete(session, who, old.dataset, storage=storage)
            kept = session.scalars(select(Fingerprint.stored_sha256)).all()
            assert kept == [rows(session, other)[4].stored_sha256]

    def test_overlap_without_fingerprints_says_what_to_do(self, database, who, version):
        with database.write() as session:
            data = session.get_one(DatasetVersion, version)
            with pytest.raises(ConflictError, match="has not been looked through yet"):
                copies.overlap(session, data, data)


class TestLock:
    def test_is_open_until_a_network_has_learnt(self, database, who, version):
        with database.write() as session:
            row = session.get_one(DatasetVersion, version)
            assert openings.lock(session, row) == openings.Lock(is_locked=False, num_openings=0)
            assert len(datasets.images(session, row, split=Split.TEST).items) == 4
            factories.checkpoint(session, who, row)
            assert openings.lock(session, row).is_locked

    def test_hides_test_images_and_counts_each_look(self, database, who, version):
        with database.write() as session:
            row = session.get_one(DatasetVersion, version)
            factories.checkpoint(session, who, row)
            with pytest.raises(LockedError, match="The test images of dataset 'shapes' are locked"):
                datasets.images(session, row, split=Split.TEST)
            assert {image.split for image in datasets.images(session, row).items} == {Split.TRAIN, Split.VAL}
            look = openings.open_list(session, who, row, num_images=2)
            assert len(datasets.images(session, row, split=Split.TEST, opening_id=look.id).items) == 4
            with pytest.raises(LockedError):
                datasets.images(session, row, split=Split.TEST, opening_id=look.id + 1)
            assert openings.lock(session, row) == openings.Lock(is_locked=True, num_openings=1)

    def test_is_the_same_for_every_version(self, database, who, version):
        with database.write() as session:
            row = session.get_one(DatasetVersion, version)
            factories.checkpoint(session, who, row)
            openings.open_list(session, who, row, num_images=None)
            _, new = change(session, who, version, Exclude(image_ids=[rows(session, row)[0].id]))
            assert openings.lock(session, new) == openings.Lock(is_locked=True, num_openings=1)

    def test_unlocking_needs_a_reason_and_is_listed(self, database, who, version):
        with database.write() as session:
            row = session.get_one(DatasetVersion, version)
            factories.checkpoint(session, who, row)
            with pytest.raises(BadInputError, match="No reason is given"):
                openings.unlock(session, who, row, "  ")
            openings.unlock(session, who, row, "a figure for the paper")
            assert len(datasets.images(session, row, split=Split.TEST).items) == 4
            (look,) = openings.listing(session, row.dataset)
            assert (look.kind, look.num_images, look.reason) == (OpeningKind.UNLOCK, 4, "a figure for the paper")
            openings.lock_again(session, who, row)
            assert openings.lock(session, row) == openings.Lock(is_locked=True, num_openings=1)
