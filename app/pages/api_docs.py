"""/api/v1/docs: the reference of the REST API, drawn by the server from its own OpenAPI document.

No viewer is loaded, so the page works offline, without script, and under a policy that allows none.
"""

import json
import re
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi import APIRouter, Request
from starlette.responses import HTMLResponse

from app.core import errors
from app.pages.render import render

router = APIRouter(include_in_schema=False)
JsonObject = dict[str, Any]


@dataclass(frozen=True)
class Field:
    """A parameter or a field of a body. place: path, query, header or body; links: schemas that it is made of."""

    name: str
    place: str
    type: str
    is_required: bool
    description: str
    default: str
    links: list[str]


@dataclass(frozen=True)
class Answer:
    status: str
    description: str
    schema: str


@dataclass(frozen=True)
class Operation:
    anchor: str
    method: str
    path: str
    summary: str
    fields: list[Field]
    bodies: list[str]
    examples: list[str]
    answers: list[Answer]
    problems: list[str]


@dataclass(frozen=True)
class Section:
    name: str
    description: str
    operations: list[Operation]


@dataclass(frozen=True)
class Schema:
    name: str
    description: str
    fields: list[Field]
    values: str


@dataclass(frozen=True)
class ProblemKind:
    code: str
    status: int
    title: str


@dataclass(frozen=True)
class ApiDocsPage:
    introduction: list[str]
    sections: list[Section]
    schemas: list[Schema]
    problems: list[ProblemKind]


@router.get("/api/v1/docs")
def show_api_docs(request: Request) -> HTMLResponse:
    """The reference of the REST API."""
    return render(request, "docs/api.html", make_page(request.app.openapi()))


def make_page(document: JsonObject) -> ApiDocsPage:
    """document: an OpenAPI document whose schemas stand in its components."""
    introduction = [part.replace("**", "").replace("`", "") for part in document["info"]["description"].split("\n\n")]
    return ApiDocsPage(introduction, _sections(document), _schemas(document), _problem_kinds())


def _sections(document: JsonObject) -> list[Section]:
    sections = []
    for tag in document["tags"]:
        operations = [
            _operation(method, path, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
            if tag["name"] in operation["tags"]
        ]
        sections.append(Section(tag["name"], tag["description"], operations))
    return sections


def _operation(method: str, path: str, operation: JsonObject) -> Operation:
    content: JsonObject = operation.get("requestBody", {}).get("content", {})
    body: JsonObject = next(iter(content.values()), {})
    fields = [
        _field(
            each["name"],
            each["schema"],
            place=each["in"],
            is_required=each["required"],
            said=each.get("description", ""),
        )
        for each in operation.get("parameters", [])
    ]
    answers = [
        Answer(status, answer["description"], next(iter(_answer_links(answer)), ""))
        for status, answer in operation["responses"].items()
        if not status.startswith(("4", "5"))
    ]
    return Operation(
        anchor=operation["operationId"], method=method.upper(), path=path,
        summary=operation.get("description") or operation["summary"], fields=fields, bodies=_links(body.get("schema", {})),
        examples=[json.dumps(example["value"]) for example in body.get("examples", {}).values()],
        answers=answers, problems=[status for status in operation["responses"] if status.startswith(("4", "5"))],
    )  # fmt: skip


def _answer_links(answer: JsonObject) -> list[str]:
    return [name for content in answer.get("content", {}).values() for name in _links(content.get("schema", {}))]


def _field(name: str, schema: JsonObject, *, place: str, is_required: bool, said: str = "") -> Field:
    default = "" if schema.get("default") is None else json.dumps(schema["default"])
    return Field(
        name, place, _type(schema), is_required, said or schema.get("description", ""), default, _links(schema)
    )


def _schemas(document: JsonObject) -> list[Schema]:
    return [_schema(name, schema) for name, schema in sorted(document["components"]["schemas"].items())]


def _schema(name: str, schema: JsonObject) -> Schema:
    required = schema.get("required", [])
    fields = [
        _field(each, given, place="body", is_required=each in required)
        for each, given in schema.get("properties", {}).items()
    ]
    return Schema(
        name, schema.get("description", ""), fields, ", ".join(str(value) for value in schema.get("enum", []))
    )


def _problem_kinds() -> list[ProblemKind]:
    ours = [each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, errors.StudioError)]
    kinds = [ProblemKind(each.code, each.status, each.title) for each in ours]
    rest = [("method-not-allowed", 405), ("media-type", 415), ("internal", 500)]
    kinds += [ProblemKind(code, status, HTTPStatus(status).phrase) for code, status in rest]
    return sorted(kinds, key=lambda kind: kind.status)


def _type(schema: JsonObject) -> str:
    """The type in words: `integer, 1 to 500`, `a, b or c`, `list of text`."""
    if "$ref" in schema:
        return str(schema["$ref"]).rsplit("/", 1)[-1]
    options = schema.get("anyOf") or schema.get("oneOf")
    if options:
        return " or ".join(_type(option) for option in options)
    if "enum" in schema:
        return ", ".join(str(value) for value in schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    name = {"string": "text", "object": "map", "null": "null"}.get(
        schema.get("type", ""), schema.get("type", "anything")
    )
    return f"{name}{_bounds(schema)}"


def _bounds(schema: JsonObject) -> str:
    low = _number(schema.get("minimum", schema.get("exclusiveMinimum", schema.get("minLength"))))
    high = _number(schema.get("maximum", schema.get("exclusiveMaximum", schema.get("maxLength"))))
    unit = " characters" if schema.get("type") == "string" and (low, high) != (None, None) else ""
    match low, high:
        case None, None:
            return ""
        case None, _:
            return f", at most {high}{unit}"
        case _, None:
            return f", at least {low}{unit}"
        case _:
            return f", {low} to {high}{unit}"


def _number(value: float | None) -> float | None:
    """2 rather than 2.0."""
    return int(value) if value is not None and value == int(value) else value


def _links(schema: Any) -> list[str]:
    """Names of the schemas that this one refers to."""
    return list(dict.fromkeys(re.findall(r"#/components/schemas/(\w+)", json.dumps(schema))))
