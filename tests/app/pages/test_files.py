"""Stored images: who may see them, and how browsers keep them."""

from typing import Any

import pytest

from app.core.images import encode_png
from app.services.identity import Identity
from models import Image
from tests import factories


@pytest.fixture
def key(web: Any, who: Identity) -> str:
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, who, num_images=2, storage=web.app.state.storage)
        return session.query(Image).filter_by(version_id=version.id).first().stored_sha256


def test_an_image_never_changes_and_can_do_nothing(web: Any, key: str) -> None:
    response = web.get(f"/files/{key}.png")
    assert response.content.startswith(b"\x89PNG")
    assert response.headers["content-type"] == "image/png"
    assert "immutable" in response.headers["cache-control"]
    assert response.headers["content-security-policy"].startswith("sandbox")
    assert response.headers["x-content-type-options"] == "nosniff"


def test_is_not_sent_again_to_who_has_it(web: Any, key: str) -> None:
    etag = web.get(f"/files/{key}.png").headers["etag"]
    again = web.get(f"/files/{key}.png", headers={"If-None-Match": etag})
    assert (again.status_code, again.content) == (304, b"")


def test_a_file_that_no_row_of_the_project_names_is_not_there(web: Any) -> None:
    stored = web.app.state.storage.put(encode_png(factories.drawing(0, 99)))
    assert web.get(f"/files/{stored.sha256}.png").status_code == 404
    with web.app.state.database.write() as session:
        other = factories.identity(session, "other")
        version = factories.dataset_with_version(session, other, num_images=1, storage=web.app.state.storage)
        theirs = session.query(Image).filter_by(version_id=version.id).first().stored_sha256
    assert web.get(f"/files/{theirs}.png").status_code == 404


@pytest.mark.parametrize("name", ["..%2F..%2Fetc%2Fpasswd", "A" * 64, "a" * 63])
def test_a_name_that_is_no_hash_is_not_there(web: Any, name: str) -> None:
    assert web.get(f"/files/{name}.png").status_code in (404, 422)


def test_weights_are_never_shown_in_the_browser(web: Any, who: Identity) -> None:
    stored = web.app.state.storage.put(b"<script>alert(1)</script>")
    with web.app.state.database.write() as session:
        factories.checkpoint(session, who, factories.dataset_with_version(session, who), sha256=stored.sha256)
    response = web.get(f"/files/{stored.sha256}.png")
    assert response.headers["content-type"] == "application/octet-stream"
    assert response.headers["content-disposition"].startswith("attachment")
