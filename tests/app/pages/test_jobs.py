"""The table of jobs, one job live, and asking for a job."""

import datetime as dt
import json
import re
from typing import Any

import pytest

from app.core import journal
from app.core.journal import Entry
from app.core.submission import add_waiting_job
from app.services import jobs
from app.services.identity import Identity
from models import FINISHED, Artifact, Job, JobKind, JobState, Metric, db_now
from models.specs import TrainDiffusionSpec
from tests import factories


@pytest.fixture
def running(web: Any, who: Identity) -> Job:
    """A training at step 43 of 100 with a curve, a log and a preview."""
    with web.app.state.database.write() as session:
        job = factories.job(session, who, state=JobState.RUNNING, title="</script><b>", done=43, total=100, rate=2.0)
        session.add_all(Metric(job_id=job.id, name="loss", step=step, value=1 / step) for step in range(1, 44))
        session.add(
            Artifact(
                job_id=job.id,
                role="preview",
                index=40,
                name="p.png",
                media_type="image/png",
                size=1,
                sha256="a" * 64,
                data={"classes": ["</script>"]},
            )
        )
        journal.write(
            session,
            job.id,
            [
                Entry("state", {"state": "running", "message": "Started."}),
                Entry("log", {"level": "info", "text": "<b>hello"}),
            ],
        )
        return job


def _events(text: str) -> list[dict[str, str]]:
    """The messages of an event stream, field by field."""
    blocks = [block.splitlines() for block in text.split("\n\n") if block and not block.startswith(":")]
    found = []
    for lines in blocks:
        fields: dict[str, str] = {}
        for line in lines:
            name, _, value = line.partition(": ")
            fields[name] = f"{fields[name]}\n{value}" if name in fields else value
        found.append(fields)
    return found


