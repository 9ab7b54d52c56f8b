"""Folders that are announced by paths, sizes and hashes before anything is sent."""

import hashlib
from typing import Any

import pytest

from app.core.config import Settings
from app.core.db import Database
from app.services import tokens
from app.services.identity import Identity
from models import Project, Upload, UploadState, User
from tests.imports import picture

Files = dict[str, bytes]


def some(number: int, *, start: int = 0) -> Files:
    return {f"top/{('disc', 'ring')[k % 2]}/{k}.png": picture(k) for k in range(start, start + number)}


def started(web: Any, name: str = "top") -> int:
    return int(web.post("/api/v1/uploads", json={"kind": "folder", "name": name}).json()["id"])


def told(files: Files) -> list[dict[str, Any]]:
    return [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()} for path, data in files.items()
    ]


def announce(web: Any, upload_id: int, files: Files, *, part: int = 0, total: int | None = None) -> Any:
    body = {"total": total or len(files), "files": told(files)}
    return web.put(f"/api/v1/uploads/{upload_id}/list/{part}", json=body)


def missing(web: Any, upload_id: int, files: Files, **options: int) -> list[str]:
    answer = announce(web, upload_id, files, **options)
    assert answer.status_code == 200, answer.text
    return [list(files)[place] for place in answer.json()["missing"]]


def send(web: Any, upload_id: int, files: Files, part: int | None = 0) -> Any:
    return web.post(
        f"/api/v1/uploads/{upload_id}/files",
        params={} if part is None else {"part": part},
        files=[("files", (path, data)) for path, data in files.items()],
    )


def paths(web: Any, upload_id: int) -> int:
    return int(web.get(f"/api/v1/uploads/{upload_id}/plan").json()["num_images"])


def picked(files: Files, *names: str) -> Files:
    return {path: data for path, data in files.items() if path in names}


def test_all_is_missing_at_first_and_what_was_sent_of_a_folder_of_the_same_name_is_not_missing_again(web: Any) -> None:
    files, first = some(6), started(web)
    assert missing(web, first, files) == list(files)
    assert send(web, first, dict(list(files.items())[:4])).json()["num_files"] == 4
    second = started(web)
    assert missing(web, second, files) == list(files)[4:]
    assert send(web, second, picked(files, *list(files)[4:])).json()["num_files"] == 6
    assert paths(web, second) == 6


def test_a_file_that_changed_is_missing_and_one_that_is_gone_is_not_imported(web: Any) -> None:
    files = some(6)
    first = started(web)
    missing(web, first, files)
    send(web, first, files)
    changed, gone = "top/disc/0.png", "top/ring/1.png"
    now = {path: data for path, data in files.items() if path != gone} | {changed: picture(99)}
    second = started(web)
    assert missing(web, second, now) == [changed]
    send(web, second, picked(now, changed))
    assert paths(web, second) == 5


def test_a_file_that_moved_need_not_be_sent(web: Any) -> None:
    files, first = some(4), started(web)
    missing(web, first, files)
    send(web, first, files)
    moved = {path.replace("disc", "plate"): data for path, data in files.items()}
    second = started(web)
    assert missing(web, second, moved) == []
    assert web.get(f"/api/v1/uploads/{second}/plan").json()["classes"] == ["plate", "ring"]


def test_the_list_given_last_is_the_truth_also_within_one_upload(web: Any) -> None:
    upload_id = started(web)
    missing(web, upload_id, some(6))
    send(web, upload_id, some(6))
    later = some(4, start=2)
    assert missing(web, upload_id, later) == []
    assert web.get(f"/api/v1/uploads/{upload_id}").json()["num_files"] == 4
    assert paths(web, upload_id) == 4


def test_a_list_comes_in_parts_and_each_may_come_twice(web: Any) -> None:
    upload_id, files = started(web), some(5)
    parts = [dict(list(files.items())[start : start + 2]) for start in (0, 2, 4)]
    for number, part in enumerate(parts):
        for _ in range(2):
            assert missing(web, upload_id, part, part=number, total=5) == list(part)
        assert send(web, upload_id, part, part=number).json()["num_files"] == min(2 * number + 2, 5)
    assert paths(web, upload_id) == 5
    assert missing(web, upload_id, parts[2], part=2, total=5) == []
    assert web.get(f"/api/v1/uploads/{upload_id}").json()["num_files"] == 5


def test_nothing_is_planned_while_files_or_parts_of_the_list_are_missing(web: Any) -> None:
    upload_id, files = started(web), some(4)
    missing(web, upload_id, files, total=6)
    send(web, upload_id, files)
    answer = web.get(f"/api/v1/uploads/{upload_id}/plan")
    assert (answer.status_code, answer.json()["detail"]) == (409, "The list of the folder ends after 4 of 6 files.")
    missing(web, upload_id, some(2, start=4), part=1, total=6)
    answer = web.get(f"/api/v1/uploads/{upload_id}/plan")
    assert answer.status_code == 409
    assert "2 of the folder's 6 files have not arrived; the first is top/disc/4.png." in answer.json()["detail"]
    send(web, upload_id, some(2, start=4), part=1)
    assert paths(web, upload_id) == 6


def test_a_file_that_differs_from_what_was_announced_is_refused(web: Any) -> None:
    upload_id, files = started(web), some(2)
    missing(web, upload_id, files)
    for bad in (picture(50), files["top/disc/0.png"] + b"x", b""):
        answer = send(web, upload_id, {"top/disc/0.png": bad})
        assert answer.status_code == 422
        assert "top/disc/0.png is not what was announced" in answer.json()["detail"]
    assert "changed while it was sent" in answer.json()["hint"]
    assert web.get(f"/api/v1/uploads/{upload_id}").json()["num_files"] == 0
    assert send(web, upload_id, some(4)).status_code == 422  # two of them are not in the list


