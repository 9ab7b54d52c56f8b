"""Uploads through REST: batches of a folder, pieces of an archive, plan, import."""

import io
import zipfile
from pathlib import Path
from typing import Any

import pytest

from app.core.config import Settings
from app.core.images import encode_png
from app.main import UPLOADS_A_MINUTE
from tests import factories

PIECE = {"Tus-Resumable": "1.0.0", "Content-Type": "application/offset+octet-stream"}


def started(web: Any, kind: str) -> str:
    answer = web.post("/api/v1/uploads", json={"kind": kind, "name": "shapes"})
    assert answer.status_code == 201
    return str(answer.headers["location"])


def drawn(label: int, seed: int) -> bytes:
    return encode_png(factories.drawing(label, seed))


def batch(*names: str) -> list[tuple[str, tuple[str, bytes]]]:
    return [("files", (name, drawn("ring" in name, index))) for index, name in enumerate(names)]


def archive(per_class: int = 3) -> bytes:
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w") as made:
        for label, name in enumerate(("disc", "ring")):
            for number in range(per_class):
                made.writestr(f"{name}/{number}.png", drawn(label, 10 * label + number))
    return held.getvalue()


class TestAFolder:
    def test_comes_in_batches_and_keeps_its_paths(self, web: Any) -> None:
        path = started(web, "folder")
        web.post(f"{path}/files", files=batch("top/disc/1.png", "top/disc/2.png"))
        upload = web.post(f"{path}/files", files=batch("top/ring/1.png", "top/notes.txt")).json()
        assert upload["num_files"] == 4
        plan = web.get(f"{path}/plan").json()
        assert (plan["classes"], plan["top"], plan["num_images"]) == (["disc", "ring"], "top", 3)
        assert [each["path"] for each in plan["ignored"]] == ["top/notes.txt"]

    def test_a_batch_that_is_sent_again_counts_once(self, web: Any) -> None:
        path = started(web, "folder")
        for _ in range(2):
            upload = web.post(f"{path}/files", files=batch("disc/1.png", "ring/1.png")).json()
        assert upload["num_files"] == 2

    def test_at_most_200_files_come_at_once(self, web: Any) -> None:
        files = [("files", (f"disc/{number}.png", b"x")) for number in range(201)]
        assert web.post(f"{started(web, 'folder')}/files", files=files).status_code == 422

    @pytest.mark.parametrize("name", ["../evil.png", "/etc/evil.png", "a/../../evil.png"])
    def test_a_path_that_leaves_the_folder_is_refused(self, web: Any, name: str, tmp_path: Any) -> None:
        answer = web.post(f"{started(web, 'folder')}/files", files=[("files", (name, b"evil"))])
        assert answer.status_code == 422
        assert not list(tmp_path.rglob("evil*"))


class TestAnArchive:
    def test_comes_in_pieces_and_says_how_much_has_arrived(self, web: Any) -> None:
        path, content = f"{started(web, 'archive')}/content", archive()
        assert web.head(path).headers["upload-offset"] == "0"
        first = web.patch(path, content=content[:100], headers={**PIECE, "Upload-Offset": "0"})
        assert (first.status_code, first.headers["upload-offset"]) == (204, "100")
        assert web.head(path).headers["upload-offset"] == "100"
        web.patch(path, content=content[100:], headers={**PIECE, "Upload-Offset": "100"})
        assert web.head(path).headers["upload-offset"] == str(len(content))
        assert web.get(f"{path.removesuffix('/content')}/plan").json()["counts"] == {
            "disc": {"all": 3},
            "ring": {"all": 3},
        }

    def test_a_piece_that_does_not_fit_on_is_refused(self, web: Any) -> None:
        path = f"{started(web, 'archive')}/content"
        answer = web.patch(path, content=b"later", headers={**PIECE, "Upload-Offset": "7"})
        assert (answer.status_code, answer.json()["hint"]) == (409, "Go on at byte 0.")

    def test_a_piece_of_another_content_type_is_refused(self, web: Any) -> None:
        path = f"{started(web, 'archive')}/content"
        answer = web.patch(path, content=b"x", headers={"Upload-Offset": "0", "Content-Type": "text/plain"})
        assert answer.status_code == 415

    def test_a_piece_larger_than_other_bodies_may_be_is_taken(self, web: Any) -> None:
        path = f"{started(web, 'archive')}/content"
        answer = web.patch(path, content=b"x" * 5_000_000, headers={**PIECE, "Upload-Offset": "0"})
        assert answer.headers["upload-offset"] == "5000000"


