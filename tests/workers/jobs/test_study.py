"""A whole study with tiny real networks: every job by the real runner, to the table and back to the same table."""

import csv
import io
from typing import Any

import pytest
from sqlalchemy import select, update

from app.services import audits, gates, jobs, studies
from app.services.studies import comparing, reproducing
from app.services.studies.tables import as_csv
from models import (
    Classifier,
    DatasetVersion,
    Evaluation,
    Image,
    Job,
    JobKind,
    JobState,
    Opening,
    Study,
    SyntheticImage,
    SyntheticSet,
)  # fmt: skip
from models.specs import StudySpec
from tests import factories
from tests.workers.jobs.conftest import TINY_NETWORK, Studio
from workers.context import JobContext

QUICK = {"num_halves": 4, "num_subsets": 2, "num_bootstrap": 100, "num_draws": 1, "timesteps": [200], "num_planted": 0}
LEARN = {"epochs": 1, "pretrained": False, "input_size": 32, "batch_size": 4}


def launch(studio: Studio, **options: Any) -> int:
    """A study of twenty drawings; some of its settings are `options`."""
    with studio.database.write() as session:
        version = factories.dataset_with_version(
            session, studio.who, name=options.pop("name", "shapes"), num_images=40, storage=studio.storage
        )
        session.execute(update(DatasetVersion).values(leaks={"patients": 0, "identical": 0, "near": 0}))
        spec = {
            "dataset_id": version.dataset_id, "architectures": ["resnet10t"], "seeds": [0, 1],
            "diffusion": {**TINY_NETWORK, "num_steps": 3}, "sampling": {"per_class": 6, "num_steps": 2}, "classifier": LEARN, "audit": QUICK,
            "num_bootstrap": 200, "explanations": None, **options,
        }  # fmt: skip
        return studies.launch(session, studio.who, StudySpec.model_validate(spec)).id


def done(studio: Studio, study_id: int) -> Study:
    """The study once nothing waits any more."""
    with studio.database.read() as session:
        answer_job_id = session.get_one(Study, study_id).answer_job_id
    assert answer_job_id is not None
    studio.work(answer_job_id)
    with studio.database.read() as session:
        return session.get_one(Study, study_id)


def table_of(study: Study) -> dict[str, Any]:
    assert study.answer is not None
    return study.answer["tables"][0]


def test_a_whole_study_ends_with_a_row_for_each_arm_and_size(studio: Studio) -> None:
    study = done(studio, launch(studio, sizes=[0.5, 1], sampling={"per_class": 6, "num_steps": 2, "num_parts": 2}))
    with studio.database.read() as session:
        found = {job.id: (job.kind, job.state, job.error) for job in session.scalars(select(Job))}
        steps = set(session.scalars(select(Job.total).where(Job.kind == JobKind.TRAIN_CLASSIFIER)))
        numbers = session.execute(select(Classifier.train_on, Classifier.num_train_images).distinct()).all()
        looks = session.scalars(select(Opening)).all()
    assert {state for _, state, _ in found.values()} == {JobState.SUCCEEDED}, found
    assert study.answer is not None
    assert study.answer["explanations"] is None
    table = table_of(study)
    assert (table["architecture"], table["tested_on"], table["reference"]) == ("resnet10t", "own", "real_equal")
    assert [row["key"] for row in table["rows"]] == [
        "real_equal", "synthetic x0.5", "synthetic x1", "real_plus_synthetic x0.5", "real_plus_synthetic x1", "real_augmented",
    ]  # fmt: skip
    assert table["num_images"] == 8
    assert len(steps) == 1  # equal work for all arms
    assert sorted(map(tuple, numbers)) == [
        ("both", 34),
        ("both", 40),
        ("real", 28),
        ("synthetic", 6),
        ("synthetic", 12),
    ]
    assert len(looks) == 6 * 2
    for row in table["rows"]:
        assert [each["seed"] for each in row["seeds"]] == [0, 1]
        assert row["mean"]["balanced_accuracy"]["value"] == pytest.approx(mean_of(studio, row))
    with studio.database.read() as session:
        audit = studies.audit_of(session, studies.progress(session, study))
        assert audit is not None
        gate = gates.gate_of_set(session, audits.learnt(session, audit))
    utility = gate.lights[3]
    assert (gate.study_id, gate.audit_id, utility["state"] != "grey") == (study.id, audit.id, True)
    assert "on 8 locked test images; size 1 of the synthetic images; chance is 0.500." in utility["sentence"]


