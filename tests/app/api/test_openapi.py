"""The OpenAPI document: it is current, complete, and the running studio keeps to it."""

import json
from pathlib import Path
from typing import Any

import pytest

from app.api.openapi import JOB_EXAMPLES
from models import JobKind
from models.specs import job_spec_adapter

COMMITTED = Path(__file__).parents[3] / "docs" / "api" / "openapi.json"


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    """As it is committed, which is what a studio serves: the first test sees to that."""
    return dict(json.loads(COMMITTED.read_text(encoding="utf-8")))


def test_the_committed_document_is_current(web: Any, document: dict[str, Any]) -> None:
    answer = web.get("/api/v1/openapi.json")
    assert answer.status_code == 200
    assert answer.json() == document, "Write it anew: make openapi"


def test_every_operation_has_an_id_of_its_own_a_summary_and_its_errors(document: dict[str, Any]) -> None:
    operations = [each for path in document["paths"].values() for each in path.values()]
    ids = [each["operationId"] for each in operations]
    assert len(ids) == len(set(ids)) > 50
    for each in operations:
        assert each["summary"]
        assert {"401", "422", "429"} <= each["responses"].keys(), each["operationId"]


def test_pages_are_not_part_of_it(document: dict[str, Any]) -> None:
    assert all(path.startswith("/api/v1/") for path in document["paths"])


def test_there_is_an_example_of_every_kind_of_job_that_can_be_asked_for_and_each_holds() -> None:
    assert set(JOB_EXAMPLES) == set(JobKind) - {JobKind.SAMPLE_PART}
    for kind, example in JOB_EXAMPLES.items():
        assert job_spec_adapter.validate_python(example).kind == kind


def test_what_a_preset_fills_in_is_not_required(document: dict[str, Any]) -> None:
    assert document["components"]["schemas"]["TrainDiffusionSpec"]["required"] == ["kind", "dataset_id"]
