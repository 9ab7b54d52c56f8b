"""The page of an audit, and what the page of a synthetic set says of it."""

from typing import Any

import pytest
from sqlalchemy import select

from app.core.db import Database
from app.core.storage import Storage
from app.services import gates
from app.services.identity import Identity
from models import Audit, AuditPair, Image, Job, JobKind, Split, SyntheticSet
from tests import factories
from tests.audit_data import audited


@pytest.fixture
def drawn(database: Database, who: Identity, storage: Storage) -> SyntheticSet:
    with database.write() as session:
        version = factories.dataset_with_version(session, who, storage=storage)
        version.leaks = {"patients": 0, "identical": 0, "near": 0}
        return factories.synthetic_set(
            session, who, factories.checkpoint(session, who, version, spec={"hflip": True}), storage=storage
        )


@pytest.fixture
def audit(database: Database, who: Identity, drawn: SyntheticSet) -> Audit:
    with database.write() as session:
        return audited(session, who, drawn)


class TestThePage:
    def test_begins_with_the_lights_in_words(self, web: Any, database: Database, audit: Audit) -> None:
        page = web.get(f"/audits/{audit.id}").text
        with database.read() as session:
            lights = gates.lights_of_audit(session, audit)
        for light in lights:
            assert light["sentence"].replace("'", "&#39;") in page
        assert [page.count(f"light-{state}") for state in ("red", "green", "grey")] == [
            [each["state"] for each in lights].count(state) for state in ("red", "green", "grey")
        ]

    def test_shows_pairs_side_by_side_and_no_test_image(self, web: Any, database: Database, audit: Audit) -> None:
        page = web.get(f"/audits/{audit.id}").text
        with database.read() as session:
            pair = session.scalars(select(AuditPair).order_by(AuditPair.id)).first()
            real = session.get_one(Image, pair.image_id)
            locked = set(session.scalars(select(Image.stored_sha256).where(Image.split == Split.TEST)))
        assert page.count('<li class="pair">') == 8
        assert page.count("flagged</strong>") == 2
        assert "mirrored left-right" in page
        assert f'src="/files/{real.stored_sha256}.png" alt="Training image {real.path}"' in page
        assert not any(key in page for key in locked)

    def test_puts_kid_first_and_the_floor_beside_every_figure(self, web: Any, audit: Audit) -> None:
        page = web.get(f"/audits/{audit.id}").text
        assert page.index(">KID</th>") < page.index(">FID</th>")
        floor = audit.report["fidelity"]["extractors"][0]["whole"]["kid"]["floor"]
        assert f"{floor['value']:.4f}" in page
        assert "40 / 12" in page
        assert "tf_efficientnet_lite0" in page

    def test_says_what_was_dropped_and_where_the_rest_is(self, web: Any, audit: Audit) -> None:
        page = web.get(f"/audits/{audit.id}").text
        assert "2\u202fimages of this set" in page or "2 images of this set" in page
        assert f'href="/synthetic-sets/{audit.filtered_set_id}"' in page

    def test_says_why_there_is_nothing_where_too_few_images_are_held_out(
        self, web: Any, database: Database, who: Identity, drawn: SyntheticSet
    ) -> None:
        with database.write() as session:
            made = audited(session, who, drawn, num_held_out=10)
        page = web.get(f"/audits/{made.id}").text
        assert "Only 10 held-out real images" in page
        assert "without a threshold no image is called a copy" in page

    def test_is_deleted_and_its_sets_stay(
        self, web: Any, database: Database, audit: Audit, drawn: SyntheticSet
    ) -> None:
        assert web.post(f"/audits/{audit.id}/delete").url.path == f"/synthetic-sets/{drawn.id}"
        assert web.get(f"/audits/{audit.id}").status_code == 404
        with database.read() as session:
            assert session.scalars(select(AuditPair)).all() == []
            assert session.get(SyntheticSet, audit.filtered_set_id) is not None