def test_what_an_audit_leaves_out_is_not_learnt(studio: Studio) -> None:
    study_id = launch(studio, arms=["real_equal", "synthetic", "synthetic_test"], seeds=[0])
    with studio.database.write() as session:
        steps = {
            each.step.name: each.job.id for each in studies.progress(session, session.get_one(Study, study_id)).steps
        }
    jobs = {name: studio.job(job_id) for name, job_id in steps.items()}
    study = done(studio, study_id)
    audit_job, samples = studio.job(jobs["audit"].id), studio.job(jobs["samples"].id)
    assert audit_job.result is not None
    assert samples.result is not None
    assert audit_job.spec["synthetic_set_id"] == samples.result["synthetic_set_id"]
    for name, job in jobs.items():
        if name.startswith("train/synthetic") or name.endswith("/synthetic"):
            assert studio.job(job.id).spec["synthetic_set_id"] == audit_job.result["synthetic_set_id"]
    with studio.database.read() as session:
        found = studies.audit_of(session, studies.progress(session, study))
    assert found is not None
    assert found.id == audit_job.result["audit_id"]


def mean_of(studio: Studio, row: dict[str, Any]) -> float:
    """Over the evaluations that the row names."""
    with studio.database.read() as session:
        reports = [session.get_one(Evaluation, each["evaluation_id"]).report for each in row["seeds"]]
    return sum(report["balanced_accuracy"]["value"] for report in reports) / len(reports)


def test_a_study_run_again_gives_the_same_figures_and_files_and_another_diffusion_seed_does_not(studio: Studio) -> None:
    first = done(studio, launch(studio, arms=["real_equal", "synthetic", "synthetic_test"], seeds=[0]))
    with studio.database.write() as session:
        again = reproducing.reproduce(session, studio.who, session.get_one(Study, first.id))
        assert studies.progress(session, again).num_reused == 0
        diffusion = {**first.spec["diffusion"], "seed": 1}
        other = studies.launch(session, studio.who, StudySpec.model_validate({**first.spec, "diffusion": diffusion}))
    again, other = done(studio, again.id), done(studio, other.id)
    with studio.database.read() as session:
        same, changed = (comparing.compare(session, first, study) for study in (again, other))
        same_files, changed_files = (comparing.files(session, first, study) for study in (again, other))
    assert same.verdict == f"All {len(same.figures)} figures are equal to the last digit."
    assert len(same.figures) > 100
    audited = {figure.name.split(".")[0] for figure in same.evidence[0].figures}
    assert (audited, same.evidence[1].a.missing) == ({"audit", "gate"}, "It explains no images.")
    assert (same.is_equal, same.settings) == (True, [])
    assert {each.outcome for each in same_files} == {"same bytes"}
    assert len(same_files) == 3 + 2 + 3  # drawn and audited; trained; tested
    assert changed.num_differing > 0
    assert any(not figure.is_equal for figure in changed.evidence[0].figures)
    assert [(each.name, each.a, each.b) for each in changed.settings] == [("diffusion.seed", 0, 1)]
    assert {each.name: each.outcome for each in changed_files} == {
        "diffusion": "differs", "samples": "differs", "audit": "differs",
        "train/real_equal/resnet10t/seed 0": "same bytes", "test/real_equal/resnet10t/seed 0/own": "same bytes",
        "train/synthetic/resnet10t/size 1/seed 0": "differs", "test/synthetic/resnet10t/size 1/seed 0/own": "differs",
        "test/synthetic_test/resnet10t/seed 0/synthetic": "differs",
    }  # fmt: skip


