"""Audits through REST."""

from typing import Any

from app.core.db import Database
from app.services.identity import Identity
from models import SyntheticSet
from tests.lab import Lab


def test_an_audit_says_everything_and_lists_its_pairs(web: Any, lab: Lab) -> None:
    audit = web.get(f"/api/v1/audits/{lab.audit}").json()
    assert audit["set_to_train_on_id"] == audit["filtered_set_id"] != audit["synthetic_set_id"]
    assert [light["name"] for light in audit["lights"]] == ["leakage", "copies", "membership", "utility"]
    assert audit["fidelity"]["extractors"][0]["whole"]["order"][0] == "kid"
    assert audit["privacy"]["spaces"]["pixels"]["copies"]["rate"]["n"] == 12
    pairs = web.get(f"/api/v1/audits/{lab.audit}/pairs", params={"limit": 3}).json()
    assert [pair["flagged"] for pair in pairs["items"]] == [True, True, False]
    assert pairs["items"][0]["score"] == 9.0
    rest = web.get(f"/api/v1/audits/{lab.audit}/pairs", params={"cursor": pairs["next_cursor"]}).json()["items"]
    assert len(rest) == 5
    flagged = web.get(f"/api/v1/audits/{lab.audit}/pairs", params={"flagged": True}).json()["items"]
    assert len(flagged) == 2
    assert web.get(flagged[0]["real_url"]).status_code == 200


def test_audits_are_listed_by_set_and_deleted(web: Any, lab: Lab) -> None:
    mine = web.get("/api/v1/audits", params={"synthetic_set_id": lab.synthetic_set}).json()["items"]
    assert [each["id"] for each in mine] == [lab.audit]
    assert web.get("/api/v1/audits", params={"synthetic_set_id": 999}).json()["items"] == []
    assert web.delete(f"/api/v1/audits/{lab.audit}").status_code == 204
    assert web.get(f"/api/v1/audits/{lab.audit}").status_code == 404


def test_a_set_says_what_it_was_filtered_from(web: Any, lab: Lab) -> None:
    filtered = web.get(f"/api/v1/audits/{lab.audit}").json()["filtered_set_id"]
    assert web.get(f"/api/v1/synthetic-sets/{filtered}").json()["filtered_from_id"] == lab.synthetic_set


def test_a_set_whose_checkpoint_came_with_the_studio_needs_a_dataset(
    web: Any, lab: Lab, database: Database, who: Identity
) -> None:
    with database.write() as session:
        session.get_one(SyntheticSet, lab.synthetic_set).version_id = None
    asked = {"kind": "audit_set", "synthetic_set_id": lab.synthetic_set}
    refused = web.post("/api/v1/jobs", json=asked)
    assert refused.status_code == 422
    assert refused.json()["errors"][0]["pointer"].endswith("dataset_id")
    assert web.post("/api/v1/jobs", json={**asked, "dataset_id": lab.dataset}).status_code in (201, 202)


class TestTheGate:
    def test_gives_the_verdict_and_what_it_rests_on(self, web: Any, lab: Lab) -> None:
        gate = web.get(f"/api/v1/synthetic-sets/{lab.synthetic_set}/gate").json()
        assert (gate["verdict"], gate["audit_id"], gate["override"]) == ("not releasable", lab.audit, None)
        assert [light["name"] for light in gate["lights"]] == ["leakage", "copies", "membership", "utility"]
        assert {"copies", "utility"} <= set(gate["stopped_by"])

    def test_is_overridden_with_a_reason_and_taken_back(self, web: Any, lab: Lab, who: Identity) -> None:
        here = f"/api/v1/synthetic-sets/{lab.synthetic_set}/release"
        assert web.post(here, json={"reason": "because"}).status_code == 422
        assert web.post(here, json={"reason": "          "}).status_code == 422
        released = web.post(here, json={"reason": "Ethics board, 12 March."})
        assert (released.status_code, released.json()["verdict"]) == (201, "released by override")
        assert released.json()["override"]["by"] == who.name
        assert web.post(here, json={"reason": "Ethics board, 12 March."}).status_code == 409
        assert web.delete(here).json()["verdict"] == "not releasable"
        assert web.delete(here).status_code == 409
