import gzip
import hashlib
import io
import json
import random
import signal
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pillow
from PIL import ImageOps
from sqlalchemy import select

from app.core import phantoms, versions
from app.core.config import Settings
from app.core.images import encode_png
from app.core.layouts import Layout, detect
from app.core.pseudonyms import Pseudonyms
from app.services import datasets, uploads
from models import (
    DatasetVersion,
    DuplicatePair,
    Fingerprint,
    Image,
    Job,
    JobState,
    Queue,
    RefusedFile,
    Split,
    Upload,
    UploadState,
)
from models.specs import ImportSpec
from tests.app.core.hostile import overlapping, tarred, zipped
from tests.app.core.layout_files import InMemory
from tests.imports import Importer, picture, pictures
from workers.jobs.import_assembling import Made, assemble, sort_out
from workers.jobs.import_dataset import forget_leftovers
from workers.jobs.import_decoding import JOURNAL, Kept

CLASSES = pictures("glioma", 12) | pictures("no tumor", 10)
ROOT = Path(__file__).parents[3]


@pytest.fixture
def importer(database, settings, storage, who) -> Importer:
    return Importer(database, settings, storage, who)


def version_of(importer: Importer, job: Job) -> tuple[DatasetVersion, list[Image], list[RefusedFile]]:
    assert job.state == JobState.SUCCEEDED, job.error
    with importer.database.read() as session:
        version = datasets.version(session, job.result["version_id"])
        images = datasets.images(session, version, limit=500).items
        return version, images, datasets.refused(session, version, limit=500).items


def mess() -> dict[str, bytes]:
    """What real folders look like, all at once."""
    noise = np.random.default_rng(9).integers(0, 65536, (10, 14), dtype=np.uint16)
    sixteen = io.BytesIO()
    Pillow.fromarray(noise).save(sixteen, "TIFF")
    images = {
        "a/01.png": picture(1), "a/02.JPG": picture(2, form="JPEG", mode="RGB"), "a/03.jpeg": picture(3, form="JPEG"),
        "a/04.WEBP": picture(4, form="WEBP", mode="RGB", lossless=True), "a/05.bmp": picture(5, form="BMP"),
        "a/06.TIF": sixteen.getvalue(), "a/07.png": picture(7, mode="RGBA"), "a/08.png": picture(8, mode="P"),
        "a/09.png": picture(9, mode="LA"), "a/10.png": picture(10, mode="1"), "a/11.png": picture(11, size=(300, 200)),
        "a/12.png": encode_png(noise[..., None]), "b/wrong ending.png": picture(13, form="JPEG"),
    }  # fmt: skip
    images |= pictures("b", 5)
    broken = {
        "b/cut.png": picture(20)[:60],
        "b/text.jpg": b"<html>no image</html>",
        "b/movie.png": b"GIF89a" + bytes(30),
    }
    junk = {"README.md": b"x", "labels.csv": b"x", "a/Thumbs.db": b"x", "__MACOSX/a/._01.png": b"x", "a/.DS_Store": b"x",
            "a/desktop.ini": b"x", "c/notes.txt": b"x", "b/zero.png": b""}  # fmt: skip
    return {f"brain MRI/{path}": data for path, data in (images | broken | junk).items()}


