"""Downloads: whole archives of the announced length, with sums that hold and nothing that was rejected."""

import hashlib
import io
import json
import zipfile

import pytest

from app.core.db import Database
from app.core.storage import Storage
from app.services import downloads, gates, synthetic_sets
from app.services.downloads import Download
from app.services.identity import Identity
from models import Checkpoint, Mark, SyntheticImage, SyntheticSet
from tests import factories
from tests.audit_data import audited


@pytest.fixture
def made(database: Database, storage: Storage, who: Identity) -> SyntheticSet:
    with database.write() as session:
        stored = storage.put(b"weights")
        version = factories.dataset_with_version(session, who)
        checkpoint = factories.checkpoint(session, who, version, sha256=stored.sha256, size=stored.size)
        drawn = factories.synthetic_set(session, who, checkpoint, per_class=3, storage=storage)
        image = session.query(SyntheticImage).filter_by(set_id=drawn.id, index=0).one()
        synthetic_sets.mark(session, drawn, [image.id], Mark.REJECTED)
        return drawn


def unpack(download: Download) -> dict[str, bytes]:
    """{path below the archive's one folder: content}; checks the announced length."""
    content = b"".join(download.chunks)
    assert len(content) == download.size
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        assert archive.testzip() is None
        assert {name.split("/")[0] for name in archive.namelist()} == {download.name.removesuffix(".zip")}
        return {name.split("/", 1)[1]: archive.read(name) for name in archive.namelist()}


def download(database: Database, storage: Storage, made: SyntheticSet, **options: bool) -> dict[str, bytes]:
    with database.read() as session:
        stream = downloads.synthetic_set(session, storage, made, **options)
    return unpack(stream)  # the session is closed: the stream must not need it


class TestSyntheticSet:
    def test_holds_class_folders_metadata_card_and_manifest(
        self, database: Database, storage: Storage, made: SyntheticSet
    ) -> None:
        files = download(database, storage, made)
        images = {name for name in files if name.endswith(".png")}
        assert images == {"disc/000001.png", "disc/000002.png", "ring/000003.png", "ring/000004.png", "ring/000005.png"}
        assert set(files) - images == {"README.md", "metadata.jsonl", "gate.json", "manifest.json"}
        lines = [json.loads(line) for line in files["metadata.jsonl"].decode().splitlines()]
        assert {line["file_name"] for line in lines} == images
        assert lines[0] == {
            "file_name": "disc/000001.png", "label": "disc", "label_index": 0, "synthetic": True, "mark": "none",
            "sha256": hashlib.sha256(files["disc/000001.png"]).hexdigest(), "checkpoint_id": made.checkpoint_id, "seed": 1, "index": 1,
        }  # fmt: skip

    def test_every_sum_of_the_manifest_holds(self, database: Database, storage: Storage, made: SyntheticSet) -> None:
        files = download(database, storage, made)
        sums = json.loads(files.pop("manifest.json"))["files"]
        assert sums == {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}

    def test_rejected_images_come_along_when_asked_for(
        self, database: Database, storage: Storage, made: SyntheticSet
    ) -> None:
        files = download(database, storage, made, include_rejected=True)
        assert "disc/000000.png" in files
        assert json.loads(files["metadata.jsonl"].splitlines()[0])["mark"] == "rejected"

    @pytest.mark.parametrize(("scale", "says"), [
        (2.0, "guidance 2.0 from 0.2 to 0.8 of the way from noise to image"), (1.0, "9 steps, no guidance"),
    ])  # fmt: skip
    def test_its_card_says_how_it_was_drawn(
        self, database: Database, storage: Storage, made: SyntheticSet, scale: float, says: str
    ) -> None:
        drawn_with = {"guidance": scale, "guidance_start": 0.2, "guidance_stop": 0.8, "num_steps": 9}
        made.spec = {"sampler": "ddim", **drawn_with}
        assert says in download(database, storage, made)["README.md"].decode()

    def test_its_card_says_what_was_left_out(self, database: Database, storage: Storage, made: SyntheticSet) -> None:
        card = download(database, storage, made)["README.md"].decode()
        assert "| disc | 2 |" in card
        assert "1 images, left out" in card
        assert "shows no patient" in card


