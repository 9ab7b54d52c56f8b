"""The report of a study: every figure as it was stored, every gap with its reason, and no picture that may not be shown."""

import json
import tomllib
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from typing import Any

import pytest
import yaml
from markupsafe import escape
from phantom import specfile
from sqlalchemy import select
from sqlalchemy.orm import Session

from app import VERSION
from app.core.errors import NotFoundError
from app.core.storage import Storage
from app.services import audits, datasets, gates
from app.services.identity import Identity
from app.services.studies import looking, reporting, reproducing
from models import Audit, Checkpoint, DatasetVersion, ExplanationItem, Image, Job, JobState, Split, Study, SyntheticSet
from models.specs import StudySpec
from models.specs.changing import Resplit
from tests import factories, health_data
from tests.app.pages import study_data

STUDIO = "http://studio.example"


@pytest.fixture
def version(session: Session, who: Identity, storage: Storage) -> DatasetVersion:
    return factories.dataset_with_version(session, who, num_images=60, storage=storage)


def answered(
    session: Session, who: Identity, version: DatasetVersion, storage: Any, *, but: int = 0, **options: Any
) -> Study:
    study = study_data.launched(session, who, version, **options)
    study_data.with_tests(session, who, study, but=but, storage=storage)
    study_data.answered(session, study)
    return study


def explained(session: Session, who: Identity, version: DatasetVersion, storage: Storage) -> Study:
    study = answered(session, who, version, storage, explanations={"num_images": 4})
    study_data.with_explanations(session, who, study, storage)
    return study


def gather(session: Session, study: Study, *, real_images: bool = True) -> reporting.Report:
    return reporting.gather(session, study, studio=STUDIO, real_images=real_images)