class TestAMess:
    def test_keeps_what_is_good_and_lists_the_rest_with_reasons(self, importer: Importer):
        version, images, refused = version_of(importer, importer.run(importer.send_folder(mess())))
        assert version.classes == ["a", "b"]
        assert {name: sum(splits.values()) for name, splits in version.counts.items()} == {"a": 12, "b": 6}
        assert version.num_images == len(images) == 18
        reasons = {file.path.removeprefix("brain MRI/"): (file.kind, file.reason) for file in refused}
        assert {path for path, (kind, _) in reasons.items() if kind == "broken"} == {
            "b/cut.png",
            "b/text.jpg",
            "b/movie.png",
        }
        assert {path for path, (kind, _) in reasons.items() if kind == "ignored"} == {
            "README.md", "labels.csv", "a/Thumbs.db", "__MACOSX/a/._01.png", "a/.DS_Store", "a/desktop.ini", "c/notes.txt", "b/zero.png",
        }  # fmt: skip
        assert "damaged" in reasons["b/cut.png"][1]
        assert "begins with the bytes 47 49 46" in reasons["b/movie.png"][1]
        assert "The folder c holds no image" in " ".join(version.layout["warnings"])

    def test_is_the_same_as_a_zip_and_a_tar_gz(self, importer: Importer):
        packed = [zipped(*mess().items()), gzip.compress(tarred(*mess().items()))]
        found = [version_of(importer, importer.run(importer.send_folder(mess()), "folder"))[0]]
        found += [version_of(importer, importer.run(importer.send_archive(data), f"{len(data)}"))[0] for data in packed]
        assert len({version.manifest_sha256 for version in found}) == 1
        assert not list(importer.settings.jobs_dir.rglob("scratch/*"))

    def test_what_is_stored_are_the_pixels_and_a_thumbnail(self, importer: Importer):
        _, images, _ = version_of(importer, importer.run(importer.send_folder(mess())))
        by_name = {image.path.removeprefix("brain MRI/"): image for image in images}
        stored = Pillow.open(importer.storage.path(by_name["a/11.png"].stored_sha256))
        assert np.array_equal(np.asarray(stored), np.asarray(Pillow.open(io.BytesIO(picture(11, size=(300, 200))))))
        assert Pillow.open(importer.storage.path(by_name["a/11.png"].thumbnail_sha256)).size == (160, 107)
        wide = by_name["a/06.TIF"]
        assert (wide.mode, wide.bit_depth, wide.width, wide.height) == ("I;16", 16, 14, 10)
        assert wide.pixel_sha256 == by_name["a/12.png"].pixel_sha256 != wide.file_sha256
        assert Pillow.open(importer.storage.path(wide.stored_sha256)).mode == "L"


class TestMetadata:
    def test_kinds_are_remembered_and_no_word_is_kept(self, importer: Importer):
        camera = Pillow.Exif()
        camera[271] = "Jane Doe's camera"
        files = CLASSES | {"glioma/photo.jpg": picture(99, form="JPEG", exif=camera)}
        _, images, _ = version_of(importer, importer.run(importer.send_folder(files)))
        assert {image.path: image.metadata_kinds for image in images if image.metadata_kinds} == {
            "glioma/photo.jpg": "EXIF"
        }
        stored = [importer.storage.read(image.stored_sha256) for image in images]
        assert not any(b"Jane" in content for content in stored)


class TestGrey:
    def test_grey_content_in_colour_files_is_grey(self, importer: Importer):
        files = pictures("a", 4, mode="RGB") | {"b/1.jpg": picture(1, form="JPEG", mode="RGB"), "b/2.png": picture(2)}
        version, images, _ = version_of(importer, importer.run(importer.send_folder(files)))
        assert version.channels == 1
        assert {Pillow.open(importer.storage.path(image.stored_sha256)).mode for image in images} == {"L"}

    def test_one_image_with_colour_makes_the_version_colour(self, importer: Importer):
        red = encode_png(np.tile(np.array([[[200, 0, 0]]], np.uint8), (5, 5, 1)))
        version, _, _ = version_of(importer, importer.run(importer.send_folder(pictures("a", 4) | {"a/red.png": red})))
        assert version.channels == 3