class TestTheVerdict:
    def test_of_a_set_that_nobody_audited_says_so(
        self, database: Database, storage: Storage, made: SyntheticSet
    ) -> None:
        files = download(database, storage, made)
        gate = json.loads(files["gate.json"])
        assert (gate["verdict"], gate["audit"], gate["study_id"], gate["override"]) == ("not audited", None, None, None)
        assert "This set is **not audited**, by no audit and no study" in files["README.md"].decode()
        with_rejected = download(database, storage, made, include_rejected=True)
        assert json.loads(with_rejected["gate.json"])["verdict"] == "not audited"

    def test_comes_with_the_lights_the_audit_and_what_it_is_of(
        self, database: Database, storage: Storage, who: Identity, made: SyntheticSet
    ) -> None:
        with database.write() as session:
            audit = audited(session, who, made)
        files = download(database, storage, made)
        gate, card = json.loads(files["gate.json"]), files["README.md"].decode()
        assert (gate["verdict"], gate["audit"]["id"]) == ("not releasable", audit.id)
        assert [light["name"] for light in gate["lights"]] == ["leakage", "copies", "membership", "utility"]
        assert set(gate["stopped_by"]) >= {"copies", "utility"}
        for light in gate["lights"]:
            assert f"{light['state']}. {light['sentence']}" in card
        lines = [json.loads(line) for line in files["metadata.jsonl"].splitlines()]
        sums = "".join(f"{line['sha256']}  {line['file_name']}\n" for line in lines)
        assert gate["synthetic_set"] == {
            "id": made.id, "name": made.name, "num_images": 5, "images_sha256": hashlib.sha256(sums.encode()).hexdigest(),
        }  # fmt: skip

    def test_of_an_override_says_who_and_why(
        self, database: Database, storage: Storage, who: Identity, made: SyntheticSet
    ) -> None:
        with database.write() as session:
            audited(session, who, made)
            gates.release(session, who, made, "Teaching material inside the hospital.")
        files = download(database, storage, made)
        gate, card = json.loads(files["gate.json"]), files["README.md"].decode()
        assert (gate["verdict"], gate["override"]["by"]) == ("released by override", who.name)
        assert f"Released by override: {who.name}, " in card
        assert "UTC: Teaching material inside the hospital." in card
        assert "copies: red" in card.lower()

    def test_is_not_releasable_with_rejected_images(
        self, database: Database, storage: Storage, who: Identity, made: SyntheticSet
    ) -> None:
        with database.write() as session:
            audited(session, who, made)
            gates.release(session, who, made, "Teaching material inside the hospital.")
        gate = json.loads(download(database, storage, made, include_rejected=True)["gate.json"])
        assert (gate["verdict"], gate["override"]) == ("not releasable", None)
        assert "1 of these images were rejected" in gate["lights"][1]["sentence"]


def test_class_names_become_folders_that_every_system_can_make(
    database: Database, storage: Storage, made: SyntheticSet
) -> None:
    made.classes = ["../up", "ring"]
    files = download(database, storage, made)
    assert {name.split("/")[0] for name in files if name.endswith(".png")} == {"0-_up", "ring"}
    assert not any(".." in name or name.startswith("/") for name in files)


def test_a_checkpoint_comes_with_its_config(database: Database, storage: Storage, made: SyntheticSet) -> None:
    with database.read() as session:
        checkpoint = session.get_one(Checkpoint, made.checkpoint_id)
        stream = downloads.checkpoint(session, storage, checkpoint)
    files = unpack(stream)
    assert files["network.safetensors"] == b"weights"
    assert json.loads(files["config.json"])["classes"] == ["disc", "ring"]


def test_a_classifier_comes_with_its_config(database: Database, storage: Storage, who: Identity) -> None:
    with database.write() as session:
        stored = storage.put(b"cnn")
        version = factories.dataset_with_version(session, who)
        classifier = factories.classifier(session, who, version, sha256=stored.sha256)
        stream = downloads.classifier(session, storage, classifier)
    files = unpack(stream)
    assert files["network.safetensors"] == b"cnn"
    assert json.loads(files["config.json"])["dataset"] == "shapes"
