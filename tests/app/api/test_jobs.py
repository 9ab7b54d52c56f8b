"""Jobs through REST: submission, lists, events, curves."""

import json
import threading
from typing import Any

from app.core.db import Database
from app.services.identity import Identity
from models import Event, Job, JobState
from tests import factories
from tests.lab import Lab


def submitted(web: Any, lab: Lab, **headers: str) -> Any:
    body = {"kind": "sample", "checkpoint_id": lab.checkpoint, "per_class": 3}
    return web.post("/api/v1/jobs", json=body, headers=headers)


def test_a_job_is_taken_on_with_its_address_and_its_complete_spec(web: Any, lab: Lab) -> None:
    answer = submitted(web, lab)
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/api/v1/jobs/{job['id']}"
    assert (job["state"], job["queue"], job["queue_position"]) == ("queued", "gpu", 1)
    assert job["spec"]["num_steps"] > 0
    assert web.get(answer.headers["location"]).json() == job


def test_the_same_key_is_the_same_job(web: Any, lab: Lab) -> None:
    first, second = (submitted(web, lab, **{"Idempotency-Key": "once"}).json()["id"] for _ in range(2))
    assert first == second
    other = web.post(
        "/api/v1/jobs",
        json={"kind": "sample", "checkpoint_id": lab.checkpoint, "per_class": 4},
        headers={"Idempotency-Key": "once"},
    )
    assert other.status_code == 409


def test_rows_that_are_named_must_be_there(web: Any, lab: Lab) -> None:
    answer = web.post("/api/v1/jobs", json={"kind": "sample", "checkpoint_id": 999, "per_class": 3})
    assert (answer.status_code, answer.json()["detail"]) == (404, "There is no checkpoint 999.")


def test_another_projects_rows_are_not_there(web: Any, database: Database, lab: Lab) -> None:
    with database.write() as session:
        stranger = factories.identity(session, "elsewhere")
        theirs = factories.job(session, stranger).id
    assert web.get(f"/api/v1/jobs/{theirs}").status_code == 404
    assert web.post(f"/api/v1/jobs/{theirs}/cancel").status_code == 404
    assert theirs not in [job["id"] for job in web.get("/api/v1/jobs").json()["items"]]


def test_lists_go_on_where_a_page_ended(web: Any, database: Database, who: Identity) -> None:
    with database.write() as session:
        made = [factories.job(session, who).id for _ in range(5)]
    first = web.get("/api/v1/jobs?limit=2")
    assert [job["id"] for job in first.json()["items"]] == [made[4], made[3]]
    assert first.headers["link"] == f'</api/v1/jobs?limit=2&cursor={made[3]}>; rel="next"'
    second = web.get(first.headers["link"].split(">")[0].strip("<"))
    assert [job["id"] for job in second.json()["items"]] == [made[2], made[1]]
    last = web.get(f"/api/v1/jobs?limit=2&cursor={second.json()['next_cursor']}")
    assert ([job["id"] for job in last.json()["items"]], last.json()["next_cursor"]) == ([made[0]], None)
    assert "link" not in last.headers


def test_actions_change_the_state_or_say_why_not(web: Any, lab: Lab) -> None:
    path = submitted(web, lab).headers["location"]
    assert web.post(f"{path}/pause").json()["state"] == "paused"
    assert web.post(f"{path}/resume").json()["state"] == "queued"
    assert web.post(f"{path}/cancel").json()["state"] == "cancelled"
    refused = web.post(f"{path}/stop")
    assert (refused.status_code, "is cancelled" in refused.json()["detail"]) == (409, True)


def test_an_estimate_starts_nothing(web: Any, lab: Lab) -> None:
    before = len(web.get("/api/v1/jobs").json()["items"])
    found = web.post(
        "/api/v1/jobs/estimate", json={"kind": "train_diffusion", "dataset_id": lab.dataset, "preset": "tiny"}
    ).json()
    assert 0 < found["seconds_low"] <= found["seconds_high"]
    assert len(web.get("/api/v1/jobs").json()["items"]) == before


def test_curves_are_thinned_to_what_is_asked_for(web: Any, lab: Lab) -> None:
    points = web.get(f"/api/v1/jobs/{lab.job}/metrics?max_points=10").json()["curves"]["loss"]
    assert len(points) <= 10
    assert points[-1] == {"step": 99, "value": 0.01}
    assert web.get(f"/api/v1/jobs/{lab.job}/metrics?name=none").json() == {"curves": {}}


def test_artifacts_have_addresses_that_answer(web: Any, lab: Lab) -> None:
    (preview,) = web.get(f"/api/v1/jobs/{lab.job}/previews").json()["items"]
    assert (preview["role"], preview["index"]) == ("preview", 10)
    assert web.get(f"/api/v1/jobs/{lab.job}/artifacts?role=report").json()["items"] == []
    content = web.get(f"/api/v1/jobs/{lab.job}/artifacts/{lab.artifact}/content")
    assert content.headers["content-disposition"].startswith('attachment; filename="step-10.png"')
    assert len(content.content) == preview["size"]
    assert web.get(f"/api/v1/jobs/{lab.job}/artifacts/999/content").status_code == 404


class TestEvents:
    def test_json_gives_those_after_a_number(self, web: Any, lab: Lab) -> None:
        found = web.get(f"/api/v1/jobs/{lab.job}/events?after=1").json()
        assert ([event["number"] for event in found["items"]], found["last"], found["finished"]) == ([2, 3], 3, False)

    def test_a_stream_replays_after_the_last_one_seen_and_ends_with_the_job(
        self, web: Any, database: Database, lab: Lab
    ) -> None:
        def finish() -> None:
            with database.write() as session:
                session.add(Event(job_id=lab.job, number=4, kind="state", data={"state": "succeeded"}))
                session.get_one(Job, lab.job).state = JobState.SUCCEEDED

        timer = threading.Timer(1.0, finish)
        timer.start()
        headers = {"Accept": "text/event-stream", "Last-Event-ID": "2"}
        answer = web.get(f"/api/v1/jobs/{lab.job}/events", headers=headers)
        timer.join()
        assert answer.headers["content-type"].startswith("text/event-stream")
        blocks = [
            dict(line.split(": ", 1) for line in block.splitlines()) for block in answer.text.strip().split("\n\n")
        ]
        assert [(block["id"], block["event"]) for block in blocks] == [("3", "log"), ("4", "state")]
        assert json.loads(blocks[0]["data"])["data"] == {"text": "line 3"}

    def test_a_last_event_id_that_is_no_number_is_refused(self, web: Any, lab: Lab) -> None:
        answer = web.get(f"/api/v1/jobs/{lab.job}/events", headers={"Last-Event-ID": "x"})
        assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "header/last-event-id")
