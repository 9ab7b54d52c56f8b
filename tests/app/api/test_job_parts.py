"""Samplings in parts through REST."""

from typing import Any

from tests.lab import Lab


def body(lab: Lab, **options: Any) -> dict[str, Any]:
    return {"kind": "sample", "checkpoint_id": lab.checkpoint, "per_class": 16, "num_parts": 3, **options}


def test_a_sampling_in_parts_names_them_and_they_name_it(web: Any, lab: Lab) -> None:
    answer = web.post("/api/v1/jobs", json=body(lab))
    assert answer.status_code == 202
    whole = answer.json()
    assert (whole["state"], whole["queue"], whole["part_of"], whole["total"]) == ("waiting", "io", None, 32)
    assert whole["needs"] == whole["parts"]
    parts = [web.get(f"/api/v1/jobs/{part}").json() for part in whole["parts"]]
    assert [(part["kind"], part["spec"]["part"], part["part_of"]) for part in parts] == [
        ("sample_part", number, whole["id"]) for number in (1, 2, 3)
    ]
    listed = {job["id"]: job for job in web.get("/api/v1/jobs").json()["items"]}
    assert listed[whole["id"]]["parts"] == whole["parts"]
    assert [job["id"] for job in web.get("/api/v1/jobs?kind=sample_part").json()["items"]] == whole["parts"][::-1]


def test_a_part_is_made_by_the_studio_alone(web: Any, lab: Lab) -> None:
    answer = web.post("/api/v1/jobs", json=body(lab, kind="sample_part", part=1))
    assert answer.status_code == 422


def test_more_parts_than_there_is_to_draw_are_refused_at_the_field(web: Any, lab: Lab) -> None:
    for path in ("/api/v1/jobs", "/api/v1/jobs/estimate"):
        answer = web.post(path, json=body(lab, num_parts=5))
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["pointer"] == "#/num_parts"