class TestSplits:
    def test_are_dealt_by_the_seed_and_recorded(self, importer: Importer):
        version, images, _ = version_of(importer, importer.run(importer.send_folder(CLASSES), seed=5))
        assert version.counts == {
            "glioma": {"train": 9, "val": 1, "test": 2},
            "no tumor": {"train": 7, "val": 1, "test": 2},
        }
        assert version.layout["seed"] == 5
        assert version.layout["split_by"] == "units"
        assert version.layout["percent"] == {"train": 70, "val": 10, "test": 20}
        assert {image.split for image in images} == set(Split)

    def test_the_same_files_and_seed_give_the_same_manifest_in_whatever_order_they_arrive(self, importer: Importer):
        shuffled = list(CLASSES.items())
        random.Random(1).shuffle(shuffled)
        manifests = [
            version_of(importer, importer.run(importer.send_folder(files), name, seed=seed))[0].manifest_sha256
            for name, files, seed in (("x", CLASSES, 0), ("y", dict(shuffled), 0), ("z", CLASSES, 1))
        ]
        assert manifests[0] == manifests[1] != manifests[2]

    def test_copies_stand_on_one_side_whatever_their_format(self, importer: Importer):
        files = {}
        for seed in range(8):
            noise = picture(seed)
            rgb, bmp = io.BytesIO(), io.BytesIO()
            Pillow.open(io.BytesIO(noise)).convert("RGB").save(rgb, "PNG")
            Pillow.open(io.BytesIO(noise)).save(bmp, "BMP")
            files |= {f"a/{seed}.png": noise, f"a/{seed} rgb.png": rgb.getvalue(), f"a/{seed}.bmp": bmp.getvalue()}
        version, images, _ = version_of(importer, importer.run(importer.send_folder(files)))
        sides = defaultdict(set)
        for image in images:
            sides[image.pixel_sha256].add(image.split)
        assert len(sides) == 8
        assert all(len(splits) == 1 for splits in sides.values())
        assert version.counts["a"] == {"train": 15, "val": 3, "test": 6}  # 5, 1 and 2 of the 8, three times each

    def test_those_of_the_layout_are_kept_and_training_copies_of_test_images_left_out(self, importer: Importer):
        files = pictures("train/a", 8) | pictures("test/a", 4) | pictures("train/b", 5) | pictures("test/b", 3)
        files |= {"train/a/leak.png": files["test/a/000.png"]}
        version, images, refused = version_of(importer, importer.run(importer.send_folder(files)))
        assert version.counts == {"a": {"train": 7, "val": 1, "test": 4}, "b": {"train": 4, "val": 1, "test": 3}}
        assert [(file.path, file.kind) for file in refused] == [("train/a/leak.png", "duplicate")]
        assert version.layout["split_by"] == "folders"
        assert all(image.split == Split.TEST for image in images if image.path.startswith("test/"))

    def test_keep_pictures_that_look_the_same_on_one_side(self, importer: Importer):
        files = {}
        for seed in range(10):
            image = Pillow.fromarray(phantoms.draw(phantoms.CLASSES[seed % 4], seed, 64).squeeze())
            for name, altered in {
                "whole": image, "small": image.resize((48, 48)), "mirrored": ImageOps.mirror(image),
                "bright": image.point(lambda value: min(255, round(value * 1.1 + 4))),
            }.items():  # fmt: skip
                files[f"a/{seed} {name}.png"] = encode_png(np.asarray(altered)[..., None])
        version, images, _ = version_of(importer, importer.run(importer.send_folder(files)))
        clusters = defaultdict(set)
        for image in images:
            clusters[image.cluster].add((image.path.split()[0], image.split))
        assert len(clusters) == 10
        assert None not in clusters
        assert all(len(found) == 1 for found in clusters.values())
        assert version.leaks == {"patients": 0, "identical": 0, "near": 0}
        assert version.counts["a"] == {"train": 28, "val": 4, "test": 8}
        with importer.database.read() as session:
            assert len(session.scalars(select(Fingerprint)).all()) == 40
            pairs = session.scalars(select(DuplicatePair)).all()
        assert len(pairs) == 10 * 6
        assert sum(pair.mirrored for pair in pairs) == 10 * 3

    def test_in_blocks_are_runs_of_the_file_names(self, importer: Importer):
        version, images, _ = version_of(
            importer, importer.run(importer.send_folder(pictures("a", 20)), split_by="blocks")
        )
        order = [image.split for image in sorted(images, key=lambda image: image.path)]
        assert sum(one != other for one, other in zip(order, order[1:] + order[:1], strict=True)) == 3
        assert version.layout["split_by"] == "blocks"

    def test_those_of_the_layout_can_be_left_unused(self, importer: Importer):
        files = pictures("train/a", 8) | pictures("test/a", 12)
        version, _, _ = version_of(importer, importer.run(importer.send_folder(files), keep_layout_splits=False))
        assert version.counts == {"a": {"train": 14, "val": 2, "test": 4}}
        assert version.layout["split_by"] == "units"


