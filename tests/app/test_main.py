"""The application as a whole: health, errors as pages, static files."""

import tomllib
from hashlib import sha256
from typing import Any

import pytest

from app.pages.render import STATIC, static_url


@pytest.fixture
def stranger(web: Any) -> Any:
    """The same application, not signed in."""
    web.headers.pop("Authorization")
    return web


def test_is_alive_for_anybody(stranger: Any) -> None:
    assert stranger.get("/healthz").json() == {"status": "alive"}


def test_is_ready_while_the_database_answers_even_without_a_broker(stranger: Any) -> None:
    response = stranger.get("/readyz")
    assert response.status_code == 200
    assert response.json() == {"database": True, "broker": False}


def test_an_unknown_address_is_a_page_with_the_persons_navigation_and_a_request_id(web: Any) -> None:
    response = web.get("/no-such-page")
    assert response.status_code == 404
    assert "No page has the address /no-such-page." in response.text
    assert 'href="/datasets"' in response.text
    assert f"Request {response.headers['x-request-id']}" in response.text


def test_an_unknown_address_of_the_api_is_a_problem(web: Any) -> None:
    response = web.get("/api/v1/no-such-thing")
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["request_id"] == response.headers["x-request-id"]


def test_an_error_asked_for_by_htmx_goes_among_the_messages(web: Any) -> None:
    response = web.get("/jobs/999999", headers={"HX-Request": "true"})
    assert response.headers["hx-retarget"] == "#messages"
    assert "There is no job 999999." in response.text
    assert "<html" not in response.text


def test_a_body_that_is_too_large_is_refused_before_it_is_read(web: Any) -> None:
    response = web.post(
        "/tokens", content=b"x" * 4_000_001, headers={"Content-Type": "application/x-www-form-urlencoded"}
    )
    assert response.status_code == 413


def test_static_files_are_kept_for_ever_by_content_hash_only(web: Any) -> None:
    named = web.get(static_url("css/base.css"))
    assert "immutable" in named.headers["cache-control"]
    assert web.get("/static/css/base.css").headers["cache-control"] == "no-cache"


def test_vendored_files_are_what_vendor_toml_says() -> None:
    vendored = tomllib.loads((STATIC / "vendor.toml").read_text())
    listed = {each["path"]: each["sha256"] for library in vendored.values() for each in library["files"]}
    found = {
        str(path.relative_to(STATIC / "vendor")): sha256(path.read_bytes()).hexdigest()
        for path in (STATIC / "vendor").rglob("*")
        if path.is_file()
    }
    assert listed == found
    assert all({"package", "version", "licence"} <= set(library) for library in vendored.values())
