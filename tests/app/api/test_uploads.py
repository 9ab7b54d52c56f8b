"""Uploads through REST: batches of a folder, pieces of an archive, plan, import."""

import io
import zipfile
from typing import Any

import pytest

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
