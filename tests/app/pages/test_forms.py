"""Forms made from specs: fields, presets as placeholders, and errors beside fields."""

import pytest
from starlette.datastructures import FormData

from app.core.errors import BadInputError
from app.pages.forms import Choice, Given, errors_of, make_form, parse
from models import JobKind
from models.specs import SPEC_OF, SampleSpec, TrainDiffusionSpec


@pytest.mark.parametrize("kind", list(JobKind))
def test_every_option_of_every_kind_has_a_field_or_is_counts(kind: JobKind) -> None:
    form = make_form(kind, Given(), rows={}, classes=["a"])
    assert {field.name for field in form.fields} == set(SPEC_OF[kind].model_fields) - {"kind"}
    assert all(field.help for field in form.fields)


def test_a_field_has_unit_range_help_and_default() -> None:
    seed = make_form(JobKind.SAMPLE, Given(), rows={})["seed"]
    assert (seed.control, seed.value, seed.minimum) == ("number", "0", 0)
    steps = make_form(JobKind.SAMPLE, Given(), rows={})["num_steps"]
    assert (steps.label, steps.unit, steps.maximum, steps.is_more) == ("Steps", "steps", 1000, True)


class TestPresets:
    def test_what_the_preset_fills_in_is_a_placeholder(self) -> None:
        form = make_form(JobKind.TRAIN_DIFFUSION, Given({"preset": "tiny"}), rows={})
        assert (form["image_size"].value, form["image_size"].placeholder) == ("", "32")
        assert form["patch_size"].choices[0] == Choice("", "2 (preset)")

    def test_what_was_typed_stays_when_the_preset_changes(self) -> None:
        form = make_form(JobKind.TRAIN_DIFFUSION, Given({"preset": "base", "num_steps": "77"}), rows={})
        assert form["num_steps"].value == "77"
        assert form["image_size"].placeholder == "64"

    def test_a_stored_spec_shows_only_what_differs_from_its_preset(self) -> None:
        spec = TrainDiffusionSpec.model_validate({"dataset_id": 3, "preset": "tiny", "num_steps": 50})
        given = Given.of_spec(spec.model_dump(mode="json"))
        assert given.values["num_steps"] == "50"
        assert "lr" not in given.values
        again, errors = parse(JobKind.TRAIN_DIFFUSION, given)
        assert (again, errors) == (spec, {})


class TestParse:
    def test_the_last_value_counts_so_that_an_unticked_box_is_false(self) -> None:
        data = FormData(
            [
                ("class_balanced", "false"),
                ("hflip", "false"),
                ("hflip", "true"),
                ("dataset_id", "1"),
                ("preset", "tiny"),
            ]
        )
        spec, _ = parse(JobKind.TRAIN_DIFFUSION, Given.of(data))
        assert isinstance(spec, TrainDiffusionSpec)
        assert (spec.class_balanced, spec.hflip) == (False, True)

    def test_lists_are_split_at_blanks_and_commas(self) -> None:
        spec, _ = parse(JobKind.TRAIN_DIFFUSION, Given({"dataset_id": "1", "block_channels": "32, 64 128"}))
        assert isinstance(spec, TrainDiffusionSpec)
        assert spec.block_channels == [32, 64, 128]

    def test_counts_come_class_by_class(self) -> None:
        data = FormData([("checkpoint_id", "1"), ("counts.disc", "5"), ("counts.ring", "")])
        spec, _ = parse(JobKind.SAMPLE, Given.of(data))
        assert isinstance(spec, SampleSpec)
        assert spec.counts == {"disc": 5}

    def test_says_what_is_wrong_beside_the_option(self) -> None:
        spec, errors = parse(JobKind.SAMPLE, Given({"per_class": "0", "guidance": "much"}))
        assert spec is None
        assert errors["checkpoint_id"] == ["This is needed."]
        assert errors["per_class"] == ["Give a value greater than or equal to 1."]
        assert errors["guidance"] == ["Give a valid number."]

    def test_what_concerns_several_options_stands_at_the_top(self) -> None:
        _, errors = parse(JobKind.SAMPLE, Given({"checkpoint_id": "1"}))
        assert errors == {"": ["Give either per_class or counts, and not both."]}


def test_a_services_error_is_shown_at_its_option_and_its_sentence_at_the_top() -> None:
    error = BadInputError(
        "The name is taken.",
        errors=[{"pointer": "/name", "detail": "Taken."}, {"pointer": "#/unknown/0", "detail": "Odd."}],
    )
    assert errors_of(error, ["name"]) == {"name": ["Taken."], "": ["The name is taken.", "Odd."]}


def test_an_error_behind_all_settings_opens_them() -> None:
    form = make_form(JobKind.SAMPLE, Given(), rows={}, errors={"guidance": ["Give a valid number."]})
    assert form.opens_more
