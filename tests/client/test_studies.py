"""Studies through the client: launched, waited for, read as a table, extended."""

import copy
import csv
import json
import re
from pathlib import Path

import pytest
import yaml
from phantom import JobFailed, ProblemError, Studio, specfile
from phantom.studies import Row, Study
from sqlalchemy import update

from models import Audit, DatasetVersion, Job, JobState
from models import Study as StudyRow
from tests import factories
from tests.app.pages import study_data
from tests.client.conftest import Served

OPTIONS = {
    "architectures": ["resnet10t"], "arms": ["real_equal", "synthetic"], "seeds": [0, 1], "classifier": {"epochs": 1, "pretrained": False},
    "diffusion": {"preset": "tiny", "image_size": 32, "num_steps": 3}, "sampling": {"per_class": 5},
    "explanations": None,
}  # fmt: skip


@pytest.fixture
def data(served: Served, studio: Studio):
    with served.database.write() as session:
        version = factories.dataset_with_version(session, served.who)
    return studio.datasets.get(version.dataset_id)


def answer(served: Served, study_id: int, *, but: int = 0) -> None:
    """The jobs of the study have ended, and its table is made."""
    with served.database.write() as session:
        study = session.get_one(StudyRow, study_id)
        study_data.with_tests(session, served.who, study, but=but)
        study_data.answered(session, study)


def test_a_study_is_launched_by_one_call_and_waited_for(served: Served, studio: Studio, data) -> None:
    study = studio.study(data, **OPTIONS)
    assert study.state == "running"
    assert sum(study.data["counts"].values()) == len(study.steps) == 3 + 2 * 2 * 2
    assert repr(study) == "<Study 1 'Study of shapes': running, 0 of 11 jobs>"
    with pytest.raises(TimeoutError, match="it goes on"):
        study.wait(timeout_s=0, progress=False)
    answer(served, study.id)
    assert study.wait(progress=False).state == "succeeded"
    assert [each.id for each in studio.studies.list()] == [study.id]
    assert study.audit is not None
    assert study.audit.filtered.num_images == 6


def test_its_explanations_are_compared(served: Served, studio: Studio, data) -> None:
    assert studio.study(data, **OPTIONS).explanations is None
    study = studio.study(data, **{**OPTIONS, "explanations": {"num_images": 4}})
    assert [step["name"] for step in study.steps if "explained_on" in step["cell"]] == [
        f"explain/{arm}/seed {seed}"
        for seed in (0, 1)
        for arm in ("real_equal/resnet10t", "synthetic/resnet10t/size 1")
    ]
    answer(served, study.id)
    with served.database.write() as session:
        row = session.get_one(StudyRow, study.id)
        study_data.with_explanations(session, served.who, row, served.storage)
    found = study.refresh().explanations
    assert found is not None
    assert [len(found["images"]), found["arms"]] == [4, ["real_equal", "synthetic"]]


def test_its_table_has_a_row_for_each_arm(served: Served, studio: Studio, data) -> None:
    study = studio.study(data, **OPTIONS)
    answer(served, study.id, but=1)
    reference, synthetic = study.refresh().table
    assert isinstance(synthetic, Row)
    assert (reference.arm, reference.difference, reference.p) == ("real_equal", None, None)
    assert (synthetic.network, synthetic.tested_on, synthetic.size, synthetic.n) == ("resnet10t", "own", 1.0, 120)
    assert (synthetic.seeds, synthetic.failed) == ([0], {1: "Memory ran out."})
    assert synthetic.low < synthetic.balanced_accuracy < synthetic.high
    assert synthetic.difference == pytest.approx(synthetic.balanced_accuracy - reference.balanced_accuracy)
    assert 0 < synthetic.p <= synthetic.p_holm <= 1
    told = study.answer["tables"][0]["rows"][1]
    assert synthetic.reference == "real_equal"
    assert synthetic.mcnemar_p == told["against_reference"]["mcnemar"]["p"]
    assert (synthetic.auroc, synthetic.delong_p) == (
        told["mean"]["auroc"]["value"],
        told["against_reference"]["delong"]["p"],
    )
    assert (reference.mcnemar_p, reference.delong_p) == (None, None)


