"""GET /datasets/{id}/health, before and after a check."""

from typing import Any

import pytest

from app.api.schemas.health import HealthOut
from app.services.identity import Identity
from tests import factories, health_data

pytestmark = pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)


def test_before_a_check_there_are_counts_only(web: Any, who: Identity) -> None:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, who)
    found = web.get(f"/api/v1/datasets/{version.dataset_id}/health").json()
    assert (found["num_images"], found["version"], found["modes"]) == (20, 1, {"L": 20})
    assert (found["check"], found["findings"], found["measured"]) == (None, [], None)


def test_after_a_check_there_is_everything(web: Any, who: Identity) -> None:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, who)
        ids = health_data.give(session, who, version, mean_image="b" * 64)
    found = web.get(f"/api/v1/datasets/{version.dataset_id}/health?version=1").json()
    HealthOut.model_validate(found)
    assert found["check"]["state"] == "succeeded"
    assert [each["kind"] for each in found["findings"]] == ["leaks", "label_conflicts", "blank", "metadata"]
    assert found["findings"][2]["image_ids"] == ids
    assert found["measured"]["classes"][0]["mean_image_url"] == f"/files/{'b' * 64}.png"
    assert found["measured"]["baselines"]["models"][0]["balanced_accuracy"] == {"value": 0.75, "low": 0.7, "high": 0.8}


def test_a_version_that_is_not_there(web: Any, who: Identity) -> None:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, who)
    assert web.get(f"/api/v1/datasets/{version.dataset_id}/health?version=9").status_code == 404
