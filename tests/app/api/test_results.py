"""Datasets and results through REST: figures, downloads, caching."""

import io
import zipfile
from typing import Any

import pytest
from sqlalchemy import update

from models import ExplanationItem, SyntheticSet
from tests.lab import FAITHFULNESS, PLACES, STABILITY, Lab


def test_a_dataset_says_what_is_in_it(web: Any, lab: Lab) -> None:
    dataset = web.get(f"/api/v1/datasets/{lab.dataset}").json()
    assert dataset["version"]["counts"]["disc"] == {"train": 7, "val": 1, "test": 2}
    health = web.get(f"/api/v1/datasets/{lab.dataset}/health").json()
    assert (health["num_images"], health["class_balance"], health["modes"]) == (
        20,
        {"disc": 0.5, "ring": 0.5},
        {"L": 20},
    )
    (refused,) = web.get(f"/api/v1/datasets/{lab.dataset}/refused").json()["items"]
    assert (refused["path"], refused["reason"]) == ("notes.txt", "It is no image.")


def test_images_are_found_by_split_and_class(web: Any, lab: Lab) -> None:
    locked = web.get(f"/api/v1/datasets/{lab.dataset}/images?split=test")
    assert (locked.status_code, locked.json()["title"]) == (423, "This is locked")
    look = web.post(f"/api/v1/datasets/{lab.dataset}/openings", json={"kind": "listing"}).json()["id"]
    found = web.get(f"/api/v1/datasets/{lab.dataset}/images?split=test&label=ring&opening={look}").json()["items"]
    assert [(image["split"], image["label"]) for image in found] == [("test", "ring")] * 2
    pixels = f"/api/v1/images/{found[0]['id']}/content"
    assert (web.get(pixels).status_code, web.get(f"{pixels}?opening={look}").status_code) == (423, 200)
    wrong = web.get(f"/api/v1/datasets/{lab.dataset}/images?label=cube")
    assert (wrong.status_code, wrong.json()["errors"][0]) == (
        422,
        {"pointer": "query/label", "detail": "Use one of disc, ring."},
    )
    assert web.get(f"/api/v1/datasets/{lab.dataset}/images?version=2").status_code == 404


def test_a_dataset_can_be_renamed_and_described(web: Any, lab: Lab) -> None:
    changed = web.patch(f"/api/v1/datasets/{lab.dataset}", json={"name": "forms", "description": "drawn"}).json()
    assert (changed["name"], changed["description"]) == ("forms", "drawn")
    assert web.patch(f"/api/v1/datasets/{lab.dataset}", json={"nme": "x"}).status_code == 422


def test_a_dataset_that_something_was_made_from_stays(web: Any, lab: Lab) -> None:
    assert web.delete(f"/api/v1/datasets/{lab.dataset}").status_code == 409


