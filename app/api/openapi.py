"""The OpenAPI document: what FastAPI derives from the routes, made complete.

FastAPI knows neither the errors that can come from outside a route nor that a preset fills in options which the
specs call required; both are said here, so that the document can be tested against the running studio.
"""

import json
import re
from typing import Any, get_args

from fastapi import FastAPI
from fastapi.openapi.utils import get_openapi

from app.api.problems import MEDIA_TYPE, Problem
from models.specs import AskedSpec, TrainDiffusionSpec

API_VERSION = "1.0.0"
PREFIX = "/api/v1/"
UNSAFE = frozenset({"post", "put", "patch", "delete"})
JsonObject = dict[str, Any]

DESCRIPTION = """
Everything that the pages of Phantom Studio do, from a script.

**Who are you?** Send an API token: `Authorization: Bearer phs_...`. Make one on the page Tokens, or with
`python -m app tokens create --name NAME`. A token with the scope `read` cannot change anything.

**Work** is a job: `POST /api/v1/jobs` with a `kind` answers 202 at once, with the job's address in `Location`. Send an
`Idempotency-Key` of your own, and a request that is sent twice is one job. Follow it at `/api/v1/jobs/{id}/events`.

**Lists** answer `{items, next_cursor}`, with the next page in the `Link` header as well.

**Errors** are RFC 9457 problems (`application/problem+json`): what was given, what was expected, the fields that are
wrong, a hint. A field that is not known is an error.
"""
TAGS = [
    ("uploads", "Files on their way in. Folders come in multipart batches, archives in resumable pieces (tus 1.0.0)."),
    ("datasets", "Labelled images, split once and for all, in versions that never change."),
    ("images", "Single images."),
    ("jobs", "Work of every kind: import, training, sampling, testing, explaining."),
    ("checkpoints", "Diffusion networks that can draw."),
    ("synthetic-sets", "Images that checkpoints drew."),
    ("audits", "What synthetic sets give away, and how near they come to real images."),
    ("classifiers", "CNNs trained on real, synthetic or both kinds of images."),
    ("evaluations", "Classifiers tested on real images."),
    ("studies", "Whether synthetic images can stand in for real ones: many jobs, one table."),
    ("explanations", "What LIME says of a classifier."),
    ("tokens", "API tokens."),
    ("studio", "What the studio runs on."),
]
ERRORS = {
    400: "The body cannot be read at all.",
    401: "Nobody is signed in, or the token is unknown, revoked or expired.",
    403: "The token may read only.",
    404: "There is no such thing, or it belongs to another project.",
    409: "It does not fit the present state.",
    413: "The body is too large.",
    415: "The content type is not the one this path takes.",
    422: "The input cannot be used: `errors` names the fields.",
    423: "The test images are locked; `hint` says how a look at them is counted.",
    429: "Too many requests; `Retry-After` says when to come back.",
    507: "The disk is full.",
}
SUCCESSES = {"200": "Here it is.", "201": "It is made.", "202": "The job is taken on.", "204": "It is done."}
JOB_EXAMPLES: dict[str, JsonObject] = {
    "train_diffusion": {"kind": "train_diffusion", "dataset_id": 1, "preset": "small", "image_size": 32, "num_steps": 300, "seed": 7},
    "sample": {"kind": "sample", "checkpoint_id": 1, "per_class": 50, "seed": 1},
    "train_classifier": {
        "kind": "train_classifier", "dataset_id": 1, "train_on": "synthetic", "synthetic_set_id": 1,
        "architecture": "tf_efficientnet_lite0", "epochs": 2, "seed": 0,
    },
    "evaluate": {"kind": "evaluate", "classifier_id": 1, "split": "test"},
    "explain": {"kind": "explain", "classifier_id": 1, "image_ids": [1, 2, 3, 4], "num_samples": 200},
    "import_dataset": {"kind": "import_dataset", "upload_id": 1, "name": "brain-mri", "seed": 0},
    "summarise_study": {"kind": "summarise_study", "study_id": 1},
    "audit_set": {"kind": "audit_set", "synthetic_set_id": 1},
    "check_dataset": {"kind": "check_dataset", "dataset_id": 1},
}  # fmt: skip


def document(app: FastAPI) -> JsonObject:
    """The OpenAPI 3.1 document of every route below /api/v1; made once for each application."""
    known: JsonObject | None = getattr(app.state, "openapi", None)
    if known is None:
        known = app.state.openapi = _made(app)
    return known


def _made(app: FastAPI) -> JsonObject:
    made = get_openapi(
        title="Phantom Studio", version=API_VERSION, description=DESCRIPTION.strip(), routes=app.routes,
        tags=[{"name": name, "description": description} for name, description in TAGS],
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
    )  # fmt: skip
    made["paths"] = {path: operations for path, operations in made["paths"].items() if path.startswith(PREFIX)}
    made["security"] = [{"token": []}]
    _complete_components(made["components"])
    for path, operations in made["paths"].items():
        for method, operation in operations.items():
            _complete_operation(path, method, operation)
    renamed: JsonObject = json.loads(re.sub(r"PageOut[_\[](\w+?)Out[_\]]", r"\1Page", json.dumps(made)))
    return renamed


def _complete_components(components: JsonObject) -> None:
    schemas = components["schemas"]
    for name in ("HTTPValidationError", "ValidationError"):
        schemas.pop(name, None)
    problem = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    schemas |= {**problem.pop("$defs"), "Problem": problem}
    components["securitySchemes"] = {
        "token": {"type": "http", "scheme": "bearer", "description": "An API token: phs_ and 43 characters."}
    }
    filled_in = TrainDiffusionSpec.model_validate({"dataset_id": 1}).model_fields_set - {"dataset_id"}
    for spec in get_args(AskedSpec):
        schema = schemas[spec.__name__]
        optional: set[str] = filled_in if spec is TrainDiffusionSpec else set()
        schema["required"] = [
            "kind",
            *(name for name in schema.get("required", []) if name not in optional and name != "kind"),
        ]


def _complete_operation(path: str, method: str, operation: JsonObject) -> None:
    operation["operationId"] = operation["operationId"].split("_api_v1")[0]
    operation["summary"] = operation["description"].split(".")[0].split(":")[0]
    responses = operation["responses"]
    for status, response in responses.items():
        response["description"] = SUCCESSES.get(status, response["description"])
        if status in ("201", "202"):
            response["headers"] = {
                "Location": {"description": "The address of what was made.", "schema": {"type": "string"}}
            }
    for status in _errors_of(path, method, operation):
        reference = {"schema": {"$ref": "#/components/schemas/Problem"}}
        responses[str(status)] = {"description": ERRORS[status], "content": {MEDIA_TYPE: reference}}
    operation["responses"] = dict(sorted(responses.items()))
    if path.startswith("/api/v1/jobs") and "requestBody" in operation:
        content = operation["requestBody"]["content"]["application/json"]
        content["examples"] = {name: {"value": value} for name, value in JOB_EXAMPLES.items()}


def _errors_of(path: str, method: str, operation: JsonObject) -> list[int]:
    statuses = [401, 422, 429]
    if "{" in path or method in UNSAFE:
        statuses.append(404)
    if method in UNSAFE:
        statuses += [403, 409]
    if path == "/api/v1/datasets/{dataset_id}/images":
        statuses.append(423)
    if "requestBody" in operation:
        statuses += [400, 413]
    if (path.startswith("/api/v1/uploads/") and "requestBody" in operation) or path == "/api/v1/uploaded-images":
        statuses += [415, 507]
    return sorted(statuses)