def test_extending_trains_only_what_is_new(studio: Studio) -> None:
    study = done(studio, launch(studio, arms=["real_equal", "synthetic"], seeds=[0]))
    with studio.database.write() as session:
        before = set(session.scalars(select(Job.id)))
        studies.extend(session, studio.who, session.get_one(Study, study.id), {"seeds": [1]})
        new = [job.kind for job in session.scalars(select(Job)) if job.id not in before]
    assert sorted(new) == sorted([JobKind.TRAIN_CLASSIFIER, JobKind.EVALUATE] * 2 + [JobKind.SUMMARISE_STUDY])
    rows = table_of(done(studio, study.id))["rows"]
    assert [[each["seed"] for each in row["seeds"]] for row in rows] == [[0, 1], [0, 1]]


def test_a_larger_size_goes_on_from_the_images_that_are_there(studio: Studio) -> None:
    study = done(studio, launch(studio, arms=["real_equal", "synthetic"], seeds=[0]))
    with studio.database.write() as session:
        studies.extend(session, studio.who, session.get_one(Study, study.id), {"sizes": [2]})
    study = done(studio, study.id)
    rows = table_of(study)["rows"]
    assert [(row["arm"], row["size"]) for row in rows] == [("real_equal", None), ("synthetic", 1), ("synthetic", 2)]
    assert all(row["mean"]["balanced_accuracy"]["value"] is not None for row in rows)
    drawn = studio.rows(select(SyntheticSet).where(SyntheticSet.filtered_from_id.is_(None)).order_by(SyntheticSet.id))
    first, second = (
        {
            each.index: each.stored_sha256
            for each in studio.rows(select(SyntheticImage).where(SyntheticImage.set_id == made.id))
        }
        for made in drawn
    )
    assert first.items() < second.items()
    assert len(second) == 2 * len(first)
    with studio.database.read() as session:
        audit = studies.audit_of(session, studies.progress(session, session.get_one(Study, study.id)))
        assert audit is not None
        assert audit.num_images == len(second)


def test_a_failed_seed_is_listed_with_its_reason_and_the_rest_is_compared(studio: Studio) -> None:
    study_id = launch(studio, arms=["real_equal", "real_augmented"])
    broken(studio, study_id, "train/real_augmented/resnet10t/seed 1")
    study = done(studio, study_id)
    row = table_of(study)["rows"][1]
    assert [each["evaluation_id"] is not None for each in row["seeds"]] == [True, False]
    assert "resnet9000" in row["seeds"][1]["reason"]
    assert row["mean"]["balanced_accuracy"]["value"] is not None


def test_a_table_that_is_made_while_a_job_is_tried_again_does_not_stay(studio: Studio) -> None:
    study_id = launch(studio, arms=["real_equal"])
    with studio.database.read() as session:
        steps = studies.progress(session, session.get_one(Study, study_id)).steps
        trained = next(each.job.id for each in steps if each.step.name == "train/real_equal/resnet10t/seed 1")
    right = studio.job(trained).spec
    studio.set(trained, spec={**right, "architecture": "resnet9000"})
    old = done(studio, study_id).answer_job_id
    studio.set(trained, spec=right)
    studio.set(old, state=JobState.QUEUED)
    tried: list[Study] = []

    def try_again(context: JobContext, done_so_far: int) -> None:
        """Once, while the old table is being made: and the new one is made faster."""
        if not tried:
            with studio.database.write() as session:
                jobs.retry(session, studio.who, session.get_one(Job, trained))
            tried.append(done(studio, study_id))

    studio.attempt(old, try_again)
    assert tried[0].answer_job_id != old
    with studio.database.read() as session:
        study = session.get_one(Study, study_id)
    seeds = [[each["evaluation_id"] for each in row["seeds"]] for row in table_of(study)["rows"]]
    assert None not in seeds[0]


