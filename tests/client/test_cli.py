"""The command `phantom`, run as a program against a real server: what it prints, and its exit codes."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from sqlalchemy import select

from models import Job, JobKind, JobState, Study
from tests import factories
from tests.app.pages import study_data
from tests.client.conftest import Served
from tests.lab import Lab
from workers.runner import Runner

Draw = Callable[..., Path]
Run = Callable[..., subprocess.CompletedProcess[str]]
COMMAND = [sys.executable, "-c", "from phantom.cli import main; main()"]


@pytest.fixture
def environment(served: Served) -> dict[str, str]:
    return {**os.environ, "PHANTOM_URL": served.url, "PHANTOM_TOKEN": served.token, "COLUMNS": "200"}


@pytest.fixture
def run(environment: dict[str, str], tmp_path: Path) -> Run:
    """run("jobs", "list"): the finished process."""

    def call(*arguments: object, **changes: str) -> subprocess.CompletedProcess[str]:
        command = [*COMMAND, *map(str, arguments)]
        return subprocess.run(
            command, env=environment | changes, cwd=tmp_path, capture_output=True, text=True, timeout=120, check=False
        )

    return call


def test_upload_waits_and_list_shows_the_dataset(run: Run, worker: Runner, draw: Draw) -> None:
    done = run("datasets", "upload", draw(per_class=5), "--name", "shapes")
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Dataset 1 'shapes' is ready.")
    assert "modes       L 10" in done.stdout
    assert "shapes  ready  10" in run("datasets", "list").stdout
    (row,) = json.loads(run("datasets", "list", "--json").stdout)
    assert (row["name"], row["version"]["num_images"]) == ("shapes", 10)


def test_upload_takes_groups_by_a_pattern_over_the_paths(run: Run, worker: Runner, draw: Draw) -> None:
    done = run(
        "datasets", "upload", draw(per_class=4), "--name", "g", "--group-pattern", "(disc|ring)/00[01]", "--json"
    )
    groups = json.loads(done.stdout)["version"]["layout"]["groups"]
    assert (groups["num_groups"], groups["without_group"], groups["largest"]) == (2, 4, 2)


def test_add_makes_a_version_of_a_dataset_by_its_name_or_number(run: Run, worker: Runner, draw: Draw) -> None:
    run("datasets", "upload", draw("first", per_class=3), "--name", "shapes")
    done = run("datasets", "add", "shapes", draw("more", per_class=5))
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "Dataset 1 'shapes' is at version 2: Add 4 images.")
    again = run("datasets", "add", "1", draw("again", per_class=6), "--group-pattern", "(disc|ring)/", "--json")
    assert json.loads(again.stdout)["version"]["number"] == 3
    nothing = run("datasets", "add", "1", "again")
    assert (nothing.returncode, "Nothing is new" in nothing.stderr) == (1, True)


def test_a_name_that_is_taken_fails(run: Run, lab: Lab, draw: Draw) -> None:
    done = run("datasets", "upload", draw(), "--name", "shapes", "--json")
    assert (done.returncode, done.stdout) == (1, "")
    assert "'shapes' already" in json.loads(done.stderr)["error"]


def test_jobs_are_listed_shown_and_cancelled(run: Run, lab: Lab) -> None:
    listed = json.loads(run("jobs", "list", "--kind", "train_diffusion", "--state", "running", "--json").stdout)
    assert [row["id"] for row in listed] == [lab.job]
    assert "30%" in run("jobs", "show", lab.job).stdout
    cancelled = run("jobs", "cancel", lab.job)
    assert (cancelled.returncode, cancelled.stdout) == (0, f"Job {lab.job} is running, and stops.\n")
    assert json.loads(run("jobs", "show", lab.job, "--json").stdout)["cancel_requested"] is True


def test_logs_follow_until_the_job_has_ended(served: Served, environment: dict[str, str], lab: Lab) -> None:
    process = subprocess.Popen(
        [*COMMAND, "jobs", "logs", "-f", str(lab.job)], env=environment, stdout=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    assert [process.stdout.readline().split("  ")[-1].strip() for _ in range(3)] == ["line 1", "line 2", "line 3"]
    assert process.poll() is None
    with served.database.write() as session:
        session.get_one(Job, lab.job).state = JobState.SUCCEEDED
    assert process.wait(timeout=60) == 0


def test_ctrl_c_detaches_and_the_job_goes_on(
    served: Served, environment: dict[str, str], lab: Lab, tmp_path: Path
) -> None:
    spec = tmp_path / "sample.yaml"
    spec.write_text(f"kind: sample\ncheckpoint_id: {lab.checkpoint}\nper_class: 3\n")
    process = subprocess.Popen(
        [*COMMAND, "run", str(spec), "--wait"], env=environment, stderr=subprocess.PIPE, text=True
    )
    assert process.stderr is not None
    assert "queued" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "goes on" in said
    with served.database.read() as session:
        job = session.scalars(select(Job).order_by(Job.id.desc())).first()
        assert job is not None
        assert (job.kind, job.state, job.cancel_requested_at) == (JobKind.SAMPLE, JobState.QUEUED, None)


def test_run_hands_in_a_job_and_returns_at_once(run: Run, lab: Lab, tmp_path: Path) -> None:
    (tmp_path / "sample.yaml").write_text(f"kind: sample\ncheckpoint_id: {lab.checkpoint}\nper_class: 3\n")
    done = run("run", "sample.yaml", "--json")
    assert done.returncode == 0
    assert json.loads(done.stdout)["state"] == "queued"


def test_run_does_steps_that_use_what_earlier_ones_made(run: Run, worker: Runner, draw: Draw, tmp_path: Path) -> None:
    draw("shapes", per_class=5)
    draw("more", per_class=7)
    (tmp_path / "steps.yaml").write_text(
        "steps:\n  - {id: data, upload: shapes, name: first}\n  - {upload: more, dataset_id: $data, seed: 3}\n"
    )
    done = run("run", "steps.yaml", "--wait")
    assert (done.returncode, done.stdout.count("succeeded: dataset_id 1")) == (0, 2)
    (tmp_path / "training.yaml").write_text(
        "steps:\n  - {id: data, upload: shapes, name: third}\n  - {kind: train_diffusion, dataset_id: $data, preset: tiny}\n"
    )
    without = run("run", "training.yaml")
    assert (without.returncode, "--wait" in without.stderr) == (2, True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "holds no job"),
        ("kind: [", "is not YAML"),
        ("per_class: 3", "has no kind"),
        ("steps: [{upload: x}]", "does not say into which dataset"),
        ("steps: [{upload: x, name: y, dataset_id: 1}]", "does not say into which dataset"),
        ("steps: [{kind: sample, checkpoint_id: $nothing}]", "no earlier step has id: nothing"),
        ("kind: sample\ncheckpoint_id: 1\nper_class: 1\nspeed: 9", "speed: This field is not known"),
    ],
)
def test_a_spec_that_cannot_be_run_is_a_usage_error(run: Run, lab: Lab, tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "spec.yaml").write_text(text)
    done = run("run", "spec.yaml", "--wait")
    assert done.returncode == 2
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_job_that_fails_is_exit_code_1(run: Run, worker: Runner, tmp_path: Path) -> None:
    for kind in ("disc", "ring"):
        (tmp_path / "broken" / kind).mkdir(parents=True)
        (tmp_path / "broken" / kind / "1.png").write_bytes(b"\x89PNG but no more")
    done = run("datasets", "upload", "broken", "--name", "broken")
    assert done.returncode == 1
    assert "import_dataset) failed" in done.stderr


def test_sets_download(run: Run, lab: Lab, tmp_path: Path) -> None:
    done = run("sets", "download", lab.synthetic_set, "out")
    assert (done.returncode, done.stdout) == (0, "12 files in out\n")
    assert (tmp_path / "out" / "metadata.jsonl").exists()
    assert str(lab.synthetic_set) in run("sets", "list").stdout


def test_audits_are_listed_and_shown_and_the_gate_says_no_by_its_exit_code(run: Run, lab: Lab) -> None:
    assert "copies" in run("audits", "list").stdout
    (row,) = json.loads(run("audits", "list", "--set", lab.synthetic_set, "--json").stdout)
    assert row["id"] == lab.audit
    shown = run("audits", "show", lab.audit).stdout
    assert "flagged as copies" in shown
    assert "set_to_train_on_id" in shown
    stopped = run("sets", "gate", lab.synthetic_set)
    assert (stopped.returncode, "not releasable" in stopped.stdout) == (1, True)


def test_wrong_usage_and_no_token_are_exit_code_2(run: Run) -> None:
    assert run("jobs", "show", "twelve").returncode == 2
    assert run("nonsense").returncode == 2
    wrong = run("jobs", "list", PHANTOM_TOKEN="phs_wrong")
    assert (wrong.returncode, "unknown, revoked or expired" in wrong.stderr) == (2, True)
    without = run("jobs", "list", PHANTOM_TOKEN="")
    assert (without.returncode, "tokens create" in without.stderr) == (2, True)


def test_no_studio_there_is_exit_code_3(run: Run) -> None:
    done = run("jobs", "list", PHANTOM_URL="http://127.0.0.1:9")
    assert (done.returncode, "No studio answers at http://127.0.0.1:9" in done.stderr) == (3, True)


def test_studies_reproduce_runs_a_study_again_and_compares(run: Run, served: Served) -> None:
    with served.database.write() as session:
        study = study_data.launched(session, served.who, factories.dataset_with_version(session, served.who))
        study_data.with_tests(session, served.who, study)
        study_data.answered(session, study)
    done = run("studies", "reproduce", study.id)
    assert (done.returncode, done.stdout.strip()) == (0, "Study 2 (Study 1 of shapes, reproduced) runs study 1 again.")
    refused = run("studies", "reproduce", 2)
    assert (refused.returncode, "Study 2 is still running" in refused.stderr) == (1, True)


def test_studies_reproduce_waits_and_fails_where_a_figure_differs(
    environment: dict[str, str], served: Served, tmp_path: Path
) -> None:
    with served.database.write() as session:
        study = study_data.launched(session, served.who, factories.dataset_with_version(session, served.who))
        study_data.with_tests(session, served.who, study)
        study_data.answered(session, study)
    process = subprocess.Popen(
        [*COMMAND, "studies", "reproduce", str(study.id), "--wait", "--json"], env=environment, cwd=tmp_path, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    end_of(served, study.id + 1, seed=1)
    told, _ = process.communicate(timeout=60)
    found = json.loads(told)
    assert (process.returncode, found["a"], found["b"], found["is_equal"]) == (1, study.id, study.id + 1, False)


def end_of(served: Served, study_id: int, *, seed: int) -> None:
    """Wait until there is such a study, and let all of its jobs have ended."""
    until = time.monotonic() + 30
    while True:
        with served.database.write() as session:
            study = session.get(Study, study_id)
            if study is not None:
                study_data.with_tests(session, served.who, study, seed=seed)
                study_data.answered(session, study)
                return
        assert time.monotonic() < until, "the study was not launched"
        time.sleep(0.1)


def test_studies_are_listed_and_reported(served: Served, run: Run, tmp_path: Path) -> None:
    with served.database.write() as session:
        version = factories.dataset_with_version(session, served.who, storage=served.storage)
        study = study_data.launched(session, served.who, version)
        study_data.with_tests(session, served.who, study)
        study_data.answered(session, study)
    assert re.search(rf"{study.id}\s+Study of shapes\s+succeeded\s+27", run("studies", "list").stdout)
    done = run("studies", "report", study.id, "report.html")
    assert (done.returncode, done.stdout) == (0, "Wrote report.html. It shows patients' images.\n")
    assert run("studies", "report", study.id, "without.html", "--no-real-images").stdout == "Wrote without.html.\n"
    assert "Holds no real image." in (tmp_path / "without.html").read_text(encoding="utf-8")
    assert json.loads(run("studies", "report", study.id, "report.json", "--json").stdout)["file"] == "report.json"
    assert json.loads((tmp_path / "report.json").read_text(encoding="utf-8"))["about"]["study_id"] == study.id
    assert run("studies", "report", 99, "x.html").returncode == 1