class TestFigures:
    def test_are_those_of_the_stored_answer(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        report = gather(session, study)
        (table,), (told,) = report.results.tables, (study.answer or {})["tables"]
        assert (table.num_images, table.unit) == (120, "single images")
        for row, stored in zip(table.rows, told["rows"], strict=True):
            shown = [(figure.value, figure.low, figure.high) for _, figure in row.figures]
            names = ("balanced_accuracy", "accuracy", "auroc", "macro_f1", "macro_precision", "macro_recall", "ece")
            assert shown == [tuple(stored["mean"][name][bound] for bound in ("value", "low", "high")) for name in names]
            assert [seed.value for seed in row.seeds] == stored["mean"]["balanced_accuracy"]["per_seed"]
            if not row.is_reference:
                difference = stored["against_reference"]["difference"]["balanced_accuracy"]
                told, against = stored["against_reference"], row.against
                assert against is not None
                assert (against.difference.value, against.difference.low) == (difference["value"], difference["low"])
                assert (against.p, against.p_holm) == (told["p"], told["p_holm"])
                counts, area = told["mcnemar"], told["delong"]
                assert (against.only_arm, against.only_reference) == (counts["first_only"], counts["second_only"])
                assert against.mcnemar == counts["p"]
                assert (against.auroc.value, against.auroc.high, against.delong) == (
                    area["value"],
                    area["high"],
                    area["p"],
                )

    def test_lead_to_their_evaluations_and_jobs(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage, but=1)
        rows = gather(session, study).results.tables[0].rows
        made = (study.answer or {})["tables"][0]["rows"][0]["seeds"][0]
        assert rows[0].seeds[0].result.path == f"/evaluations/{made['evaluation_id']}"
        assert rows[0].seeds[0].job.path == f"/jobs/{made['job_id']}"
        failed = rows[-1].seeds[-1]
        assert (failed.value, failed.reason) == (None, "Memory ran out.")

    def test_of_fidelity_and_privacy_are_those_of_the_audit(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        report = gather(session, answered(session, who, version, storage))
        audit = session.scalars(select(Audit)).one()
        kid = audit.report["fidelity"]["extractors"][0]["whole"]["kid"]
        row = report.fidelity.extractors[0].rows[0]
        assert (row.metric, row.synthetic.value, row.floor.value) == (
            "KID",
            kid["synthetic"]["value"],
            kid["floor"]["value"],
        )
        rate = audit.report["privacy"]["spaces"]["pixels"]["copies"]["rate"]
        name, [(flagged, n)] = report.privacy.rows[0]
        assert (name, flagged.value, flagged.high, n) == ("Flagged as copies", rate["value"], rate["high"], rate["n"])
        assert report.privacy.guarantee.startswith("none: its training was not asked")
        assert [pair.flagged for pair in report.privacy.pairs][:3] == [True, True, False]
        assert (
            report.fidelity.basis
            == f"Measured on all {audit.num_images} images as drawn, before 2 flagged images left the set."
        )
        assert report.privacy.left_out.startswith("Flagged images were left out before")

    def test_of_copies_that_stayed_say_so(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        session.scalars(select(Audit)).one().filtered_set_id = None
        report = gather(session, study)
        assert report.fidelity.basis == ""
        assert report.privacy.left_out == "Flagged images stayed in the set, as asked for: the classifiers learn them."

    def test_of_recall_are_means_over_seeds(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        table = gather(session, study).recalls.tables[0]
        early = looking.preliminary(session, looking.progress(session, study))
        assert table.classes == ["disc", "ring"]
        name, values, seeds = table.rows[0]
        first = [found["balanced_accuracy"] for step, found in early.items() if step.startswith("test/real_equal/")]
        assert (name, seeds) == ("Real, equal budget", 2)
        assert sum(values) / 2 == pytest.approx(sum(first) / 2)  # type: ignore[arg-type]  # both classes have images

    def test_are_told_in_two_sentences_with_the_ratio(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        answer = gather(session, study).answer
        rows = {row["key"]: row for row in (study.answer or {})["tables"][0]["rows"]}
        synthetic, real = (rows[key]["mean"]["balanced_accuracy"]["value"] for key in ("synthetic x1", "real_equal"))
        assert len(answer.summary) == 2
        assert "In 2 comparisons on locked real test images" in answer.summary[0]
        assert f"{synthetic:.3f} [" in answer.networks[1]
        assert f"{100 * synthetic / real:.0f} % of the reference." in answer.networks[1]

    def test_of_the_gate_are_those_of_the_set_that_is_learnt(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        gate = gather(session, answered(session, who, version, storage)).gate
        learnt = session.scalars(select(SyntheticSet).where(SyntheticSet.filtered_from_id.is_not(None))).one()
        found = gates.gate_of_set(session, learnt)
        assert (gate.verdict, gate.path) == (found.verdict, f"/synthetic-sets/{learnt.id}")
        assert [(light.state, light.sentence) for light in gate.lights] == [
            (light["state"], light["sentence"]) for light in found.lights
        ]
        assert [light.name for light in gate.lights] == ["Leakage", "Copies", "Membership", "Utility"]


class TestOnSyntheticImages:
    def test_the_figure_has_interval_spread_n_and_method(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        report = gather(
            session, answered(session, who, version, storage, arms=["real_equal", "synthetic", "synthetic_test"])
        )
        table = next(each for each in report.results.tables if each.tested_on == "synthetic")
        (row,) = table.rows
        ((name, found),) = row.figures
        assert (name, table.num_images, len(row.seeds)) == ("Balanced accuracy", 40, 2)
        assert found.low < found.value < found.high
        assert row.spread is not None
        assert [seed.value for seed in row.seeds] != [None, None]
        assert any("over 40 single synthetic images" in method for method in table.methods)

    def test_nothing_is_said_to_be_behind_it_that_is_not(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage, arms=["real_equal", "synthetic_test"])
        shown = reporting.render(gather(session, study), storage, in_studio=False).html
        assert "of tests on synthetic images as counts alone" in shown


class TestGaps:
    def test_before_the_table_every_part_says_why_it_is_empty(
        self, session: Session, who: Identity, version: DatasetVersion
    ) -> None:
        report = gather(session, study_data.launched(session, who, version))
        for part in (report.answer, report.gate, report.data, report.results, report.baselines, report.recalls, report.samples,
                     report.fidelity, report.privacy, report.lime):  # fmt: skip
            assert part.missing.endswith("."), part
        assert (report.charts.no_arms, report.charts.no_curves) == (report.results.missing,) * 2
        assert any("still running" in limit for limit in report.limits)
        assert report.about.num_real_images == 0

    def test_of_one_size_there_is_no_curve(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage, sizes=[1])
        assert gather(session, study).charts.no_curves.startswith("The study has one size")
        with pytest.raises(NotFoundError, match=r"has no curve\. The study has one size"):
            reporting.curve_svg(study)
        with pytest.raises(NotFoundError, match="The table is not made yet"):
            reporting.arms_svg(study_data.launched(session, who, version, seeds=[5]))

    def test_of_a_sweep_without_a_curve_the_failed_size_is_named(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage, sizes=[1])
        table = study.answer["tables"][0]
        said = "A saturation point needs 3 sizes; there are 1. Size 2 has no result: Memory ran out."
        study.answer = {"tables": [{**table, "saturation": {"state": "too_few", "sentence": said}}]}
        assert gather(session, study).charts.no_curves == f"tf_efficientnet_lite0 on the locked test images: {said}"

    def test_without_synthetic_images_the_protocol_says_so(
        self, session: Session, who: Identity, version: DatasetVersion
    ) -> None:
        report = gather(session, study_data.launched(session, who, version, arms=["real", "real_equal"]))
        assert dict(report.protocol.facts)["Diffusion network"] == "none: no arm needs synthetic images"
        assert [drawn for _, _, drawn in report.protocol.budget] == [0, 0]
        assert not any("diffusion" in limit for limit in report.limits)

    def test_a_picture_that_is_not_in_storage_is_told_not_hidden(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        report = gather(session, answered(session, who, version, None))
        assert "The file is not in storage." in reporting.render(report, storage, in_studio=False).html

    def test_limits_name_seeds_failures_patients_and_few_images(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        limits = " ".join(gather(session, answered(session, who, version, storage, but=1)).limits)
        for words in (
            "2 seeds",
            "one diffusion training",
            "1 job of 27 failed",
            "Patients are not known",
            "disc 6",
            "other hospitals",
        ):
            assert words in limits


class TestPictures:
    def test_of_patients_are_training_images_only(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        report = gather(session, answered(session, who, version, storage))
        tests = set(session.scalars(select(Image.thumbnail_sha256).where(Image.split == Split.TEST)))
        real = {picture.sha256 for picture in report.pictures() if picture.is_real}
        assert len(real) == report.about.num_real_images
        assert len(real) >= 8
        assert not real & tests
        assert [len(each.real) for each in report.samples.classes] == [8, 8]
        assert "evenly picked: of 6 synthetic images and 42 training images." in report.samples.note

    def test_are_of_the_set_that_was_learnt_although_its_audit_was_deleted(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        before = gather(session, study)
        so_far = looking.progress(session, study)
        found = looking.audit_of(session, so_far)
        assert found is not None
        audits.delete(session, who, found)
        session.flush()
        after = gather(session, study)
        assert before.gate.path == after.gate.path
        assert before.samples == after.samples
        assert after.privacy.missing

    def test_of_patients_are_left_out_when_asked_and_nothing_else_changes(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = explained(session, who, version, storage)
        with_all, without = gather(session, study), gather(session, study, real_images=False)
        assert all(not picture.is_real for picture in without.pictures())
        assert without.about.num_real_images == 0
        assert without.results == with_all.results
        assert without.privacy.rows == with_all.privacy.rows
        assert len(without.privacy.pairs) == len(with_all.privacy.pairs)
        real = [picture.sha256 for picture in with_all.pictures() if picture.is_real]
        html = reporting.render(without, storage, in_studio=False).html
        assert html.count("data:image/png") == len(list(without.pictures())) > 0
        assert real
        assert "treat as patient data" not in html
        assert not set(real) & set(json.dumps(json.loads(without.to_json())).split('"'))


class TestLime:
    def test_shows_both_arms_of_each_image_with_their_figures(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = explained(session, who, version, storage)
        report = gather(session, study)
        told = (study.answer or {})["explanations"]
        image, first = told["images"][0], report.lime.images[0]
        assert [arm.name for arm in first.arms] == report.lime.arms == ["Real, equal budget", "Synthetic"]
        assert first.arms[1].figures[:2] == [
            ("Deletion area", image["deletion_auc"]["synthetic"], None),
            ("Insertion area", image["insertion_auc"]["synthetic"], None),
        ]
        border = image["border"]["synthetic"]
        assert first.arms[1].figures[3] == ("Weight on the border", border["positive"], border["area"])
        html = reporting.render(report, storage, in_studio=False).html
        row = next(each for each in told["summary"] if each["what"] == "border")
        for words in (
            f"{row['difference']:+.3f}",
            row["method"],
            told["shortcut"]["synthetic"]["sentence"],
            report.lime.agreement,
        ):
            assert str(escape(words)) in html
        assert f"{told['agreement']['overlap']:.2f}" in report.lime.agreement

    def test_of_deleted_explanations_leaves_the_figures(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = explained(session, who, version, storage)
        for item in session.scalars(select(ExplanationItem)):
            session.delete(item)
        session.flush()
        arm = gather(session, study).lime.images[0].arms[0]
        assert (arm.overlay, arm.link, arm.figures[0][0]) == (None, None, "Deletion area")
        assert arm.figures[0][1] is not None

    def test_that_could_not_be_compared_say_why(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        study.answer = {**(study.answer or {}), "explanations": {"reason": "An explanation failed: memory ran out."}}
        assert gather(session, study).lime.missing == "An explanation failed: memory ran out."


class TestRecord:
    def test_names_every_job_with_its_key_its_hash_and_its_error(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage, but=1)
        record = gather(session, study).record
        steps = looking.progress(session, study).steps
        assert [step.job.path for step in record.steps] == [f"/jobs/{each.job.id}" for each in steps]
        assert [step.step_key for step in record.steps] == [each.job.step_key for each in steps]
        assert record.steps[0].sha256 in set(session.scalars(select(Checkpoint.sha256)))
        assert record.steps[-1].error == "Memory ran out."
        assert [kind for kind, _ in record.specs] == [
            "train_diffusion",
            "sample",
            "audit_set",
            "train_classifier",
            "evaluate",
        ]

    def test_says_what_the_jobs_ran_with_and_how_many_noted_nothing(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        jobs = [each.job for each in looking.progress(session, study).steps]
        for job, torch in zip(jobs, ("2.13.0+cpu", "2.13.0+cpu", "2.11.0"), strict=False):
            job.ran_with = {"device": "cpu (2 cores)", "torch": torch}
        session.flush()
        record = gather(session, study).record
        assert record.ran_with == [("device", "cpu (2 cores)"), ("torch", "2.13.0+cpu (2 jobs), 2.11.0 (1 job)")]
        assert record.num_unnoted == len(jobs) - 3

    def test_the_version_is_that_of_the_package(self) -> None:
        told = tomllib.loads((Path(__file__).parents[3] / "pyproject.toml").read_text())
        assert told["project"]["version"] == VERSION


class TestRecipe:
    def test_leads_to_the_comparison_with_a_run_of_it_again(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        assert gather(session, study).reproduce.runs == []
        again = reproducing.reproduce(session, who, study)
        for each in (study, again):
            (run,) = gather(session, each).reproduce.runs
            assert run.path == f"/studies/compare?a={study.id}&b={again.id}"

    def test_is_the_spec_of_the_study_with_its_version(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        options = {"diffusion": {"preset": "tiny", "image_size": 32, "lr": 1e-5}, "name": "größe: #1 \U0001f600"}
        study = study_data.launched(session, who, version, **options)
        read = yaml.safe_load(reporting.recipe_of(session, study))
        assert read.pop("kind") == "study"
        assert StudySpec.model_validate(read) == StudySpec.model_validate(study.spec)
        assert read["diffusion"]["lr"] == 1e-5
        assert read["version_id"] == version.id
        assert version.manifest_sha256 in reporting.recipe_of(session, study)

    def test_is_one_that_phantom_run_takes(
        self, session: Session, who: Identity, version: DatasetVersion, tmp_path: Any
    ) -> None:
        study = study_data.launched(session, who, version, name="$x")
        file = tmp_path / "study.yaml"
        file.write_text(reporting.recipe_of(session, study), encoding="utf-8")
        (step,) = specfile.read_steps(file)
        assert (step["kind"], "name" in step) == ("study", False)

    def test_says_how_the_version_was_split_and_splits_an_upload_elsewhere_like_it(
        self, session: Session, who: Identity, version: DatasetVersion
    ) -> None:
        version.layout = {"seed": 5, "percent": {"train": 70, "val": 10, "test": 20}, "split_by": "units"}
        how = "at random, patients and look-alikes together"
        commands = gather(session, study_data.launched(session, who, version)).reproduce.commands
        assert commands[3][1] == "phantom datasets upload FOLDER --name NAME --seed 5"
        assert f"(split: {how}, 70 / 10 / 20 %, seed 5)" in commands[4][0]
        asked = Resplit(seed=3, train_percent=30, val_percent=20)
        study = study_data.launched(session, who, datasets.change(session, who, version.dataset, asked))
        commands = gather(session, study).reproduce.commands
        assert commands[3][1] == "phantom datasets upload FOLDER --name NAME"
        assert 'change("resplit", seed=3, train_percent=30, val_percent=20, by="units")' in commands[4][1]
        assert f"(split: {how}, 30 / 20 / 50 %, seed 3)" in commands[5][0]
        text = reporting.recipe_of(session, study)
        assert f"# Split: {how}, 30 / 20 / 50 %, seed 3." in text
        assert "# Split them there as here first" in text


class TestCharts:
    @pytest.mark.parametrize("draw", [reporting.arms_svg, reporting.curve_svg])
    def test_are_files_of_their_own(
        self, draw: Any, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        svg = ElementTree.fromstring(draw(answered(session, who, version, storage)))
        assert svg.tag == "{http://www.w3.org/2000/svg}svg"
        assert svg.attrib["role"] == "img"
        texts = [each.text for each in svg.iter("{http://www.w3.org/2000/svg}text")]
        assert "tf_efficientnet_lite0 on the locked test images" in texts

    def test_place_values_where_the_axis_says(
        self, session: Session, who: Identity, version: DatasetVersion, storage: Storage
    ) -> None:
        study = answered(session, who, version, storage)
        svg = ElementTree.fromstring(reporting.arms_svg(study))
        dots = [float(each.attrib["cx"]) for each in svg.iter("{http://www.w3.org/2000/svg}circle")]
        values = [row["mean"]["balanced_accuracy"]["value"] for row in (study.answer or {})["tables"][0]["rows"]]
        ratio = (dots[1] - dots[0]) / (values[1] - values[0])
        assert [dots[0] + ratio * (value - values[0]) for value in values] == pytest.approx(dots, abs=0.1)


def test_the_same_rows_give_the_same_report(
    session: Session, who: Identity, version: DatasetVersion, storage: Storage
) -> None:
    health_data.give(session, who, version)
    study = answered(session, who, version, storage)
    first, second = (json.loads(gather(session, study).to_json()) for _ in range(2))
    for told in (first, second):
        del told["about"]["made_at"]
    assert first == second
    assert [finding["severity"] for finding in first["data"]["findings"]] == ["serious", "serious", "warning", "note"]
    assert first["baselines"]["rows"][0][2]["value"] == 0.75


def test_a_failed_study_has_a_report_as_well(
    session: Session, who: Identity, version: DatasetVersion, storage: Storage
) -> None:
    study = study_data.launched(session, who, version)
    for job in session.scalars(select(Job)):
        job.state, job.error = JobState.FAILED, {"detail": "No room."}
    session.flush()
    report = gather(session, study)
    assert report.about.state == "failed"
    assert "No room." in reporting.render(report, storage, in_studio=False).html