class TestAssemble:
    SPEC = ImportSpec(upload_id=1, name="x")

    def made(self, layout: Layout, kept: list[Kept], settings: Settings) -> Made:
        return assemble(sort_out(layout, kept, self.SPEC, Pseudonyms(settings)), self.SPEC)

    def kept(self, path: str, pixels: str | None) -> Kept:
        problem = "broken" if pixels is None else None
        return Kept(
            path, problem, 4, 4, 1, "L", 8, "f" + str(pixels), str(pixels), "s" + str(pixels), "t" + str(pixels), path
        )

    def test_a_class_of_broken_files_only_is_no_class(self, settings: Settings):
        layout = detect_paths("a/1.png", "b/1.png", "c/1.png")
        kept = [self.kept("a/1.png", "1"), self.kept("b/1.png", None), self.kept("c/1.png", "3")]
        made = self.made(layout, kept, settings)
        assert made.classes == ["a", "c"]
        assert [(entry.path, entry.label) for entry in made.entries] == [("a/1.png", 0), ("c/1.png", 1)]
        assert "No image of the class b is left; it is not in the dataset." in made.layout["warnings"]

    def test_one_image_under_two_classes_is_warned_of(self, settings: Settings):
        layout = detect_paths("a/1.png", "b/1.png")
        made = self.made(layout, [self.kept("a/1.png", "same"), self.kept("b/1.png", "same")], settings)
        assert "1 images occur under several classes (a and b, for one)." in made.layout["warnings"]
        assert len({entry.split for entry in made.entries}) == 1

    def test_the_manifest_covers_path_class_split_and_pixels(self, settings: Settings):
        layout = detect_paths("a/1.png", "a/2.png")
        made = self.made(layout, [self.kept("a/1.png", "1"), self.kept("a/2.png", "2")], settings)

        lines = [
            ["a/1.png", "a", None, str(made.entries[0].split), "1"],
            ["a/2.png", "a", None, str(made.entries[1].split), "2"],
        ]
        expected = hashlib.sha256(b"".join(json.dumps(line).encode() + b"\n" for line in lines)).hexdigest()
        assert versions.manifest_sha256(made.entries, made.classes) == expected


def detect_paths(*paths: str):
    from app.core.archives import Member

    return detect((Member(path, 1) for path in paths), InMemory({}))


class TestFailure:
    def test_a_hostile_archive_fails_the_job_in_our_words(self, importer: Importer):
        upload = importer.send_archive(zipped(*CLASSES.items()))
        uploads.folder(importer.settings, upload).archive.write_bytes(overlapping(50))
        failed = importer.run(upload)
        assert failed.state == JobState.FAILED
        assert failed.error["code"] == "bad-input"
        assert not list(importer.settings.files_dir.rglob("*.*"))

    def test_files_that_are_gone_fail_the_job_in_our_words(self, importer: Importer):
        upload = importer.send_archive(zipped(*CLASSES.items()))
        job = importer.request(upload)
        uploads.folder(importer.settings, upload).delete()
        importer.work()
        assert importer.job(job).error["detail"] == "Nothing of the archive has arrived yet."