class TestTheList:
    def test_shows_every_audit_with_its_lights_in_words(self, web: Any, audit: Audit, drawn: SyntheticSet) -> None:
        page = web.get("/audits").text
        assert f'<a href="/audits/{audit.id}">{drawn.name}</a>' in page
        for light in audit.lights:
            assert f'{light["name"].capitalize()} <span class="light-word">{light["state"]}</span>' in page
        assert 'aria-current="page"' in page

    def test_says_what_will_be_here(self, web: Any) -> None:
        page = web.get("/audits").text
        assert "No audit yet" in page
        assert 'href="/jobs/new/audit_set"' in page


class TestTheGate:
    def test_of_an_audited_set_says_what_stops_it_at_the_download(
        self, web: Any, audit: Audit, drawn: SyntheticSet
    ) -> None:
        page = web.get(f"/synthetic-sets/{drawn.id}").text
        assert "Not releasable. You may download it, and the zip says what stops it." in page
        assert 'aria-describedby="export-verdict"' in page
        assert "copies (red)" in page
        assert "utility (grey)" in page
        assert "Not releasable." in web.get(f"/audits/{audit.id}").text

    def test_of_a_set_that_nobody_audited_offers_no_release(self, web: Any, drawn: SyntheticSet) -> None:
        page = web.get(f"/synthetic-sets/{drawn.id}").text
        assert "Not audited. You may download it" in page
        assert "Release it all the same" not in page

    def test_is_overridden_with_a_reason_and_taken_back(self, web: Any, audit: Audit, drawn: SyntheticSet) -> None:
        here = f"/synthetic-sets/{drawn.id}"
        assert web.post(f"{here}/release", data={"reason": "no"}).status_code == 422
        done = web.post(f"{here}/release", data={"reason": "Ethics board, 12 March <b>."}, follow_redirects=False)
        assert (done.status_code, done.headers["location"]) == (303, f"{here}#gate")
        for path in (here, f"/audits/{audit.id}"):
            page = web.get(path).text
            assert "Released by override" in page
            assert "Ethics board, 12 March &lt;b&gt;." in page
            assert "Releasable:" not in page
        web.post(f"{here}/withdraw-release")
        assert "Released by override" not in web.get(here).text

    def test_of_an_older_audit_names_the_newer_one(
        self, web: Any, database: Database, who: Identity, audit: Audit, drawn: SyntheticSet
    ) -> None:
        with database.write() as session:
            newer = audited(session, who, drawn)
        page = web.get(f"/audits/{audit.id}").text
        assert f'<a href="/audits/{newer.id}">audit {newer.id}</a> decides' in page


class TestTheSet:
    def test_says_that_nobody_has_audited_it_and_offers_it(self, web: Any, drawn: SyntheticSet) -> None:
        page = web.get(f"/synthetic-sets/{drawn.id}").text
        assert "Nobody knows yet" in page
        assert f'href="/jobs/new/audit_set?synthetic_set_id={drawn.id}"' in page

    def test_shows_the_lights_of_its_newest_audit(self, web: Any, audit: Audit) -> None:
        page = web.get(f"/synthetic-sets/{audit.synthetic_set_id}").text
        assert f'href="/audits/{audit.id}"' in page
        assert 'class="lights"' in page

    def test_without_its_copies_says_whose_audit_it_shows(self, web: Any, audit: Audit) -> None:
        page = web.get(f"/synthetic-sets/{audit.filtered_set_id}").text
        assert f'<a href="/synthetic-sets/{audit.synthetic_set_id}">' in page
        assert "without its copies" in page
        assert "copies included" in page


class TestTheForm:
    def test_launches_an_audit_that_searches_for_the_mirrored_copies_that_were_learnt(
        self, web: Any, database: Database, drawn: SyntheticSet
    ) -> None:
        page = web.get(f"/jobs/new/audit_set?synthetic_set_id={drawn.id}").text
        assert "Leave copies out" in page
        web.post("/jobs/new/audit_set", data={"synthetic_set_id": drawn.id, "drop_copies": "false"})
        with database.read() as session:
            job = session.scalars(select(Job).where(Job.kind == JobKind.AUDIT_SET)).one()
        assert (job.spec["mirrors"], job.spec["drop_copies"]) == (["left_right"], False)
        assert (job.spec["version_id"], job.queue) == (drawn.version_id, "gpu")