def test_a_sweep_with_a_failed_size_says_why_it_has_no_saturation_point(studio: Studio) -> None:
    study_id = launch(studio, arms=["real_equal", "synthetic"], seeds=[0], sizes=[0.5, 0.75, 1])
    broken(studio, study_id, "train/synthetic/resnet10t/size 0.75/seed 0")
    found = table_of(done(studio, study_id))["saturation"]
    assert (found["state"], found["size"]) == ("too_few", None)
    assert [point["size"] for point in found["points"]] == [0.5, 1]
    assert found["sentence"].startswith("A saturation point needs 3 sizes; there are 2. Size 0.75 has no result: ")
    assert "resnet9000" in found["sentence"]


def test_a_sweep_of_which_every_size_failed_gives_the_reason_of_each(studio: Studio) -> None:
    study_id = launch(studio, arms=["real_equal", "synthetic"], seeds=[0], sizes=[0.5, 1])
    for size in ("0.5", "1"):
        broken(studio, study_id, f"train/synthetic/resnet10t/size {size}/seed 0")
    found = table_of(done(studio, study_id))["saturation"]
    assert (found["state"], found["size"]) == ("too_few", None)
    assert [f"Size {size} has no result: " in found["sentence"] for size in ("0.5", "1")] == [True, True]


def broken(studio: Studio, study_id: int, name: str) -> None:
    """The step's job has a network that there is not."""
    with studio.database.write() as session:
        steps = studies.progress(session, session.get_one(Study, study_id)).steps
        job = session.get_one(Job, next(each.job.id for each in steps if each.step.name == name))
        job.spec = {**job.spec, "architecture": "resnet9000"}


def test_a_study_of_which_nothing_succeeded_has_no_table(studio: Studio) -> None:
    study_id = launch(studio, arms=["real_equal"], seeds=[0])
    with studio.database.write() as session:
        training = session.scalars(select(Job).where(Job.kind == JobKind.TRAIN_CLASSIFIER)).one()
        training.spec = {**training.spec, "architecture": "resnet9000"}
    study = done(studio, study_id)
    assert study.answer is None
    with studio.database.read() as session:
        assert "Not one evaluation" in session.get_one(Job, study.answer_job_id).error["detail"]


def test_networks_of_real_images_are_tested_on_synthetic_and_on_external_ones(studio: Studio) -> None:
    with studio.database.write() as session:
        other = factories.dataset_with_version(
            session, studio.who, name="other", classes=["hoop", "blob"], num_images=20, storage=studio.storage
        )
        session.execute(update(Image).where(Image.version_id == other.id).values(pixel_sha256=Image.path))
    external = {"other": {"dataset_id": other.dataset_id, "class_map": {"hoop": "ring", "blob": "disc"}}}
    arms = ["real_equal", "synthetic_test"]
    study = done(studio, launch(studio, arms=arms, external=external))
    assert study.answer is not None
    tables = {table["tested_on"]: table for table in study.answer["tables"]}
    assert set(tables) == {"own", "other", "synthetic"}
    assert tables["other"]["num_images"] == 20
    on_synthetic, figure = tables["synthetic"], tables["synthetic"]["rows"][0]["balanced_accuracy"]
    assert figure["low"] < figure["value"] < figure["high"] or figure["value"] in (0, 1)
    assert (len(figure["per_seed"]), on_synthetic["num_images"], figure["num_images"]) == (2, 12, 12)
    assert "over 12 single synthetic images" in figure["method"]
    line = next(each for each in csv.DictReader(io.StringIO(as_csv(study))) if each["tested_on"] == "synthetic")
    assert (line["n"], line["low"], line["high"]) == ("12", str(figure["low"]), str(figure["high"]))
