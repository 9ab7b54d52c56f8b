"""The check that follows every version: what is planted is found, in words, with the images; what is not there is not."""

import io
import json
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as Pillow
from PIL import ImageFilter
from sqlalchemy import select

from app.api.schemas.health import HealthOut
from app.core import versions
from app.core.fingerprints import fingerprint
from app.core.images import encode_png
from app.core.images.facts import facts
from app.services import datasets, files, jobs
from app.services.datasets import health
from models import (
    Artifact,
    Dataset,
    DatasetVersion,
    DuplicatePair,
    Fingerprint,
    Image,
    Job,
    JobKind,
    JobState,
    Split,
)
from models.specs import CheckDatasetSpec
from models.specs.changing import Exclude
from tests import health_data
from tests.imports import Importer
from tests.workers.jobs.conftest import Studio

Uint8 = NDArray[np.uint8]
SIDE = 48
NUM = 30  # images of each class, enough for baselines


def texture(seed: int, *, low: int = 30, high: int = 220, side: int = SIDE) -> Uint8:
    """(side, side) of blotches between two grey levels: every seed is another picture."""
    noise = np.random.default_rng(seed).integers(0, 256, (side // 4, side // 4), dtype=np.uint8)
    smooth = np.asarray(Pillow.fromarray(noise).resize((side, side), Pillow.Resampling.BICUBIC))
    return np.asarray(low + (high - low) * (smooth / 255.0), dtype=np.uint8)


def png(pixels: Uint8) -> bytes:
    return encode_png(pixels[..., None])


def two_classes(**changes: Any) -> dict[str, bytes]:
    """NUM textures of each of two classes, that nothing tells apart."""
    return {
        f"{name}/{k:03d}.png": png(texture(7000 * label + k, **changes))
        for label, name in enumerate("ab")
        for k in range(NUM)
    }


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


def checked(importer: Importer, given: dict[str, bytes], **options: Any) -> DatasetVersion:
    """The version of an import, with its health."""
    job = importer.run(importer.send_folder(given), **options)
    assert job.state == JobState.SUCCEEDED, job.error
    with importer.database.read() as session:
        check = session.get_one(Job, job.result["check_job_id"])
        assert check.state == JobState.SUCCEEDED, check.error
        return session.get_one(DatasetVersion, job.result["version_id"])


def finding(version: DatasetVersion, kind: str) -> dict[str, Any]:
    (found,) = [each for each in version.health["findings"] if each["kind"] == kind]
    return found


def kinds(version: DatasetVersion) -> list[str]:
    return [each["kind"] for each in version.health["findings"]]


def paths(importer: Importer, image_ids: list[int]) -> set[str]:
    with importer.database.read() as session:
        return {session.get_one(Image, image_id).path for image_id in image_ids}


def given_jpeg(seed: int) -> bytes:
    target = io.BytesIO()
    Pillow.fromarray(texture(400 + seed)).save(target, "JPEG")
    return target.getvalue()


def shape(health: dict[str, Any]) -> dict[str, Any]:
    """The names in every part that there always is."""
    parts = {name: set(health[name]) for name in ("copies", "leaks", "text", "groups", "baselines")}
    rows = {name: set(health[name][0]) for name in ("findings", "classes", "properties")}
    return {"health": set(health), "model": set(health["baselines"]["models"][0]), **parts, **rows}


class TestAfterAnImport:
    def test_a_dataset_with_nothing_wrong_has_few_findings(self, importer: Importer):
        version = checked(importer, two_classes())
        assert kinds(version) == ["few_train", "few_test", "no_groups"]
        health = version.health
        assert health["num_images"] == 2 * NUM
        assert health["leaks"] == version.leaks == {"patients": 0, "identical": 0, "near": 0}
        assert health["copies"] == {"exact": 0, "near": 0, "groups": 0, "across_splits": 0, "across_classes": 0}
        assert set(health["quality"].values()) == {0}
        assert len(json.dumps(health)) < 200_000

    def test_classes_are_described(self, importer: Importer):
        first, second = checked(importer, two_classes()).health["classes"]
        assert (first["name"], second["name"], first["num_images"]) == ("a", "b", NUM)
        assert first["width"] == {"min": SIDE, "median": SIDE, "max": SIDE}
        assert (first["modes"], first["bit_depths"], first["formats"]) == ({"L": NUM}, {"8": NUM}, {"png": NUM})
        assert sum(first["histogram"]) == pytest.approx(1, abs=0.001)

    def test_the_mean_image_of_each_class_can_be_read_by_its_project(self, importer: Importer):
        version = checked(importer, two_classes())
        keys = [each["mean_image"] for each in version.health["classes"]]
        with importer.database.read() as session:
            assert [files.readable(session, importer.who, key) for key in keys] == ["image/png"] * 2
            drawn = session.scalars(select(Artifact).where(Artifact.role == "mean_image")).all()
        assert [row.data["class"] for row in drawn] == ["a", "b"]
        picture = np.asarray(Pillow.open(importer.storage.path(keys[0])))
        assert picture.shape == (128, 128)
        assert 100 < picture.mean() < 150
        assert picture.std() < 25  # of one texture it would be 50

    def test_has_the_shape_that_the_api_and_the_pages_know(self, importer: Importer):
        given = two_classes() | {f"b/{k}.jpeg": given_jpeg(k) for k in range(9)}
        version = checked(importer, given)
        with importer.database.read() as session:
            told = HealthOut.of(health.of(session, session.merge(version)))
        assert told.measured is not None
        sample = health_data.health(version, [1], job_id=1)
        assert shape(version.health) == shape(sample)

    def test_is_asked_for_in_the_transaction_of_the_import(self, importer: Importer):
        upload = importer.send_folder(two_classes())
        job = importer.request(upload)
        assert importer.work() == 2
        with importer.database.read() as session:
            (check,) = session.scalars(select(Job).where(Job.kind == JobKind.CHECK_DATASET))
            assert session.get_one(Job, job.id).result["check_job_id"] == check.id
            assert check.created_by == job.created_by
            assert check.result["num_serious"] == 0

    def test_deleting_the_dataset_deletes_what_was_drawn_of_it(self, importer: Importer):
        version = checked(importer, two_classes())
        keys = [each["mean_image"] for each in version.health["classes"]]
        with importer.database.write() as session:
            dataset = session.get_one(Dataset, version.dataset_id)
            datasets.delete(session, importer.who, dataset, storage=importer.storage)
        assert not any(importer.storage.exists(key) for key in keys)
        with importer.database.read() as session:
            assert session.scalars(select(Artifact)).all() == []


class TestQuality:
    def test_planted_images_are_named(self, importer: Importer):
        blurred = np.asarray(Pillow.fromarray(texture(7, side=96)).filter(ImageFilter.GaussianBlur(9)))
        given = two_classes(side=96) | {
            "a/blank.png": png(np.full((96, 96), 128, np.uint8)),
            "a/dark.png": png(texture(8, low=0, high=30, side=96)),
            "b/bright.png": png(texture(9, low=225, high=255, side=96)),
            "b/blurred.png": png(blurred),
            "b/strip.png": png(texture(10, side=96)[:20]),
        }
        version = checked(importer, given)
        for kind in ("blank", "dark", "bright", "blurred"):
            found = finding(version, kind)
            assert found["count"] == 1
            assert {path.split("/")[1] for path in paths(importer, found["image_ids"])} == {f"{kind}.png"}
        assert paths(importer, finding(version, "odd_aspect")["image_ids"]) == {"b/strip.png"}
        assert finding(version, "blank")["severity"] == "warning"
        assert version.health["quality"]["blank"] == 1

    def test_excluding_them_makes_a_version_that_is_checked_and_clean(self, importer: Importer):
        version = checked(importer, two_classes() | {"a/blank.png": png(np.zeros((SIDE, SIDE), np.uint8))})
        ids = finding(version, "blank")["image_ids"]
        with importer.database.write() as session:
            dataset = session.get_one(Dataset, version.dataset_id)
            datasets.change(session, importer.who, dataset, Exclude(image_ids=ids, reason="blank"))
        importer.work()
        with importer.database.read() as session:
            newest = datasets.versions(session, session.get_one(Dataset, version.dataset_id))[0]
        assert (newest.number, "blank" in kinds(newest)) == (2, False)


class TestShortcuts:
    def test_a_brighter_class_is_given_away_by_a_few_numbers(self, importer: Importer):
        given = {path: data for path, data in two_classes().items() if path.startswith("a/")}
        given |= {f"b/{k}.png": png(texture(k + 500, low=60, high=255)) for k in range(NUM)}
        version = checked(importer, given)
        found = finding(version, "shortcut_numbers")
        assert found["severity"] == "serious"
        assert found["title"].startswith("4 numbers name the class in ")
        assert "chance 50 %" in found["meaning"]
        linear = version.health["baselines"]["models"][0]
        assert (linear["name"], linear["what"]) == ("numbers_linear", "4 numbers")
        assert linear["balanced_accuracy"]["low"] > 0.9

    def test_labels_that_mean_nothing_give_chance(self, importer: Importer):
        baselines = checked(importer, two_classes()).health["baselines"]
        assert (baselines["chance"], baselines["classes"], baselines["reason"]) == (0.5, ["a", "b"], None)
        assert baselines["num_images"] == baselines["num_units"] == 2 * NUM - 12  # the test images take no part
        for model in baselines["models"]:
            figure = model["balanced_accuracy"]
            assert figure["low"] <= 0.5 <= figure["high"]

    def test_a_mark_in_the_corner_of_one_class(self, importer: Importer):
        given = two_classes(low=10, high=90, side=96)
        for k in range(NUM):
            marked = texture(7000 + k, low=10, high=90, side=96)
            marked[86:92, 78:93] = 250
            given[f"b/{k:03d}.png"] = png(marked)
        found = finding(checked(importer, given), "mark_by_class")
        assert found["severity"] == "serious"
        assert found["title"] == "A bright mark at the bottom right is in 100 % of b and 0 % of a"

    def test_sizes_and_formats_that_go_with_the_class(self, importer: Importer):
        given = {path: data for path, data in two_classes().items() if path.startswith("a/")}
        for k in range(NUM):
            target = io.BytesIO()
            Pillow.fromarray(texture(500 + k, side=64)).save(target, "JPEG", quality=95)
            given[f"b/{k}.jpeg"] = target.getvalue()
        version = checked(importer, given)
        for kind in ("size_by_class", "format_by_class"):
            assert finding(version, kind)["severity"] == "serious"
        by_name = {each["name"]: each for each in version.health["properties"]}
        assert set(by_name) == {"size", "format"}
        shares = {each["value"]: each["shares"] for each in by_name["format"]["values"]}
        assert shares == {"png": {"a": 1.0, "b": 0.0}, "jpg": {"a": 0.0, "b": 1.0}}

    def test_classes_of_few_units_have_no_baseline(self, importer: Importer):
        few = {path: data for path, data in two_classes().items() if int(path[2:5]) < 10}
        baselines = checked(importer, few).health["baselines"]
        assert baselines["models"] == []
        assert "Fewer than two classes have 20" in baselines["reason"]


class TestCopies:
    def test_one_picture_under_two_classes(self, importer: Importer):
        given = two_classes()
        version = checked(importer, given | {"b/same.png": given["a/000.png"]})
        found = finding(version, "label_conflicts")
        assert (found["severity"], found["count"], found["link"]) == ("serious", 1, "duplicates?span=classes")
        assert paths(importer, found["image_ids"]) == {"a/000.png", "b/same.png"}
        assert paths(importer, finding(version, "exact_copies")["image_ids"]) == {"a/000.png", "b/same.png"}

    def test_a_mirrored_image_is_a_look_alike(self, importer: Importer):
        given = two_classes() | {"a/mirrored.png": png(texture(0)[:, ::-1])}
        version = checked(importer, given)
        found = finding(version, "near_copies")
        assert (found["count"], found["link"]) == (1, "duplicates")
        assert paths(importer, found["image_ids"]) == {"a/000.png", "a/mirrored.png"}

    def test_metadata_is_noted(self, importer: Importer):
        target = io.BytesIO()
        camera = Pillow.Exif()
        camera[271] = "a maker"
        Pillow.fromarray(texture(77)).save(target, "JPEG", exif=camera)
        found = finding(checked(importer, two_classes() | {"a/photo.jpg": target.getvalue()}), "metadata")
        assert (found["severity"], found["title"]) == ("note", "1 file carried metadata (EXIF)")


class TestAVersionThatNobodyLookedThrough:
    """Its pictures have no fingerprints, and its leaks are not known."""

    def stored(self, studio: Studio, version_id: int) -> DatasetVersion:
        with studio.database.read() as session:
            return session.get_one(DatasetVersion, version_id)

    def put(self, studio: Studio, version_id: int, pictures: dict[int, Uint8]) -> list[int]:
        """Give the images at these places these pictures; returns the ids of all images."""
        with studio.database.write() as session:
            rows = session.scalars(select(Image).where(Image.version_id == version_id).order_by(Image.id)).all()
            for place, pixels in pictures.items():
                key = studio.storage.put(png(pixels)).sha256
                rows[place].stored_sha256 = rows[place].thumbnail_sha256 = key
            return [row.id for row in rows]

    def test_gets_fingerprints_clusters_and_leaks(self, studio: Studio, version_id: int, dataset_id: int):
        ids = self.put(studio, version_id, {0: texture(1), 15: texture(1)[:, ::-1]})
        assert self.stored(studio, version_id).leaks is None
        with studio.database.read() as session:
            assert session.get_one(Image, ids[0]).split == Split.TRAIN
            assert session.get_one(Image, ids[15]).split == Split.VAL
        job = studio.run(CheckDatasetSpec(dataset_id=dataset_id))
        version = self.stored(studio, version_id)
        assert version.leaks["near"] >= 1
        assert finding(version, "leaks")["link"] == "leaks"
        assert finding(version, "leaks")["severity"] == "serious"
        with studio.database.read() as session:
            first, last = session.get_one(Image, ids[0]), session.get_one(Image, ids[15])
            assert first.cluster == last.cluster is not None
            known = session.get_one(Fingerprint, first.stored_sha256)
        picture = texture(1)[..., None]
        assert (known.perceptual_hash, known.tile, known.facts) == (*fingerprint(picture)[::2], facts(picture))
        assert job.result["num_serious"] >= 1
        assert version.health["job_id"] == job.id

    def test_what_a_person_told_apart_stays_apart(self, studio: Studio, version_id: int, dataset_id: int):
        ids = self.put(studio, version_id, {0: texture(1), 1: texture(1)[:, ::-1]})
        keys = sorted(studio.rows(select(Image.stored_sha256).where(Image.id.in_([ids[0], ids[1]]))))
        with studio.database.write() as session:
            session.add(
                DuplicatePair(
                    dataset_id=dataset_id, first_sha256=keys[0], second_sha256=keys[1], mirrored=True, distance=0,
                    agreement=1.0, is_distinct=True,
                )
            )  # fmt: skip
        studio.run(CheckDatasetSpec(dataset_id=dataset_id))
        found = {row.id: row.cluster for row in studio.rows(select(Image).where(Image.id.in_([ids[0], ids[1]])))}
        assert None in found.values() or len(set(found.values())) == 2
        version = self.stored(studio, version_id)
        assert version.health["copies"]["across_classes"] == sum(
            len({e.label for e in group}) > 1 for group in self.groups(studio, version_id)
        )

    def groups(self, studio: Studio, version_id: int) -> list[list[Image]]:
        rows = studio.rows(select(Image).where(Image.version_id == version_id, Image.cluster.is_not(None)))
        return [[row for row in rows if row.cluster == number] for number in {row.cluster for row in rows}]

    def test_looks_again_only_where_something_is_new(
        self, studio: Studio, version_id: int, dataset_id: int, monkeypatch
    ):
        studio.run(CheckDatasetSpec(dataset_id=dataset_id))
        called: list[int] = []
        monkeypatch.setattr(versions, "look_alikes", lambda looks: called.append(len(looks)) or [])
        studio.run(CheckDatasetSpec(dataset_id=dataset_id))
        assert called == []


class TestTheJob:
    def test_reports_its_steps(self, studio: Studio, version_id: int, dataset_id: int):
        said: list[tuple[int, str]] = []
        job_id = studio.submit(CheckDatasetSpec(dataset_id=dataset_id))
        job = studio.attempt(job_id, lambda context, done: said.append((done, context.news["message"])))
        assert [done for done, _ in said] == sorted(done for done, _ in said)
        assert said[0] == (0, "Reading what is known of the images.")
        assert said[-1] == (7, "Writing it down.")
        assert job.state == JobState.SUCCEEDED

    def test_a_cancel_is_heard_and_writes_nothing(self, studio: Studio, version_id: int, dataset_id: int):
        job_id = studio.submit(CheckDatasetSpec(dataset_id=dataset_id))

        def cancel(context: Any, done: int) -> None:
            context.flags.cancel = done >= 3

        studio.attempt_until(job_id, cancel)
        with studio.database.read() as session:
            version = session.get_one(DatasetVersion, version_id)
            assert (version.health, version.leaks) == (None, None)
            assert session.scalars(select(Fingerprint)).all() == []

    def test_the_same_seed_gives_the_same_health(self, studio: Studio, version_id: int, dataset_id: int):
        found = []
        for _ in range(2):
            studio.run(CheckDatasetSpec(dataset_id=dataset_id))
            with studio.database.read() as session:
                found.append(session.get_one(DatasetVersion, version_id).health | {"job_id": 0})
        assert found[0] == found[1]

    def test_names_the_dataset_in_its_title(self, studio: Studio, dataset_id: int):
        job_id = studio.submit(CheckDatasetSpec(dataset_id=dataset_id))
        with studio.database.read() as session:
            assert jobs.get(session, studio.who, job_id).title == "Check of shapes, version 1"