@pytest.mark.parametrize("where", ["images", "uploaded-images"])
def test_pixels_are_kept_by_browsers_for_ever(web: Any, lab: Lab, where: str) -> None:
    path = f"/api/v1/{where}/{lab.image if where == 'images' else lab.uploaded_image}/content"
    answer = web.get(path)
    assert answer.content.startswith(b"\x89PNG")
    assert (answer.headers["content-type"], answer.headers["x-content-type-options"]) == ("image/png", "nosniff")
    assert "immutable" in answer.headers["cache-control"]
    assert answer.headers["content-security-policy"].startswith("sandbox")
    again = web.get(path, headers={"If-None-Match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


def test_a_network_downloads_in_parts(web: Any, lab: Lab) -> None:
    path = f"/api/v1/checkpoints/{lab.checkpoint}/network"
    assert web.get(path).content == b"weights"
    part = web.get(path, headers={"Range": "bytes=2-4"})
    assert (part.status_code, part.content, part.headers["content-range"]) == (206, b"igh", "bytes 2-4/7")


def test_a_synthetic_set_downloads_without_what_was_rejected(web: Any, lab: Lab) -> None:
    path = f"/api/v1/synthetic-sets/{lab.synthetic_set}"
    marked = web.post(f"{path}/marks", json={"image_ids": lab.synthetic_images[:2], "mark": "rejected"}).json()
    assert marked == {"marked": 2, "before": {str(image): "none" for image in lab.synthetic_images[:2]}}
    assert len(web.get(f"{path}/images?mark=rejected").json()["items"]) == 2
    answer = web.get(f"{path}/download")
    assert int(answer.headers["content-length"]) == len(answer.content)
    for query, number in (("", 6), ("?include_rejected=true", 8)):
        names = zipfile.ZipFile(io.BytesIO(web.get(f"{path}/download{query}").content)).namelist()
        assert sum(name.endswith(".png") for name in names) == number


def test_marks_are_all_or_none(web: Any, lab: Lab) -> None:
    path = f"/api/v1/synthetic-sets/{lab.synthetic_set}"
    answer = web.post(f"{path}/marks", json={"image_ids": [lab.synthetic_images[0], 999], "mark": "starred"})
    assert answer.status_code == 404
    assert web.get(f"{path}/images?mark=starred").json()["items"] == []


def test_a_name_with_any_characters_downloads(web: Any, lab: Lab) -> None:
    with web.app.state.database.write() as session:
        session.get_one(SyntheticSet, lab.synthetic_set).name = 'Größe "3"\r\nX: y'
    answer = web.get(f"/api/v1/synthetic-sets/{lab.synthetic_set}/download")
    assert answer.status_code == 200
    assert "x" not in answer.headers


@pytest.mark.parametrize("kind", ["checkpoints", "synthetic-sets", "classifiers"])
def test_results_are_renamed(web: Any, lab: Lab, kind: str) -> None:
    row_id = {"checkpoints": lab.checkpoint, "synthetic-sets": lab.synthetic_set, "classifiers": lab.classifier}[kind]
    assert web.patch(f"/api/v1/{kind}/{row_id}", json={"name": "  better   name "}).json()["name"] == "better name"
    assert web.patch(f"/api/v1/{kind}/{row_id}", json={"name": " "}).status_code == 422


def test_things_that_others_rest_on_stay_and_the_rest_is_deleted(web: Any, lab: Lab) -> None:
    assert web.delete(f"/api/v1/checkpoints/{lab.checkpoint}").status_code == 409
    filtered = web.get(f"/api/v1/audits/{lab.audit}").json()["filtered_set_id"]
    order = [
        f"evaluations/{lab.evaluation}", f"explanations/{lab.explanation}", f"classifiers/{lab.classifier}",
        f"synthetic-sets/{filtered}", f"synthetic-sets/{lab.synthetic_set}", f"checkpoints/{lab.checkpoint}",
    ]  # fmt: skip
    for path in order:
        assert web.delete(f"/api/v1/{path}").status_code == 204, path
        assert web.get(f"/api/v1/{path}").status_code == 404


def test_predictions_are_those_of_a_cell(web: Any, lab: Lab) -> None:
    path = f"/api/v1/evaluations/{lab.evaluation}/predictions"
    everything = web.get(path).json()["items"]
    assert len(everything) == 4
    wrong = [each for each in everything if each["label"] != each["predicted"]]
    cell = web.get(f"{path}?label={wrong[0]['label']}&predicted={wrong[0]['predicted']}").json()["items"]
    assert wrong[0] in cell
    assert all((each["label"], each["predicted"]) == (wrong[0]["label"], wrong[0]["predicted"]) for each in cell)


def test_an_explanation_has_the_weights_of_every_region(web: Any, lab: Lab) -> None:
    (item,) = web.get(f"/api/v1/explanations/{lab.explanation}/items").json()["items"]
    assert (item["label"], item["predicted"], item["probabilities"]) == ("disc", "ring", {"disc": 0.25, "ring": 0.75})
    assert web.get(item["overlay_url"]).content.startswith(b"\x89PNG")


def test_an_explanation_says_whether_to_believe_it(web: Any, lab: Lab) -> None:
    (item,) = web.get(f"/api/v1/explanations/{lab.explanation}/items").json()["items"]
    assert item["faithfulness"] == {**FAITHFULNESS, "label": "ring"}
    assert item["stability"] == {**STABILITY, "label": "ring"}
    assert item["places"] == {**PLACES, "label": "ring"}
    once = {"num_images": 1, "mean": 0.375, "least": 0.375, "greatest": 0.375}
    for found in (
        web.get(f"/api/v1/explanations/{lab.explanation}").json(),
        web.get("/api/v1/explanations").json()["items"][0],
    ):
        assert found["summary"]["deletion_auc"] == once
        assert found["summary"]["overlap"]["mean"] == 0.5
        assert found["summary"]["correlation"] is None


def test_an_explanation_from_before_that_was_measured_says_so(web: Any, lab: Lab) -> None:
    with web.app.state.database.write() as session:
        session.execute(update(ExplanationItem).values(faithfulness=None, stability=None, places=None))
    (item,) = web.get(f"/api/v1/explanations/{lab.explanation}/items").json()["items"]
    assert (item["faithfulness"], item["stability"], item["places"]) == (None, None, None)
    summary = web.get(f"/api/v1/explanations/{lab.explanation}").json()["summary"]
    assert summary == dict.fromkeys(["deletion_auc", "insertion_auc", "overlap", "correlation"])


def test_an_image_that_cannot_be_read_is_refused_with_the_reason(web: Any) -> None:
    answer = web.post("/api/v1/uploaded-images", files={"file": ("x.png", b"no image")})
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "#/file")


def test_a_token_is_shown_once_and_can_be_revoked(web: Any) -> None:
    made = web.post("/api/v1/tokens", json={"name": "laptop", "scopes": ["read"], "expires_in_days": 30})
    assert (made.status_code, made.headers["cache-control"]) == (201, "no-store")
    secret, token = made.json()["secret"], made.json()["token"]
    assert secret not in web.get("/api/v1/tokens").text
    theirs = {"Authorization": f"Bearer {secret}"}
    assert web.get("/api/v1/system", headers=theirs).json()["scopes"] == ["read"]
    assert web.delete(f"/api/v1/tokens/{token['id']}").status_code == 204
    assert web.get("/api/v1/system", headers=theirs).status_code == 401


def test_workers_that_are_alive_are_listed(web: Any, lab: Lab) -> None:
    assert [(each["name"], each["device"]) for each in web.get("/api/v1/workers").json()["items"]] == [("w1", "cpu")]


def test_the_documentation_page_names_every_operation_and_loads_nothing_from_elsewhere(web: Any) -> None:
    page = web.get("/api/v1/docs")
    assert page.status_code == 200
    for path, operations in web.get("/api/v1/openapi.json").json()["paths"].items():
        for method in operations:
            assert f"<code>{method.upper()} {path}</code>" in page.text
    assert "http://" not in page.text.replace("http://www.w3.org", "")
    assert "https://" not in page.text
    assert 'id="problem-not-found"' in page.text