class TestAPlanByOtherOptions:
    TABLE = b"file,label,patient_id\n1.png,x,Erika 1\n2.png,x,Erika 1\n3.png,y,Erika 2\n"

    def planned(self, web: Any) -> str:
        path = started(web, "folder")
        files = [*batch("t/1.png", "t/2.png", "t/3.png"), ("files", ("t/labels.csv", self.TABLE))]
        web.post(f"{path}/files", files=files)
        web.get(f"{path}/plan")
        return path

    def test_says_which_column_could_name_patients(self, web: Any) -> None:
        plan = web.get(f"{self.planned(web)}/plan").json()
        assert (plan["kind"], plan["classes"], plan["groups"], plan["needs"]) == ("table", ["x", "y"], None, None)
        assert plan["columns"][2] == {
            "name": "patient_id", "num_values": 2, "examples": ["Erika 1", "Erika 2"], "may_be_groups": True, "role": "",
        }  # fmt: skip
        assert plan["table"]["file_column"] == "file"

    def test_groups_by_a_column_or_a_pattern_and_keeps_nothing(self, web: Any) -> None:
        path = self.planned(web)
        preview = web.post(f"{path}/plan", json={"group_by": "patient_id"}).json()
        assert preview["groups"] == {
            "by": "patient_id",
            "pattern": None,
            "num_groups": 2,
            "without_group": 0,
            "largest": 2,
        }
        assert preview["grouped"][0] == {"path": "t/1.png", "group": "Erika 1"}
        preview = web.post(f"{path}/plan", json={"group_pattern": "([12]).png"}).json()
        assert (preview["groups"]["num_groups"], preview["ungrouped"]) == (2, ["t/3.png"])
        assert web.get(f"{path}/plan").json()["groups"] is None

    @pytest.mark.parametrize(("body", "pointer", "says"), [
        ({"group_pattern": "(a"}, "/group_pattern", "is no regular expression"),
        ({"group_by": "age"}, "/group_by", "has no column 'age'"),
        ({"label_by": "age"}, "/label_by", "is not in t/labels.csv"),
        ({"group_by": "a", "group_pattern": "b"}, "", "not from both"),
        ({"group": "a"}, "/group", ""),
    ])  # fmt: skip
    def test_that_cannot_be_is_refused_with_a_pointer(
        self, web: Any, body: dict[str, str], pointer: str, says: str
    ) -> None:
        path = self.planned(web)
        for answer in (web.post(f"{path}/plan", json=body), web.post(f"{path}/import", json=body | {"name": "x"})):
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["pointer"] == f"#{pointer}"
        assert says in web.post(f"{path}/plan", json=body).text


