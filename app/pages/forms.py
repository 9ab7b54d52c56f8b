"""Forms made from specs: every option of a job kind as a field with its type, range, unit, help and errors.

An option that a preset fills in is left empty in the form and shows the preset's value as a placeholder, so
changing the preset changes what was not touched and nothing else.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from pydantic import ValidationError
from starlette.datastructures import FormData, QueryParams

from app.core.errors import StudioError
from app.pages.words import sentence
from models import JobKind
from models.specs import DEFAULT_SIZES, SPEC_OF, AskedSpec, diffusion_preset

WORDS = re.compile(r"[^\s,;]+")
ARCHITECTURES = (
    "tf_efficientnet_lite0", "tf_efficientnet_lite1", "tf_efficientnet_lite2", "resnet18", "resnet34", "resnet50",
    "efficientnet_b0", "mobilenetv3_small_100", "mobilenetv3_large_100", "convnext_tiny", "densenet121",
)  # fmt: skip


@dataclass(frozen=True)
class Choice:
    value: str
    label: str


@dataclass(frozen=True)
class Field:
    """One option. control: number, text, check, select, list, counts, cards, hidden or images."""

    name: str
    label: str
    control: str
    help: str
    value: str = ""
    placeholder: str = ""
    unit: str = ""
    is_integer: bool = False
    minimum: float | None = None
    maximum: float | None = None
    is_required: bool = False
    is_more: bool = False
    choices: tuple[Choice, ...] = ()
    counts: tuple[tuple[str, str], ...] = ()  # (class, number as typed)
    suggestions: tuple[str, ...] = ()
    errors: tuple[str, ...] = ()


@dataclass(frozen=True)
class Form:
    """The fields of one kind and what is wrong with the whole."""

    kind: JobKind
    fields: tuple[Field, ...]
    errors: tuple[str, ...] = ()
    hint: str = ""

    @property
    def main(self) -> list[Field]:
        return [f for f in self.fields if not f.is_more and f.control not in ("hidden", "cards")]

    @property
    def more(self) -> list[Field]:
        return [f for f in self.fields if f.is_more and f.control != "hidden"]

    @property
    def hidden(self) -> list[Field]:
        return [f for f in self.fields if f.control == "hidden"]

    @property
    def cards(self) -> list[Field]:
        return [f for f in self.fields if f.control == "cards"]

    @property
    def opens_more(self) -> bool:
        """Whether "all settings" must be open: something in there is wrong."""
        return any(f.errors for f in self.more)

    def __getitem__(self, name: str) -> Field:
        return next(f for f in self.fields if f.name == name)


@dataclass(frozen=True)
class Given:
    """What was typed: single values, and counts per class."""

    values: Mapping[str, str] = field(default_factory=dict)
    counts: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def of(cls, data: FormData | QueryParams) -> "Given":
        """The last value of each name: an unticked box is preceded by a hidden "false". Ticked images add up."""
        values: dict[str, str] = {}
        counts: dict[str, str] = {}
        for name, value in data.multi_items():
            if not isinstance(value, str):
                continue
            if name.startswith("counts."):
                counts[name.removeprefix("counts.")] = value.strip()
            elif name.endswith("image_ids") and values.get(name):
                values[name] += f" {value.strip()}"
            else:
                values[name] = value.strip()
        return cls(values, counts)

    @classmethod
    def of_spec(cls, spec: Mapping[str, Any]) -> "Given":
        """A stored spec as if it had been typed; what its preset says anyway is left out."""
        known = SPEC_OF[JobKind(spec["kind"])].model_fields
        same = _preset_of(spec) if spec["kind"] == JobKind.TRAIN_DIFFUSION else {}
        values = {
            name: _typed(value)
            for name, value in spec.items()
            if name in known and name not in ("kind", "counts") and value is not None
            and (name not in same or same[name] != value or name == "image_size")
        }  # fmt: skip
        return cls(values, {name: str(number) for name, number in (spec.get("counts") or {}).items()})


def _typed(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    return str(value)


def _preset_of(values: Mapping[str, Any]) -> dict[str, Any]:
    """What the preset named in `values` fills in at the image size given there."""
    name = values.get("preset") or "small"
    size = str(values.get("image_size") or "")
    return diffusion_preset(name, int(size) if size.isdigit() and int(size) else None) if name in DEFAULT_SIZES else {}


def make_form(
    kind: JobKind,
    given: Given,
    *,
    rows: Mapping[str, Sequence[Choice]],
    classes: Sequence[str] = (),
    errors: Mapping[str, Sequence[str]] | None = None,
    hint: str = "",
) -> Form:
    """The form of `kind` as it was filled in. rows: choices of the options that name rows; errors: by option, "" for the whole."""
    schema = SPEC_OF[kind].model_json_schema()
    preset = (
        {name: _typed(value) for name, value in _preset_of(given.values).items()}
        if kind == JobKind.TRAIN_DIFFUSION
        else {}
    )
    errors = errors or {}
    fields = []
    for name, option in schema["properties"].items():
        if name == "kind":
            continue
        made = _field(name, _resolved(option, schema), given, preset.get(name, ""), rows)
        if name in schema.get("required", []) and name not in preset:
            made = replace(made, is_required=True)
        if made.control == "counts":
            made = replace(made, counts=tuple((each, given.counts.get(each, "")) for each in classes))
        fields.append(replace(made, errors=tuple(errors.get(name, ()))))
    return Form(kind, tuple(f for f in fields if f.control != "counts" or f.counts), tuple(errors.get("", ())), hint)


def _resolved(option: dict[str, Any], schema: dict[str, Any]) -> dict[str, Any]:
    """The option with references and "or nothing" taken apart."""
    for variant in option.get("anyOf", []):
        if variant.get("type") != "null":
            option = {**option, **variant}
    if "$ref" in option:
        option = {**schema["$defs"][option["$ref"].rsplit("/", 1)[1]], **option}
    return option


def _field(name: str, option: dict[str, Any], given: Given, preset: str, rows: Mapping[str, Sequence[Choice]]) -> Field:
    default = option.get("default")
    shown = given.values.get(name, "" if default is None or preset else _typed(default))
    return Field(
        name=name,
        label=sentence(name),
        control=_control(name, option),
        help=option.get("description", ""),
        value=shown,
        placeholder=preset,
        unit=option.get("unit", ""),
        is_integer=option.get("type") == "integer",
        minimum=option.get("minimum", option.get("exclusiveMinimum")),
        maximum=option.get("maximum"),
        is_more=option.get("group") == "more",
        choices=_choices(name, option, preset, rows),
        suggestions=ARCHITECTURES if name == "architecture" else (),
    )


def _control(name: str, option: dict[str, Any]) -> str:
    if option.get("hidden"):
        return "hidden"
    if name == "preset":
        return "cards"
    if name in ("image_ids", "uploaded_image_ids"):
        return "images"
    if name.endswith("_id") or "enum" in option:
        return "select"
    by_type = {"boolean": "check", "integer": "number", "number": "number", "array": "list", "object": "counts"}
    return by_type.get(option.get("type", ""), "text")


def _choices(
    name: str, option: dict[str, Any], preset: str, rows: Mapping[str, Sequence[Choice]]
) -> tuple[Choice, ...]:
    if name.endswith("_id") and not option.get("hidden"):
        may_be_empty = "default" in option
        return ((Choice("", "none"),) if may_be_empty else ()) + tuple(rows.get(name, ()))
    values = tuple(Choice(str(value), str(value)) for value in option.get("enum", ()))
    return (Choice("", f"{preset} (preset)"), *values) if preset else values


def parse(kind: JobKind, given: Given) -> tuple[AskedSpec | None, dict[str, list[str]]]:
    """The spec that was typed, or what is wrong with it by option ("" for the whole)."""
    data: dict[str, Any] = {"kind": kind}
    properties = SPEC_OF[kind].model_json_schema()["properties"]
    for name, text in given.values.items():
        if name in properties and text:
            is_list = (
                _resolved(properties[name], {"$defs": {}} | SPEC_OF[kind].model_json_schema()).get("type") == "array"
            )
            data[name] = WORDS.findall(text) if is_list else text
    if counts := {name: number for name, number in given.counts.items() if number}:
        data["counts"] = counts
    try:
        return SPEC_OF[kind].model_validate(data), {}  # type: ignore[return-value]  # SPEC_OF's values make up JobSpec; no page has a form for a part
    except ValidationError as error:
        return None, by_option(error)


def by_option(error: ValidationError) -> dict[str, list[str]]:
    """What is wrong, by option ("" for the whole)."""
    found: dict[str, list[str]] = {}
    for each in error.errors():
        option = str(each["loc"][0]) if each["loc"] else ""
        found.setdefault(option, []).append(_said(each))
    return found


def _said(error: Any) -> str:
    """Pydantic's words, made to fit a person who looks at a field."""
    if error["type"] == "missing":
        return "This is needed."
    message = str(error["msg"]).removeprefix("Value error, ").removeprefix("Input should be ")
    if message == error["msg"]:
        return message
    said = message[:1].upper() + message[1:] if error["type"] == "value_error" else f"Give {_article(message)}"
    return said.rstrip(".") + "."


def _article(message: str) -> str:
    if message.startswith(("greater", "less")):
        return f"a value {message}"
    return message.removesuffix(", unable to parse string as an integer").removesuffix(
        ", unable to parse string as a number"
    )


def errors_of(error: StudioError, known: Sequence[str]) -> dict[str, list[str]]:
    """A service's error by option, as far as it points at options that the form has; the rest stands at the top."""
    found: dict[str, list[str]] = {}
    for each in error.errors:
        option = each["pointer"].lstrip("#/").split("/")[0]
        found.setdefault(option if option in known else "", []).append(each["detail"])
    found.setdefault("", []).insert(0, error.detail)
    return found
