"""Specs: presets fill in what is not given, options that do not fit together are refused in words."""

from typing import Any

import pytest
from pydantic import ValidationError

from models import JobKind, TrainOn
from models.specs import (
    SPEC_OF,
    AuditSpec,
    EvaluateSpec,
    ExplainSpec,
    ImportSpec,
    SampleSpec,
    Spec,
    TrainClassifierSpec,
    TrainDiffusionSpec,
    diffusion_preset,
    job_spec_adapter,
)
from models.specs.audit import mirrors_of


def diffusion(**options: Any) -> TrainDiffusionSpec:
    return TrainDiffusionSpec(dataset_id=1, **options)


def refused(make: Any, *args: Any, **options: Any) -> str:
    with pytest.raises(ValidationError) as caught:
        make(*args, **options)
    return str(caught.value)


class TestTheScriptOfTheGuide:
    def test_its_calls_are_complete_specs(self) -> None:
        diffusion(preset="small", image_size=32, num_steps=300, seed=7)
        SampleSpec(checkpoint_id=1, per_class=50, seed=1)
        TrainClassifierSpec(synthetic_set_id=1, architecture="tf_efficientnet_lite0", epochs=2, seed=0)
        EvaluateSpec(classifier_id=1)
        ExplainSpec(classifier_id=1, image_ids=[1, 2, 3, 4], num_samples=200)


class TestEveryKind:
    @pytest.mark.parametrize("kind", list(JobKind))
    def test_has_a_spec_that_names_it(self, kind: JobKind) -> None:
        assert SPEC_OF[kind].model_fields["kind"].default == kind

    @pytest.mark.parametrize("spec", SPEC_OF.values())
    def test_describes_each_of_its_options(self, spec: type[Spec]) -> None:
        options = spec.model_json_schema()["properties"]
        assert [name for name, option in options.items() if name != "kind" and "description" not in option] == []

    @pytest.mark.parametrize("spec", SPEC_OF.values())
    def test_refuses_options_it_does_not_know(self, spec: type[Spec]) -> None:
        assert "Extra inputs are not permitted" in refused(spec, dataset_id=1, nonsense=1)

    def test_comes_back_from_json_as_it_was(self) -> None:
        for spec in (
            diffusion(),
            SampleSpec(checkpoint_id=1, per_class=2),
            ExplainSpec(classifier_id=1, image_ids=[3]),
        ):
            assert job_spec_adapter.validate_python(spec.model_dump(mode="json")) == spec


class TestDiffusionPresets:
    @pytest.mark.parametrize("preset", ["tiny", "small", "base", "large"])
    @pytest.mark.parametrize("size", [32, 64, 128, 256])
    def test_fit_every_usual_size(self, preset: str, size: int) -> None:
        assert diffusion(preset=preset, image_size=size).image_size == size

    def test_are_those_of_the_largest_resolution_not_above(self) -> None:
        assert diffusion_preset("small", 96)["block_channels"] == diffusion_preset("small", 64)["block_channels"]

    def test_give_way_to_what_is_given(self) -> None:
        spec = diffusion(preset="tiny", lr=0.5, block_channels=[8, 16, 24])
        assert (spec.lr, spec.block_channels) == (0.5, [8, 16, 24])
        assert spec.batch_size == diffusion_preset("tiny")["batch_size"]

    def test_attention_follows_the_levels_given(self) -> None:
        assert diffusion(preset="small", block_channels=[8, 16]).attention_levels == [1]

    def test_a_patch_of_one_takes_the_stem_away(self) -> None:
        assert diffusion(preset="small", patch_size=1).stem_channels == 0

    def test_a_short_training_warms_up_in_its_first_tenth(self) -> None:
        assert diffusion(preset="small", num_steps=300).warmup_steps == 30
        assert diffusion(preset="small", num_steps=1_000_000).warmup_steps == diffusion_preset("small")["warmup_steps"]

    def test_a_long_training_is_not_checkpointed_every_hundred_steps(self) -> None:
        assert diffusion(num_steps=300).checkpoint_every == 100
        assert diffusion(num_steps=100_000).checkpoint_every == 1000


class TestDiffusionIsRefused:
    def test_with_a_size_that_cannot_be_halved(self) -> None:
        assert "image_size 30 does not fit this network" in refused(diffusion, preset="small", image_size=30)
        assert "use 24 or 32" in refused(diffusion, preset="small", image_size=30)

    def test_with_attention_at_a_level_that_is_not_there(self) -> None:
        assert "levels 0 to 1" in refused(diffusion, block_channels=[8, 16], attention_levels=[2])

    def test_with_a_batch_that_cannot_be_split(self) -> None:
        assert "cannot be split into 3 equal passes" in refused(diffusion, batch_size=32, accumulation=3)

    def test_with_a_stem_at_full_resolution(self) -> None:
        assert "set stem_channels to 0" in refused(diffusion, patch_size=1, stem_channels=16)

    def test_with_a_width_that_normalisation_cannot_group(self) -> None:
        assert "multiple of 8" in refused(diffusion, block_channels=[12, 16])

    def test_with_a_preset_that_is_not_there(self) -> None:
        assert "'tiny', 'small', 'base' or 'large'" in refused(diffusion, preset="huge")


