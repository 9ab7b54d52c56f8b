"""What jobs made, through the client, against a real server."""

import json
from pathlib import Path

import pytest
from phantom import JobFailed, PhantomError, ProblemError, Studio

from tests.client.conftest import Served
from tests.lab import Lab


def test_a_synthetic_set_downloads_as_class_folders_with_metadata_and_card(
    studio: Studio, lab: Lab, tmp_path: Path
) -> None:
    synthetic = studio.synthetic_sets.get(lab.synthetic_set)
    assert (synthetic.num_images, synthetic.counts) == (8, {"disc": 4, "ring": 4})
    synthetic.download(tmp_path / "out")
    pictures = sorted(path.relative_to(tmp_path / "out").as_posix() for path in (tmp_path / "out").rglob("*.png"))
    assert pictures == [f"disc/{k:06d}.png" for k in range(4)] + [f"ring/{k:06d}.png" for k in range(4, 8)]
    lines = [json.loads(line) for line in (tmp_path / "out" / "metadata.jsonl").read_text().splitlines()]
    assert [line["file_name"] for line in lines] == pictures
    assert "Synthetic images" in (tmp_path / "out" / "README.md").read_text()


def test_synthetic_images_are_listed_by_class(studio: Studio, lab: Lab) -> None:
    synthetic = studio.synthetic_sets.get(lab.synthetic_set)
    assert [image["index"] for image in synthetic.images(label="ring")] == [4, 5, 6, 7]
    assert len(synthetic.images(limit=3)) == 3


def test_an_evaluation_gives_its_figures(studio: Studio, lab: Lab) -> None:
    evaluation = studio.evaluations.get(lab.evaluation)
    assert (evaluation.accuracy, evaluation.balanced_accuracy) == (0.75, 0.7)
    assert evaluation.confusion_matrix == [[2, 0], [1, 1]]
    assert evaluation.intervals["accuracy"] == (0.75, 0.5, 1.0)
    assert evaluation.intervals.keys() == {"accuracy", "balanced_accuracy"}
    assert "0.750 (0.500 to 1.000)" in repr(evaluation)
    assert len(evaluation.predictions()) == evaluation.num_images == 4
    assert all(each["label"] == "disc" for each in evaluation.predictions(label="disc"))


def test_networks_and_explanations_download(studio: Studio, lab: Lab, tmp_path: Path) -> None:
    assert studio.checkpoints.get(lab.checkpoint).copy_watch is None
    studio.checkpoints.get(lab.checkpoint).download(tmp_path / "checkpoint")
    assert (tmp_path / "checkpoint" / "network.safetensors").read_bytes() == b"weights"
    studio.classifiers.get(lab.classifier).download(tmp_path / "classifier")
    assert json.loads((tmp_path / "classifier" / "config.json").read_text())["architecture"] == "tf_efficientnet_lite0"
    explanation = studio.explanations.get(lab.explanation)
    assert [item["predicted"] for item in explanation.items] == ["ring"]
    explanation.download(tmp_path / "lime")
    assert [path.name for path in sorted((tmp_path / "lime").rglob("*.png"))] == [
        "overlay.png",
        "picture.png",
        "segments.png",
    ]


def test_an_explanation_says_whether_to_believe_it(studio: Studio, lab: Lab, tmp_path: Path) -> None:
    explanation = studio.explanations.get(lab.explanation)
    assert (explanation.deletion_auc, explanation.insertion_auc) == (0.375, 0.675)
    assert (explanation.overlap, explanation.correlation) == (0.5, None)
    assert explanation.summary["deletion_auc"] == (1, 0.375, 0.375, 0.375)
    assert explanation.summary.keys() == {"deletion_auc", "insertion_auc", "overlap"}
    assert explanation.items[0]["faithfulness"]["shares"] == [0, 0.25, 1]
    explanation.download(tmp_path / "lime")
    (image,) = json.loads((tmp_path / "lime" / "regions.json").read_text())
    assert (image["faithfulness"]["insertion"], image["stability"]["seeds"]) == ([0.2, 0.7, 0.8], [7, 8, 9])


def test_jobs_are_asked_for_with_the_specs_of_their_kinds(studio: Studio, lab: Lab) -> None:
    data, synthetic = studio.datasets.get(lab.dataset), studio.synthetic_sets.get(lab.synthetic_set)
    checkpoint, classifier = studio.checkpoints.get(lab.checkpoint), studio.classifiers.get(lab.classifier)
    training = studio.train_diffusion(data, preset="small", image_size=32, num_steps=300, seed=7)
    assert (training.state, training.spec["num_steps"], training.spec["seed"], training.spec["batch_size"]) == (
        "queued",
        300,
        7,
        32,
    )
    assert studio.sample(checkpoint, per_class=50, seed=1).spec["per_class"] == 50
    on_synthetic = studio.train_classifier(synthetic, architecture="tf_efficientnet_lite0", epochs=2, seed=0).spec
    assert (on_synthetic["train_on"], on_synthetic["dataset_id"], on_synthetic["synthetic_set_id"]) == (
        "synthetic",
        data.id,
        synthetic.id,
    )
    assert studio.train_classifier(data).spec["train_on"] == "real"
    assert studio.train_classifier(both=(data, synthetic)).spec["train_on"] == "both"
    tested = studio.evaluate(classifier, data.split("val")).spec
    assert (tested["dataset_id"], tested["split"]) == (data.id, "val")
    explained = studio.explain(classifier, data.split("test").images(limit=2), num_samples=200).spec
    assert (len(explained["image_ids"]), explained["num_samples"], explained["num_segments"]) == (2, 200, 20)
    images = data.split("test").images(limit=2)
    assert studio.explain(classifier, images, stability_seeds=3).spec["stability_seeds"] == 3