class TestInterruption:
    def test_a_cancel_ends_it_before_its_end_and_leaves_no_dataset(self, importer: Importer):
        ended = importer.work_until_cancelled(importer.request(importer.send_folder(pictures("a", 1000))))
        assert ended.state == JobState.CANCELLED
        assert ended.done < 1000
        with importer.database.read() as session:
            assert session.query(DatasetVersion).count() == session.query(Image).count() == 0

    def test_an_attempt_goes_on_where_the_last_one_was_stopped(self, importer: Importer):
        files = pictures("a", 60)
        job = importer.request(importer.send_folder(files))
        stop_after(importer, job, num_files=20)
        given_back = importer.job(job)
        assert (given_back.state, given_back.done >= 20) == (JobState.QUEUED, True)
        importer.work()
        ended = importer.job(job)
        version, _, _ = version_of(importer, ended)
        assert ended.resumed_from >= 20
        assert version.num_images == 60
        straight = version_of(importer, importer.run(importer.send_folder(files), "straight"))[0]
        assert version.manifest_sha256 == straight.manifest_sha256

    def test_a_worker_that_is_killed_leaves_nothing_wrong_behind(self, importer: Importer, tmp_path: Path):
        files = pictures("a", 150) | {"a/broken.png": b"no"}
        job = importer.request(importer.send_archive(zipped(*files.items())))
        killed = subprocess.Popen(
            [sys.executable, "-c", WORKER, importer.settings.effective_database_url, str(tmp_path)], cwd=ROOT
        )
        wait_for_journal(importer.settings, job, lines=30)
        killed.send_signal(signal.SIGKILL)
        killed.wait()
        with importer.database.write() as session:
            row = session.get_one(Job, job.id)
            assert row.state == JobState.RUNNING
            row.state, row.owner, row.lease_until = (
                JobState.QUEUED,
                None,
                None,
            )  # as the sweep does when the lease runs out
        importer.work()
        ended = importer.job(job)
        version, images, refused = version_of(importer, ended)
        assert ended.resumed_from > 0
        assert (version.num_images, len({image.path for image in images}), len(refused)) == (150, 150, 1)
        straight = version_of(importer, importer.run(importer.send_folder(files), "straight"))[0]
        assert version.manifest_sha256 == straight.manifest_sha256

    def test_bytes_that_a_killed_process_left_are_deleted_by_the_next_import(self, importer: Importer):
        upload = importer.send_folder(CLASSES)
        place = uploads.folder(importer.settings, upload).folder
        other = uploads.folder(importer.settings, importer.send_folder(CLASSES)).folder
        with importer.database.write() as session:
            session.get_one(Upload, upload.id).state = UploadState.IMPORTED
        forget_leftovers(importer.settings, importer.database)
        assert not place.exists()
        assert other.exists()


def stop_after(importer: Importer, job: Job, *, num_files: int) -> None:
    """Run the job as a worker that is told to stop once so many files are decoded."""
    from app.core import leases
    from app.core.leases import Lease
    from workers.context import JobContext, JobReleased
    from workers.jobs import import_dataset

    class Stopping(JobContext):
        def report(self, done: int, *args: object, **kwargs: object) -> None:  # type: ignore[override]
            if done >= num_files:
                self.flags.release = True
            super().report(done, *args, **kwargs)  # type: ignore[arg-type]

    with importer.database.write() as session:
        claimed = leases.claim_next(session, queues=[Queue.IO], owner="first")
        assert claimed is not None
    lease = Lease(claimed.id, claimed.attempt, "first")
    spec = ImportSpec.model_validate(claimed.spec)
    context = Stopping(
        lease=lease, project_id=claimed.project_id, spec=spec, database=importer.database, storage=importer.storage,
        settings=importer.settings, device="cpu",
    )  # fmt: skip
    with pytest.raises(JobReleased):
        import_dataset.run(context, spec)
    context.flush()
    with importer.database.write() as session:
        leases.end(session, lease, JobState.QUEUED, message="Given back.")


def wait_for_journal(settings: Settings, job: Job, *, lines: int) -> None:
    journal = settings.jobs_dir / str(job.id) / "1" / "checkpoints" / JOURNAL
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if journal.exists() and journal.read_bytes().count(b"\n") >= lines:
            return
        time.sleep(0.02)
    raise AssertionError(f"The worker decoded fewer than {lines} files in 60 s.")


WORKER = """
import sys
from app.core import phantoms, versions
from app.core.config import Settings
from app.core.db import Database
from app.core.storage import make_storage
from models import Queue
from workers.runner import Runner

settings = Settings(_env_file=None, data_dir=sys.argv[2], database_url=sys.argv[1])
Runner(settings=settings, database=Database(sys.argv[1]), storage=make_storage(settings), queues=[Queue.IO], owner="killed",
       device=lambda: "cpu").run_waiting()
"""