class TestSample:
    def test_wants_one_way_to_say_how_many(self) -> None:
        assert "either per_class or counts" in refused(SampleSpec, checkpoint_id=1)
        assert "either per_class or counts" in refused(SampleSpec, checkpoint_id=1, per_class=1, counts={"a": 1})

    def test_wants_at_least_one_image(self) -> None:
        assert "no image at all" in refused(SampleSpec, checkpoint_id=1, counts={"a": 0})

    def test_guidance_begins_before_it_ends(self) -> None:
        said = refused(SampleSpec, checkpoint_id=1, per_class=1, guidance_start=0.5, guidance_stop=0.5)
        assert "guidance_start is 0.5 and guidance_stop 0.5" in said
        assert "set guidance to 1" in said


class TestTrainClassifier:
    def test_learns_from_the_synthetic_set_that_is_named(self) -> None:
        assert TrainClassifierSpec(synthetic_set_id=1).train_on == TrainOn.SYNTHETIC
        assert TrainClassifierSpec(dataset_id=1).train_on == TrainOn.REAL

    def test_wants_the_set_it_learns_from(self) -> None:
        assert "no synthetic_set_id is given" in refused(TrainClassifierSpec, dataset_id=1, train_on="both")
        assert "set train_on to synthetic or both" in refused(
            TrainClassifierSpec, dataset_id=1, synthetic_set_id=1, train_on="real"
        )

    def test_wants_some_images(self) -> None:
        assert "name at least one" in refused(TrainClassifierSpec)


class TestExplain:
    def test_wants_an_image(self) -> None:
        assert "no image to explain" in refused(ExplainSpec, classifier_id=1)

    def test_wants_ten_samples_for_each_superpixel(self) -> None:
        message = refused(ExplainSpec, classifier_id=1, image_ids=[1], num_samples=100, num_segments=20)
        assert "use at least 200 samples or at most 10 superpixels" in message

    def test_measures_stability_only_where_it_is_asked_for(self) -> None:
        assert ExplainSpec(classifier_id=1, image_ids=[1], seed=7).seeds == [7]

    def test_further_seeds_follow_the_first_and_are_seeds_of_jobs_themselves(self) -> None:
        assert ExplainSpec(classifier_id=1, image_ids=[1], seed=7, stability_seeds=2).seeds == [7, 8, 9]
        assert ExplainSpec(classifier_id=1, image_ids=[1], seed=2**31 - 1, stability_seeds=1).seeds == [2**31 - 1, 0]


def test_an_import_leaves_images_to_test_on() -> None:
    assert "nothing to test on" in refused(ImportSpec, upload_id=1, name="a", train_percent=90, val_percent=10)


@pytest.mark.parametrize("wrong", [{"dataset_id": True}, {"synthetic_set_id": False}, {"timesteps": [True]}])
def test_true_is_no_number(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="not true or false"):
        AuditSpec.model_validate({"synthetic_set_id": 1, **wrong})
    assert AuditSpec.model_validate({"synthetic_set_id": 1, "drop_copies": False}).drop_copies is False


def test_a_private_training_balances_no_classes_unless_that_is_asked_for_which_is_refused():
    assert TrainDiffusionSpec(dataset_id=1, dp_epsilon=8).class_balanced is False
    assert TrainDiffusionSpec(dataset_id=1).class_balanced is True
    with pytest.raises(ValidationError, match="With dp_epsilon, class_balanced must be off"):
        TrainDiffusionSpec(dataset_id=1, dp_epsilon=8, class_balanced=True)
    with pytest.raises(ValidationError, match="precision must be auto or fp32"):
        TrainDiffusionSpec(dataset_id=1, dp_epsilon=8, precision="bf16")
    with pytest.raises(ValidationError, match="With dp_epsilon, stop_on_copies must be off"):
        TrainDiffusionSpec(dataset_id=1, dp_epsilon=8, stop_on_copies=True)
    with pytest.raises(ValidationError, match="dp_delta is given without dp_epsilon"):
        TrainDiffusionSpec(dataset_id=1, dp_delta=1e-5)


@pytest.mark.parametrize(("flips", "searched"), [
    ({"hflip": False, "vflip": False}, ["left_right"]), ({"hflip": True, "vflip": False}, ["left_right"]),
    ({"hflip": False, "vflip": True}, ["left_right", "top_bottom"]), ({"hflip": True, "vflip": True}, ["left_right", "top_bottom", "rotated"]),
])  # fmt: skip
def test_copies_mirrored_left_right_are_always_searched_for(flips, searched):
    assert mirrors_of(**flips) == searched