def test_an_image_file_of_ones_own_is_uploaded_to_be_explained(studio: Studio, lab: Lab, tmp_path: Path) -> None:
    picture = tmp_path / "mine.png"
    picture.write_bytes(studio.transport.send("GET", f"/api/v1/images/{lab.image}/content", again=True).content)
    job = studio.explain(studio.classifiers.get(lab.classifier), [str(picture)], num_samples=200)
    assert job.spec["uploaded_image_ids"] == [lab.uploaded_image + 1]
    (tmp_path / "not.png").write_text("no image")
    with pytest.raises(ProblemError, match="cannot be read"):
        studio.upload_image(tmp_path / "not.png")


def test_an_option_that_is_not_known_is_refused_by_name(studio: Studio, lab: Lab) -> None:
    with pytest.raises(ProblemError, match="not known") as raised:
        studio.sample(studio.checkpoints.get(lab.checkpoint), per_class=5, guidence=3)
    assert raised.value.status == 422
    assert raised.value.errors[0]["pointer"] == "#/guidence"


def test_nothing_to_train_on_is_said_at_once(studio: Studio) -> None:
    with pytest.raises(PhantomError, match="what to train on"):
        studio.train_classifier()


def test_an_estimate_comes_before_the_job(studio: Studio, lab: Lab) -> None:
    found = studio.estimate("train_diffusion", dataset_id=lab.dataset, preset="tiny", num_steps=100)
    assert 0 < found["seconds_low"] <= found["seconds_high"]
    assert found["memory_bytes"] > 0
    assert not [job for job in studio.jobs() if job.title.startswith("Diffusion on")]


def test_a_token_that_may_read_only_cannot_start_work(served: Served, lab: Lab) -> None:
    with Studio(served.url, served.read_token) as reader:
        assert reader.checkpoints.get(lab.checkpoint).image_size == 16
        with pytest.raises(ProblemError, match="read only") as raised:
            reader.sample(reader.checkpoints.get(lab.checkpoint), per_class=1)
    assert raised.value.status == 403


def test_a_job_that_has_not_ended_has_made_nothing_yet(studio: Studio, lab: Lab) -> None:
    with pytest.raises(JobFailed, match="has not ended"):
        studio.job(lab.job).made()


def test_results_are_listed(studio: Studio, lab: Lab) -> None:
    assert [each.id for each in studio.checkpoints] == [lab.checkpoint]
    assert [each.architecture for each in studio.classifiers.list(limit=1)] == ["tf_efficientnet_lite0"]
    assert studio.evaluations.list(classifier_id=lab.classifier)[0].id == lab.evaluation
    assert studio.explanations.list(classifier_id=999) == []


def test_an_audit_gives_lights_figures_pairs_and_the_set_to_train_on(studio: Studio, lab: Lab) -> None:
    audit = studio.audits.get(lab.audit)
    assert [light.name for light in audit.lights] == ["leakage", "copies", "membership", "utility"]
    assert audit.lights[3].state == "grey"
    assert audit.fidelity["extractors"][0]["extractor"]["architecture"] == "tf_efficientnet_lite0"
    assert audit.privacy["spaces"]["pixels"]["copies"]["rate"]["count"] == audit.privacy["num_flagged"]
    assert (audit.num_flagged, len(audit.pairs)) == (2, 8)
    assert audit.filtered.num_images == 6
    assert audit.filtered.filtered_from_id == lab.synthetic_set
    assert repr(audit).startswith("<Audit 1: leakage green, copies ")


def test_an_audit_is_asked_for_by_the_set(studio: Studio, lab: Lab) -> None:
    job = studio.audit(studio.synthetic_sets.get(lab.synthetic_set), drop_copies=False, seed=3)
    assert (job.data["kind"], job.data["spec"]["drop_copies"], job.data["spec"]["seed"]) == ("audit_set", False, 3)
    job.cancel()


def test_a_set_has_a_gate_that_a_person_may_override(studio: Studio, lab: Lab) -> None:
    synthetic = studio.synthetic_sets.get(lab.synthetic_set)
    gate = synthetic.gate
    assert (gate.verdict, gate.is_releasable, gate.override) == ("not releasable", False, None)
    assert [light.name for light in gate.lights] == ["leakage", "copies", "membership", "utility"]
    assert "copies" in gate.stopped_by
    assert repr(gate).startswith("<Gate: not releasable; leakage ")
    released = synthetic.release("Ethics board, 12 March.")
    assert (released.verdict, released.is_releasable) == ("released by override", False)
    assert released.override is not None
    assert released.override.reason == "Ethics board, 12 March."
    assert synthetic.withdraw_release().verdict == "not releasable"
    with pytest.raises(ProblemError, match="10 characters"):
        synthetic.release("no")
