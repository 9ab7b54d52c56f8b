"""Every error below /api is an RFC 9457 problem, whoever raised it."""

from typing import Any

import pytest

from app.services import tokens
from app.services.identity import Identity
from tests.lab import Lab

MEMBERS = {"type", "title", "status", "detail", "errors", "hint", "request_id"}


def problem(answer: Any, status: int) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    found: dict[str, Any] = answer.json()
    assert found.keys() == MEMBERS
    assert found["status"] == status
    assert found["type"].startswith("/api/v1/docs#problem-")
    assert found["request_id"] == answer.headers["x-request-id"]
    return found


def test_an_unknown_path(web: Any) -> None:
    assert problem(web.get("/api/v1/nothing"), 404)["detail"] == "GET /api/v1/nothing: not found."


def test_a_method_that_is_not_taken_names_all_that_are(web: Any) -> None:
    answer = web.put("/api/v1/jobs")
    problem(answer, 405)
    assert answer.headers["allow"] == "GET, POST"


def test_a_row_that_is_not_there(web: Any) -> None:
    assert problem(web.get("/api/v1/jobs/99"), 404)["detail"] == "There is no job 99."


def test_an_id_beyond_what_the_database_holds(web: Any) -> None:
    assert problem(web.get(f"/api/v1/jobs/{2**63}"), 422)["errors"][0]["pointer"] == "path/job_id"


def test_fields_are_named_by_json_pointers_without_the_tag_of_the_union(web: Any) -> None:
    found = problem(web.post("/api/v1/jobs", json={"kind": "sample", "per_clas": 3}), 422)
    assert {each["pointer"]: each["detail"] for each in found["errors"]} == {
        "#/checkpoint_id": "This field is required.",
        "#/per_clas": "This field is not known; check its spelling or leave it out.",
    }


def test_options_that_do_not_fit_together_say_how_they_would(web: Any, lab: Lab) -> None:
    body = {"kind": "train_diffusion", "dataset_id": lab.dataset, "image_size": 33}
    assert "image_size 33 does not fit this network" in problem(web.post("/api/v1/jobs", json=body), 422)["detail"]


def test_an_unknown_kind_names_those_there_are(web: Any) -> None:
    found = problem(web.post("/api/v1/jobs", json={"kind": "bake"}), 422)
    assert "train_diffusion" in found["detail"]


def test_a_body_that_is_no_json(web: Any) -> None:
    answer = web.post("/api/v1/jobs", content=b"{x", headers={"Content-Type": "application/json"})
    assert "The body is not JSON" in problem(answer, 422)["detail"]


def test_a_query_that_is_out_of_range(web: Any) -> None:
    assert problem(web.get("/api/v1/jobs?limit=501"), 422)["errors"][0]["pointer"] == "query/limit"
    assert "cursor" in problem(web.get("/api/v1/jobs?cursor=x"), 422)["detail"]


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("PATCH", "datasets/{dataset}", {"name": "a\0b"}),
        ("PATCH", "checkpoints/{checkpoint}", {"name": "a\0b"}),
        ("POST", "uploads", {"kind": "folder", "name": "a\0b"}),
        ("POST", "tokens", {"name": "a\0b"}),
        ("POST", "jobs", {"kind": "train_classifier", "dataset_id": 1, "architecture": "a\0b"}),
        ("GET", "datasets?name=a%00b", None),
        ("GET", "jobs/{job}/metrics?name=a%00b", None),
        ("GET", "checkpoints?dataset_id=99999999999999999999", None),
        ("POST", "jobs", {"kind": "explain", "classifier_id": 1, "image_ids": [2**70], "num_samples": 200}),
    ],
)
def test_what_a_database_cannot_hold_is_bad_input_on_both(
    web: Any, lab: Lab, method: str, path: str, body: Any
) -> None:
    answer = web.request(method, f"/api/v1/{path.format(**vars(lab))}", json=body)
    assert answer.status_code in (404, 422), answer.text
    problem(answer, answer.status_code)


def test_a_body_that_is_too_large(web: Any) -> None:
    answer = web.post("/api/v1/jobs", content=b" " * 4_000_001, headers={"Content-Type": "application/json"})
    assert problem(answer, 413)["type"].endswith("too-large")
    assert answer.headers["x-content-type-options"] == "nosniff"


def test_nobody_and_a_wrong_token(web: Any) -> None:
    answer = web.get("/api/v1/jobs", headers={"Authorization": "Bearer phs_wrong"})
    problem(answer, 401)
    assert answer.headers["www-authenticate"] == "Bearer"
    del web.headers["Authorization"]
    problem(web.get("/api/v1/jobs"), 401)


def test_a_request_that_another_site_sent(web: Any) -> None:
    found = problem(web.post("/api/v1/jobs", json={}, headers={"Sec-Fetch-Site": "cross-site"}), 403)
    assert found["detail"] == "This request was sent by another web site."


def test_a_mistake_of_ours_tells_only_its_request_id(web: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from starlette.testclient import TestClient

    from app.services import jobs

    def break_down(*_: Any, **__: Any) -> None:
        raise RuntimeError("secret detail")

    monkeypatch.setattr(jobs, "listing", break_down)
    client = TestClient(web.app, raise_server_exceptions=False, headers=web.headers)
    answer = client.get("/api/v1/jobs")
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert "secret" not in answer.text


def test_a_token_that_may_read_only_reads_and_changes_nothing(web: Any, who: Identity, lab: Lab) -> None:
    with web.app.state.database.write() as session:
        _, secret = tokens.create(session, who, name="reader", scopes=["read"], expires_in_days=None)
    web.headers["Authorization"] = f"Bearer {secret}"
    assert web.get(f"/api/v1/checkpoints/{lab.checkpoint}").status_code == 200
    unsafe = [
        (method, path)
        for path, operations in web.get("/api/v1/openapi.json").json()["paths"].items()
        for method in operations
        if method not in ("get", "head")
    ]
    assert len(unsafe) > 20
    for method, path in unsafe:
        filled = path.replace("{", "").replace("}", "")
        for name in (
            "dataset_id",
            "job_id",
            "upload_id",
            "checkpoint_id",
            "synthetic_set_id",
            "classifier_id",
            "evaluation_id",
            "explanation_id",
            "token_id",
        ):
            filled = filled.replace(name, "1")
        problem(web.request(method.upper(), filled), 403)