class TestTheTable:
    def test_filters_by_state_and_kind_in_the_address(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            factories.job(session, who, JobKind.SAMPLE, title="a sampling")
            factories.job(session, who, state=JobState.FAILED, title="a failure", error={"title": "Out of memory"})
        assert "a failure" not in web.get("/jobs?kind=sample&state=").text
        failed = web.get("/jobs?state=failed").text
        assert "Out of memory" in failed
        assert "a sampling" not in failed
        assert "No job is like that" in web.get("/jobs?kind=explain").text

    def test_says_where_in_the_queue_a_job_stands(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            factories.job(session, who, title="second")
            factories.job(session, who, title="first", priority=5)
            factories.job(session, who, JobKind.EXPLAIN, title="elsewhere")
        page = web.get("/jobs").text
        assert "number 2 in “gpu”" in page
        assert "number 1 in “interactive”" in page

    def test_helps_when_there_is_none(self, web: Any) -> None:
        assert "No jobs yet" in web.get("/jobs").text


class TestAJob:
    def test_shows_all_that_is_known_at_once(self, web: Any, running: Job) -> None:
        page = web.get(f"/jobs/{running.id}").text
        assert "<title>(43 %) " in page
        assert "24 to 38 s" in page  # 57 steps at 2 a second, 0.85 to 1.35 times
        assert "loss: 43 points up to 43; from 1 to 0.02326" in page
        assert "&lt;b&gt;hello" in page
        assert f"/jobs/{running.id}/live?after=2" in page

    def test_tells_the_browsers_clock_what_time_it_is_here_and_when_the_job_began(
        self, web: Any, who: Identity
    ) -> None:
        with web.app.state.database.write() as session:
            job = factories.job(
                session, who, state=JobState.RUNNING, started_at=db_now(-95), done=43, total=100, rate=2.0
            )
        page = web.get(f"/jobs/{job.id}").text
        told = dt.datetime.fromisoformat(page.split('data-now="')[1].split('"')[0])
        began = dt.datetime.fromisoformat(page.split('<time data-running datetime="')[1].split('"')[0])
        assert 95 <= (told - began).total_seconds() < 105
        assert re.search(r"<time data-running [^>]*>1 min (3[5-9]|4\d) s</time>", page)  # without a script as well
        assert '<dd data-low="24.2" data-high="38.5">24 to 38 s</dd>' in page

    @pytest.mark.parametrize(
        ("state", "says"),
        [
            (JobState.SUCCEEDED, "<dt>Took</dt><dd>1 min 35 s</dd>"),
            (JobState.CANCELLED, "<dt>Took</dt><dd>1 min 35 s</dd>"),
            (JobState.PAUSED, "<dt>Started</dt>"),
            (JobState.QUEUED, "<dt>Started</dt>"),
        ],
    )
    def test_gives_the_clock_nothing_while_it_does_not_run(
        self, web: Any, who: Identity, state: JobState, says: str
    ) -> None:
        began = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
        ended = began + dt.timedelta(seconds=95) if state in FINISHED else None
        with web.app.state.database.write() as session:
            job = factories.job(session, who, state=state, started_at=began, finished_at=ended)
        page = web.get(f"/jobs/{job.id}").text
        assert says in page
        assert "data-now" not in page
        assert "data-running" not in page

    def test_data_for_scripts_cannot_end_its_element(self, web: Any, running: Job) -> None:
        page = web.get(f"/jobs/{running.id}").text
        data = page.split('id="preview-data">')[1].split("</script>")[0]
        assert json.loads(data)[0]["data"]["classes"] == ["</script>"]

    def test_gives_its_curves_whole(self, web: Any, running: Job) -> None:
        curves = web.get(f"/jobs/{running.id}/curves").json()
        assert curves["loss"][:2] == [[1, 1.0], [2, 0.5]]
        assert len(curves["loss"]) == 43

    def test_is_stopped_kept_and_cancelled_by_buttons(self, web: Any, who: Identity, running: Job) -> None:
        for action in ("pause", "stop", "cancel"):
            assert web.post(f"/jobs/{running.id}/{action}", follow_redirects=False).status_code == 303
        with web.app.state.database.read() as session:
            job = jobs.get(session, who, running.id)
            assert all((job.pause_requested_at, job.stop_requested_at, job.cancel_requested_at))
        assert web.post(f"/jobs/{running.id}/retry").status_code == 409
        assert web.post(f"/jobs/{running.id}/explode").status_code == 404

    def test_leads_to_what_it_made(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            checkpoint = factories.checkpoint(session, who, factories.dataset_with_version(session, who))
        assert f'href="/checkpoints/{checkpoint.id}">Open the checkpoint' in web.get(f"/jobs/{checkpoint.job_id}").text

    def test_says_what_a_job_waits_for(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            training = factories.job(session, who)
            waiting = add_waiting_job(
                session, JobKind.SAMPLE, {"per_class": 2, "name": "set", "seed": 0}, {"checkpoint_id": training},
                project_id=who.project_id, created_by=who.name, title="sampling",
            )  # fmt: skip
        shown = web.get(f"/jobs/{waiting.id}").text
        assert f'It needs <a href="/jobs/{training.id}">job {training.id}</a> (queued).' in shown
        assert web.get(f"/api/v1/jobs/{waiting.id}").json()["needs"] == [training.id]
        assert "It needs" not in web.get(f"/jobs/{training.id}").text

    def test_of_another_project_does_not_exist(self, web: Any) -> None:
        with web.app.state.database.write() as session:
            job = factories.job(session, factories.identity(session, "other"), state=JobState.SUCCEEDED)
        for path in ("", "/curves", "/live"):
            assert web.get(f"/jobs/{job.id}{path}").status_code == 404


class TestTheStream:
    def _finish(self, web: Any, job: Job) -> None:
        with web.app.state.database.write() as session:
            session.get_one(Job, job.id).state = JobState.SUCCEEDED
            journal.write_state(session, job.id, JobState.SUCCEEDED, "Done.")

    def test_replays_from_the_number_asked_for_and_ends_with_the_job(self, web: Any, running: Job) -> None:
        self._finish(web, running)
        events = _events(web.get(f"/jobs/{running.id}/live?after=1").text)
        assert [event.get("event") for event in events] == ["job:log", "job:state", None, "job:finished"]
        assert json.loads(events[0]["data"])["text"] == "<b>hello"
        assert [event.get("id") for event in events[:3]] == ["2", "3", "3"]
        assert "succeeded" in events[2]["data"]

    def test_last_event_id_wins_over_the_address(self, web: Any, running: Job) -> None:
        self._finish(web, running)
        events = _events(web.get(f"/jobs/{running.id}/live?after=0", headers={"Last-Event-ID": "2"}).text)
        assert [event.get("event") for event in events] == ["job:state", None, "job:finished"]


class TestAskingForAJob:
    @pytest.fixture
    def dataset_id(self, web: Any, who: Identity) -> int:
        with web.app.state.database.write() as session:
            return factories.dataset_with_version(session, who).dataset_id

    def test_presets_first_with_time_and_memory(self, web: Any, dataset_id: int) -> None:
        page = web.get(f"/jobs/new/train_diffusion?dataset_id={dataset_id}").text
        for preset in ("tiny", "small", "base", "large"):
            assert f'name="preset" value="{preset}"' in page
        assert "choose a dataset" not in page
        assert "memory" in page

    def test_submits_what_was_filled_in(self, web: Any, who: Identity, dataset_id: int) -> None:
        form = {"dataset_id": str(dataset_id), "preset": "tiny", "num_steps": "5", "hflip": ["false", "true"]}
        asked = web.post("/jobs/new/train_diffusion", data=form, follow_redirects=False)
        with web.app.state.database.read() as session:
            job = jobs.get(session, who, int(asked.headers["location"].removeprefix("/jobs/")))
            assert (job.spec["num_steps"], job.spec["hflip"], job.spec["image_size"]) == (5, True, 32)

    def test_keeps_what_was_typed_and_opens_the_settings_that_are_wrong(self, web: Any, dataset_id: int) -> None:
        page = web.post(
            "/jobs/new/train_diffusion",
            data={"dataset_id": str(dataset_id), "preset": "tiny", "lr": "fast", "seed": "9"},
        )
        assert page.status_code == 422
        assert 'value="fast"' in page.text
        assert 'value="9"' in page.text
        assert 'id="wrong-lr"' in page.text
        assert '<details class="below-small" id="all-settings" open>' in page.text

    def test_says_what_a_service_refuses(self, web: Any) -> None:
        page = web.post("/jobs/new/sample", data={"checkpoint_id": "77", "per_class": "5"})
        assert page.status_code == 422
        assert "Sampling needs a trained checkpoint" in page.text

    def test_changing_the_preset_changes_placeholders_and_submits_nothing(
        self, web: Any, who: Identity, dataset_id: int
    ) -> None:
        fragment = web.post(
            "/jobs/new/train_diffusion/form", data={"dataset_id": str(dataset_id), "preset": "base"}
        ).text
        assert 'placeholder="64"' in fragment
        assert "<html" not in fragment
        with web.app.state.database.read() as session:
            assert jobs.listing(session, who).items == []

    def test_fills_in_as_an_earlier_job(self, web: Any, who: Identity, dataset_id: int) -> None:
        spec = TrainDiffusionSpec.model_validate(
            {"dataset_id": dataset_id, "preset": "tiny", "num_steps": 123, "seed": 45}
        )
        with web.app.state.database.write() as session:
            job = factories.job(session, who, spec=spec.model_dump(mode="json"))
        page = web.get(f"/jobs/new/train_diffusion?like={job.id}").text
        assert 'value="123"' in page
        assert 'value="45"' in page
        assert web.get(f"/jobs/new/sample?like={job.id}").status_code == 404

    def test_offers_counts_for_the_classes_of_the_checkpoint(self, web: Any, who: Identity, dataset_id: int) -> None:
        with web.app.state.database.write() as session:
            from app.services import datasets

            version = datasets.current_version(session, datasets.get(session, who, dataset_id))
            assert version is not None
            factories.checkpoint(session, who, version)
        page = web.get("/jobs/new/sample").text
        assert 'name="counts.disc"' in page
        assert 'name="counts.ring"' in page

    @pytest.mark.parametrize(
        ("kind", "needs"),
        [
            ("train_diffusion", "/datasets/new"),
            ("sample", "/jobs/new/train_diffusion"),
            ("evaluate", "/jobs/new/train_classifier"),
        ],
    )
    def test_names_what_must_come_first(self, web: Any, kind: str, needs: str) -> None:
        assert f'role="button" href="{needs}"' in web.get(f"/jobs/new/{kind}").text