def test_its_rows_say_what_training_had_seen_of_the_tested_images(served: Served, studio: Studio, data) -> None:
    study = studio.study(data, **OPTIONS)
    answer(served, study.id)
    assert {(row.known_images, row.known_patients) for row in study.refresh().table} == {(None, None)}
    with served.database.write() as session:
        row = session.get_one(StudyRow, study.id)
        study_data.leaking(session, row, arm="synthetic")
        study_data.answered(session, row)
    assert [(row.known_images, row.known_patients) for row in study.refresh().table] == [(None, None), (3, 5)]


def test_its_table_is_written_as_csv_and_latex(served: Served, studio: Studio, data, tmp_path: Path) -> None:
    study = studio.study(data, **OPTIONS)
    answer(served, study.id)
    study.refresh()
    with study.to_csv(tmp_path / "table.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    assert [line["arm"] for line in lines] == ["real_equal", "synthetic"]
    assert lines[1]["seeds"] == "0 1"
    assert float(lines[1]["balanced_accuracy"]) == study.table[1].balanced_accuracy
    assert float(lines[1]["delong_p"]) == study.table[1].delong_p
    latex = study.to_latex(tmp_path / "table.tex").read_text()
    assert "real\\_equal & 2 & " in latex
    assert re.search(
        r"synthetic \$\\times\$1 & 2 & 120 & 0\.\d{3} \[0\.\d{3}, 0\.\d{3}\] & -0\.\d{3} \[-0\.\d{3}, -0\.\d{3}\] & ",
        latex,
    )


def test_it_is_extended_and_cancelled(studio: Studio, data) -> None:
    study = studio.study(data, **OPTIONS)
    study.extend(seeds=[7])
    assert study.spec["seeds"] == [0, 1, 7]
    study.extend(sizes=[3])
    assert "samples/size 3" in {step["name"] for step in study.steps}
    with pytest.raises(ProblemError, match="greater than 0"):
        study.extend(sizes=[0])
    assert study.cancel().state == "cancelled"
    with pytest.raises(JobFailed, match="has no table: Cancelled"):
        study.wait(progress=False)
    study.delete()
    assert studio.studies.list() == []


def test_other_datasets_are_named_by_the_caller(served: Served, studio: Studio, data) -> None:
    with served.database.write() as session:
        factories.dataset_with_version(session, served.who, name="other", classes=["hoop", "blob"])
        session.execute(update(DatasetVersion).values(leaks={"patients": 0, "identical": 0, "near": 0}))
    other = studio.datasets.get("other")
    study = studio.study(data, **OPTIONS, external={"elsewhere": (other, {"hoop": "ring", "blob": "disc"})})
    assert study.spec["external"]["elsewhere"]["dataset_id"] == other.id
    with pytest.raises(ProblemError, match="class_map"):
        studio.study(data, **OPTIONS, external={"elsewhere": other})


def test_what_does_not_fit_is_refused_with_the_field(studio: Studio, data) -> None:
    with pytest.raises(ProblemError, match=r"diffusion: image_size 33 does not fit"):
        studio.study(data, **{**OPTIONS, "diffusion": {"image_size": 33}})


def test_a_studio_whose_jobs_all_failed_says_so(served: Served, studio: Studio, data) -> None:
    study = studio.study(data, **OPTIONS)
    with served.database.write() as session:
        session.execute(
            update(Job).values(state=JobState.FAILED, error={"detail": "Not one evaluation of the study succeeded."})
        )
    with pytest.raises(JobFailed, match="Not one evaluation"):
        study.wait(progress=False)


def test_the_command_hands_in_a_study(served: Served, studio: Studio, data, tmp_path: Path) -> None:
    spec = tmp_path / "study.yaml"
    spec.write_text(yaml.safe_dump({"kind": "study", "dataset_id": data.id, **OPTIONS}))
    steps = specfile.read_steps(spec)
    made = specfile.start(studio, steps[0], {})
    assert specfile.made_id(made) == made.id
    assert made.spec["architectures"] == ["resnet10t"]


def test_it_is_run_again_and_compared(served: Served, studio: Studio, data) -> None:
    study = studio.study(data, **OPTIONS)
    with pytest.raises(ProblemError, match="still running") as refused:
        study.reproduce()
    assert refused.value.status == 409
    answer(served, study.id)
    again = study.reproduce()
    assert (again.state, again.data["reproduces_id"], again.spec) == ("running", study.id, study.spec)
    assert again.data["num_reused"] == 0
    assert study.compare(again).verdict == f"Study {again.id} has no table yet, so there is no figure to compare."
    answer(served, again.id)
    found = study.compare(again)
    assert found.is_equal
    assert repr(found).startswith("<Comparison of studies 1 and 2: All ")
    assert (found.settings, found.differing) == ([], [])
    assert found.files[0]["outcome"] == "same bytes"


def test_a_comparison_names_what_differs(served: Served, studio: Studio, data) -> None:
    study = studio.study(data, **OPTIONS)
    answer(served, study.id)
    again = study.reproduce()
    answer(served, again.id)
    with served.database.write() as session:
        row = session.get_one(StudyRow, again.id)
        made = copy.deepcopy(row.answer)
        made["tables"][0]["rows"][1]["mean"]["accuracy"]["value"] -= 0.5
        row.answer = made
    (one,) = study.compare(again).differing
    assert (one.network, one.arm, one.size, one.seed, one.name) == (
        "resnet10t",
        "synthetic",
        1.0,
        None,
        "mean.accuracy.value",
    )
    assert one.difference == -0.5
    assert not study.compare(again).is_equal


def test_a_comparison_names_figures_of_audits_and_lights(served: Served, studio: Studio, data) -> None:
    study = studio.study(data, **OPTIONS)
    answer(served, study.id)
    again = study.reproduce()
    answer(served, again.id)
    with served.database.write() as session:
        row = session.get_one(Audit, again.refresh().audit.id)
        made = copy.deepcopy(row.report)
        made["privacy"]["membership"]["auc"]["value"] += 0.25
        made["images"]["was_learnt"] = False
        row.report = made
    found = study.compare(again)
    assert [(each.network, each.tested_on, each.size, each.name, each.difference) for each in found.differing] == [
        (None, None, 1.0, "gate.copies", None),
        (None, None, 1.0, "audit.privacy.membership.auc.value", pytest.approx(0.25)),
    ]
    assert (found.differing[0].a, found.differing[0].b) == ("red", "grey")
    audit, explanations = found.evidence
    assert audit["b"]["links"] == [{"name": f"Audit {again.audit.id}", "url": f"/audits/{again.audit.id}"}]
    assert (explanations["kind"], explanations["a"]["missing"]) == ("explanations", "It explains no images.")


def test_its_report_is_written_with_and_without_patients_images(
    served: Served, studio: Studio, data, tmp_path: Path
) -> None:
    study = studio.study(data, **OPTIONS)
    answer(served, study.id)
    study.refresh()
    whole = study.report(tmp_path / "report.html").read_text(encoding="utf-8")
    assert "Contains real images: treat as patient data." in whole
    assert "Holds no real image." in study.report(tmp_path / "r.html", real_images=False).read_text(encoding="utf-8")
    told = json.loads(study.to_json(tmp_path / "report.json").read_text(encoding="utf-8"))
    assert [row["figures"][0][1]["value"] for row in told["results"]["tables"][0]["rows"]] == [
        row.balanced_accuracy for row in study.table
    ]
    assert study.to_svg(tmp_path / "arms.svg").read_text(encoding="utf-8").startswith("<svg")
    with pytest.raises(ProblemError, match="one size"):
        study.to_svg(tmp_path / "curve.svg", chart="curve")


def test_its_recipe_launches_the_same_study_and_uses_every_job_again(
    served: Served, studio: Studio, data, tmp_path: Path
) -> None:
    study = studio.study(data, **OPTIONS)
    (step,) = specfile.read_steps(study.to_yaml(tmp_path / "study.yaml"))
    again = specfile.start(studio, step, {})
    assert isinstance(again, Study)
    assert again.spec == {**study.spec, "name": study.name}
    assert {each["job_id"] for each in again.steps} == {each["job_id"] for each in study.steps}
    assert all(each["is_reused"] for each in again.steps)