def test_without_hashes_all_is_sent_again_and_sizes_are_checked(web: Any) -> None:
    files = some(2)
    body = {"total": 2, "files": [{"path": path, "size": len(data)} for path, data in files.items()]}
    for _ in range(2):
        upload_id = started(web)
        answer = web.put(f"/api/v1/uploads/{upload_id}/list/0", json=body)
        assert answer.json() == {"missing": [0, 1], "num_files": 0}
        assert send(web, upload_id, {"top/disc/0.png": b"short"}).status_code == 422
        assert send(web, upload_id, files).json()["num_files"] == 2
    assert missing(web, started(web), files) == []  # their hashes are known by now


def test_an_upload_is_discarded_once_a_later_one_has_all_of_its_files(web: Any, database: Database) -> None:
    files, first = some(4), started(web)
    missing(web, first, files)
    send(web, first, dict(list(files.items())[:2]))
    other, whole = started(web), started(web)
    missing(web, other, some(1, start=9))
    assert web.get(f"/api/v1/uploads/{first}").json()["state"] == "receiving"
    missing(web, whole, files)
    with database.read() as session:
        states = [session.get_one(Upload, upload_id).state for upload_id in (first, other, whole)]
    assert states == [UploadState.DISCARDED, UploadState.RECEIVING, UploadState.RECEIVING]
    assert send(web, whole, dict(list(files.items())[2:])).json()["num_files"] == 4


@pytest.mark.parametrize("is_planned", [True, False])
def test_an_upload_that_is_whole_is_left_alone(web: Any, is_planned: bool) -> None:
    files, first = some(4), started(web)
    missing(web, first, files)
    send(web, first, files)
    if is_planned:
        paths(web, first)
    assert missing(web, started(web), files) == []
    assert web.get(f"/api/v1/uploads/{first}").json()["state"] == ("planned" if is_planned else "receiving")
    assert paths(web, first) == 4


@pytest.mark.parametrize("is_same_project", [True, False])
def test_nobody_learns_by_hashes_what_others_have_sent(web: Any, database: Database, is_same_project: bool) -> None:
    files, first = some(2), started(web)
    missing(web, first, files)
    send(web, first, files)
    with database.write() as session:
        other = another_person(session, session.get_one(Upload, first).project_id if is_same_project else None)
        _, secret = tokens.create(session, other, name="other", scopes=["read", "write"], expires_in_days=None)
    web.headers["Authorization"] = f"Bearer {secret}"
    assert missing(web, started(web), files) == list(files)


def another_person(session: Any, project_id: int | None) -> Identity:
    if project_id is None:
        project = Project(name="other")
        session.add(project)
        session.flush()
        project_id = project.id
    user = User(project_id=project_id, name="other")
    session.add(user)
    session.flush()
    return Identity(project_id, user.id, user.name, frozenset({"read", "write"}), "session")


def test_another_name_is_another_folder(web: Any) -> None:
    files, first = some(2), started(web)
    missing(web, first, files)
    send(web, first, files)
    assert missing(web, started(web, "other"), files) == list(files)


def test_a_list_cannot_be_changed_while_it_is_imported(web: Any, database: Database, who: Identity) -> None:
    files, upload_id = some(4), started(web)
    missing(web, upload_id, files)
    send(web, upload_id, files)
    paths(web, upload_id)
    web.post(f"/api/v1/uploads/{upload_id}/import", json={"name": "x"}).raise_for_status()
    answer = announce(web, upload_id, some(2))
    assert (answer.status_code, "is importing upload" in answer.json()["detail"]) == (409, True)


@pytest.mark.parametrize(("files", "options", "status"), [
    ({"../evil.png": b"x"}, {}, 422),
    ({"top/": b"x"}, {}, 422),
    (some(1), {"part": 1}, 409),
    (some(3), {"total": 2}, 422),
    (some(1), {"total": 100_001}, 422),
    ({f"{k}.png": b"x" for k in range(1001)}, {}, 422),
    ({}, {"total": 1}, 422),
])  # fmt: skip
def test_a_list_that_cannot_be_is_refused(web: Any, files: Files, options: dict[str, int], status: int) -> None:
    assert announce(web, started(web), files, **options).status_code == status


def test_files_of_an_announced_upload_name_their_part(web: Any) -> None:
    files, upload_id = some(2), started(web)
    missing(web, upload_id, files)
    assert send(web, upload_id, files, part=None).status_code == 409
    assert send(web, upload_id, files, part=3).status_code == 409


def test_parts_that_disagree_about_the_number_of_files_are_refused(web: Any) -> None:
    upload_id = started(web)
    missing(web, upload_id, some(2), total=4)
    assert announce(web, upload_id, some(2, start=2), part=1, total=5).status_code == 422
    assert missing(web, upload_id, some(2, start=2), part=1, total=4) == list(some(2, start=2))


def test_an_archive_is_not_announced(web: Any) -> None:
    upload_id = int(web.post("/api/v1/uploads", json={"kind": "archive", "name": "x.zip"}).json()["id"])
    assert announce(web, upload_id, some(1)).status_code == 409


def test_a_file_that_a_lost_power_left_short_is_sent_again(web: Any, settings: Settings) -> None:
    files, first = some(2), started(web)
    missing(web, first, files)
    send(web, first, files)
    for held in (settings.uploads_dir / str(first) / "contents").glob("??/*"):
        held.write_bytes(b"")
    assert missing(web, started(web), files) == list(files)
