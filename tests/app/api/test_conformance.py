"""schemathesis: requests made from the OpenAPI document, good and bad, and every answer held against it.

Bounded and seeded: each run sends the same requests. Rows of every kind exist, and ids name them, so that requests
get past the first look-up.
"""

from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis import GenerationMode
from schemathesis.checks import CHECKS
from schemathesis.python import asgi

from tests.lab import Lab

pytestmark = pytest.mark.timeout(240)
EXAMPLES = 8
WITHOUT = {
    "positive_data_acceptance",  # a well-formed id of a row that is not there is answered 404
    "ignored_auth",  # tested by itself below, for every path
    "use_after_free",
    "ensure_resource_availability",
}
BOUNDED = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    derandomize=True,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
schemathesis.serializer.alias("application/offset+octet-stream", "application/octet-stream")


@pytest.fixture
def client(web: Any) -> Iterator[Any]:
    """An in-process client that schemathesis can use, signed in."""
    with asgi.get_client(web.app) as client:
        client.headers["Authorization"] = web.headers["Authorization"]
        yield client


@pytest.mark.parametrize("mode", list(GenerationMode), ids=str)
def test_answers_are_as_the_document_says(web: Any, client: Any, lab: Lab, mode: GenerationMode) -> None:
    schema = schemathesis.openapi.from_dict(web.get("/api/v1/openapi.json").json())
    schema.app = web.app
    operations = [each.ok() for each in schema.get_all_operations()]
    assert len(operations) > 50
    failures = []
    for operation in sorted(
        operations, key=lambda each: each.method == "delete"
    ):  # last, so that the others find their rows
        try:
            _walk(operation, client, lab, mode)
        except Exception as error:
            failures.append(error)
    if failures:
        raise ExceptionGroup(f"{len(failures)} operations are not as the document says", failures)


def _walk(operation: Any, client: Any, lab: Lab, mode: GenerationMode) -> None:
    known = _ids(operation.path, lab) if mode == GenerationMode.POSITIVE else {}
    checks = [check for check in CHECKS.get_all() if check.__name__ not in WITHOUT]

    @seed(0)
    @BOUNDED
    @given(case=operation.as_strategy(generation_mode=mode, path_parameters=known or None))
    def send(case: Any) -> None:
        case.validate_response(case.call(session=client), checks=checks)

    try:
        send()
    except schemathesis.errors.SchemathesisError as error:
        if "is not possible" not in str(error) and "Impossible" not in str(error):
            raise


def _ids(path: str, lab: Lab) -> dict[str, int]:
    ids = {
        "dataset_id": lab.dataset, "checkpoint_id": lab.checkpoint, "synthetic_set_id": lab.synthetic_set,
        "classifier_id": lab.classifier, "evaluation_id": lab.evaluation, "explanation_id": lab.explanation,
        "job_id": lab.job, "artifact_id": lab.artifact, "upload_id": 1, "token_id": 2, "audit_id": lab.audit,
        "image_id": lab.uploaded_image if "uploaded" in path else lab.image,
    }  # fmt: skip
    return {name: value for name, value in ids.items() if f"{{{name}}}" in path}