class TestOnTheServer:
    @pytest.fixture
    def settings(self, tmp_path: Path, database_url: str) -> Settings:
        return Settings(
            _env_file=None, data_dir=tmp_path / "data", database_url=database_url, import_roots=str(tmp_path / "server")
        )

    def test_a_path_is_an_upload_that_needs_no_files(self, web: Any, tmp_path: Path) -> None:
        for name in ("disc", "ring"):
            (tmp_path / "server" / name).mkdir(parents=True)
            (tmp_path / "server" / name / "1.png").write_bytes(drawn(0, 1))
        answer = web.post("/api/v1/uploads", json={"kind": "server", "path": str(tmp_path / "server")})
        assert (answer.status_code, answer.json()["name"]) == (201, str(tmp_path / "server"))
        assert web.get(f"{answer.headers['location']}/plan").json()["num_images"] == 2
        assert web.get(answer.headers["location"]).json()["num_files"] == 2

    def test_a_path_elsewhere_is_refused_with_a_pointer(self, web: Any) -> None:
        answer = web.post("/api/v1/uploads", json={"kind": "server", "path": "/etc"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/path")
        assert "PHANTOM_IMPORT_ROOTS" in answer.json()["hint"]

    @pytest.mark.parametrize("body", [
        {"kind": "server"}, {"kind": "server", "name": "x"}, {"kind": "server", "name": "x", "path": "/etc"},
        {"kind": "folder"}, {"kind": "folder", "name": "x", "path": "/etc"},
    ])  # fmt: skip
    def test_a_path_goes_with_that_kind_only(self, web: Any, body: dict[str, str]) -> None:
        assert web.post("/api/v1/uploads", json=body).status_code == 422


def test_an_import_is_a_job(web: Any) -> None:
    path = started(web, "folder")
    web.post(f"{path}/files", files=batch("disc/1.png", "ring/1.png"))
    web.get(f"{path}/plan")
    answer = web.post(f"{path}/import", json={"name": "shapes"})
    assert answer.status_code == 202
    assert answer.headers["location"] == f"/api/v1/jobs/{answer.json()['id']}"
    (dataset,) = web.get("/api/v1/datasets?name=shapes").json()["items"]
    assert (dataset["state"], dataset["version"], dataset["job_id"]) == ("importing", None, answer.json()["id"])
    assert web.get(f"/api/v1/datasets/{dataset['id']}/images").status_code == 409


def test_an_import_whose_shares_leave_nothing_to_test_on_is_refused(web: Any) -> None:
    answer = web.post(f"{started(web, 'folder')}/import", json={"name": "x", "train_percent": 80, "val_percent": 20})
    assert (answer.status_code, "leave nothing to test on" in answer.json()["detail"]) == (422, True)


def test_how_images_are_converted_is_part_of_the_job(web: Any) -> None:
    path = started(web, "folder")
    web.post(f"{path}/files", files=batch("disc/1.png", "ring/1.png"))
    web.get(f"{path}/plan")
    window = {"scaling": "window", "window_low": -160, "window_high": 240}
    refused = web.post(f"{path}/import", json={"name": "shapes", **window, "window_high": -200})
    assert (refused.status_code, "the end must be larger" in refused.json()["detail"]) == (422, True)
    job = web.post(f"{path}/import", json={"name": "shapes", **window, "slice_axis": "x"}).json()
    assert {name: job["spec"][name] for name in window} == window
    assert (job["spec"]["slice_axis"], job["spec"]["percentile_high"]) == ("x", 99.5)


def test_an_upload_that_was_discarded_takes_nothing_more(web: Any) -> None:
    path = started(web, "folder")
    assert web.delete(path).status_code == 204
    assert web.post(f"{path}/files", files=batch("disc/1.png")).status_code == 409


def test_an_import_that_is_sent_again_with_its_key_is_one_job(web: Any) -> None:
    path = started(web, "folder")
    web.post(f"{path}/files", files=batch("disc/1.png", "ring/1.png"))
    web.get(f"{path}/plan")
    ids = {
        web.post(f"{path}/import", json={"name": "shapes"}, headers={"Idempotency-Key": "k"}).json()["id"]
        for _ in range(2)
    }
    assert len(ids) == 1


def test_too_many_uploads_are_slowed_down(web: Any) -> None:
    answers = [web.post("/api/v1/uploads", json={"kind": "folder", "name": "x"}) for _ in range(UPLOADS_A_MINUTE + 1)]
    assert [answer.status_code for answer in answers] == [201] * UPLOADS_A_MINUTE + [429]
    assert answers[-1].headers["retry-after"] == "60"


class TestAnAddition:
    @pytest.fixture
    def dataset_id(self, web: Any, who: Any) -> int:
        with web.app.state.database.write() as session:
            return factories.dataset_with_version(session, who, classes=["disc", "cross"]).dataset_id

    @pytest.fixture
    def path(self, web: Any) -> str:
        path = started(web, "folder")
        web.post(f"{path}/files", files=batch("test/disc/1.png", "test/ring/1.png"))
        web.get(f"{path}/plan")
        return path

    def test_is_planned_for_its_dataset(self, web: Any, path: str, dataset_id: int) -> None:
        plan = web.post(f"{path}/plan", json={"dataset_id": dataset_id}).json()
        assert (plan["new_classes"], plan["brings_splits"]) == (["ring"], True)
        plan = web.post(f"{path}/plan", json={}).json()
        assert (plan["new_classes"], plan["brings_splits"]) == (None, False)
        assert web.post(f"{path}/plan", json={"dataset_id": 999}).status_code == 404

    def test_names_the_dataset_in_place_of_a_name(self, web: Any, path: str, dataset_id: int) -> None:
        answer = web.post(f"{path}/import", json={"dataset_id": dataset_id})
        assert (answer.status_code, answer.json()["title"]) == (202, "Add images to shapes")
        assert answer.json()["spec"]["name"] is None
        assert web.get(f"/api/v1/datasets/{dataset_id}").json()["state"] == "ready"

    def test_is_accepted_as_a_job_as_well(self, web: Any, path: str, dataset_id: int) -> None:
        upload_id = int(path.rsplit("/", 1)[1])
        spec = {"kind": "import_dataset", "upload_id": upload_id, "dataset_id": dataset_id}
        assert web.post("/api/v1/jobs/estimate", json=spec).status_code == 200
        assert web.post("/api/v1/jobs", json=spec).status_code == 202

    @pytest.mark.parametrize("given", [{}, {"name": "x", "dataset_id": 1}])
    def test_goes_into_one_dataset_exactly(self, web: Any, path: str, given: dict[str, Any]) -> None:
        answer = web.post(f"{path}/import", json=given)
        assert answer.status_code == 422
        assert "give exactly one: name makes a new dataset" in answer.json()["detail"]

    def test_into_a_dataset_that_is_not_there_is_not_found(self, web: Any, path: str) -> None:
        for dataset_id in (999, 2**70, -1):
            assert web.post(f"{path}/import", json={"dataset_id": dataset_id}).status_code == 404
