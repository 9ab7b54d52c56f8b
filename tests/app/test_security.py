"""Cross-site checks, headers, identity and rate limits at the edge."""

import re
from pathlib import Path
from typing import Any

import pytest
from starlette.datastructures import Headers
from starlette.testclient import TestClient

from app.core.errors import TooManyRequestsError
from app.security import HEADERS, PAGE_POLICY, RateLimit, comes_from_elsewhere
from app.services import identity, tokens

TEMPLATES = Path(__file__).parents[2] / "templates"


class TestComesFromElsewhere:
    @pytest.mark.parametrize(
        ("headers", "refused"),
        [
            ({}, False),  # a script
            ({"sec-fetch-site": "same-origin"}, False),
            ({"sec-fetch-site": "none"}, False),  # typed or bookmarked
            ({"sec-fetch-site": "same-site"}, True),
            ({"sec-fetch-site": "cross-site"}, True),
            ({"sec-fetch-site": "cross-site", "origin": "http://studio:8000"}, True),
            ({"origin": "http://studio:8000"}, False),  # plain HTTP in a LAN sends no Sec-Fetch-Site
            ({"origin": "http://studio:9000"}, True),
            ({"origin": "http://evil.example"}, True),
            ({"origin": "null"}, True),
        ],
    )
    def test_follows_sec_fetch_site_then_origin(self, headers: dict[str, str], refused: bool) -> None:
        assert comes_from_elsewhere("POST", Headers({"host": "studio:8000", **headers})) is refused

    @pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS"])
    def test_lets_safe_methods_pass(self, method: str) -> None:
        assert not comes_from_elsewhere(method, Headers({"sec-fetch-site": "cross-site"}))

    def test_is_asked_for_every_unsafe_request(self, web: Any) -> None:
        response = web.post("/sign-out", headers={"Sec-Fetch-Site": "cross-site"})
        assert response.status_code == 403
        assert response.headers["content-security-policy"] == PAGE_POLICY


def test_every_answer_has_the_security_headers(web: Any) -> None:
    for path in ("/", "/no-such-page", "/healthz", "/static/css/base.css"):
        headers = web.get(path).headers
        assert headers["content-security-policy"].startswith("default-src 'self'")
        assert "unsafe-inline" not in headers["content-security-policy"]
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["referrer-policy"] == "same-origin"
        assert "access-control-allow-origin" not in headers
        assert "strict-transport-security" not in headers


@pytest.mark.parametrize(
    ("path", "media_type"), [("/breaks", "text/html"), ("/api/v1/breaks", "application/problem+json")]
)
@pytest.mark.parametrize("more", [{}, {"HX-Request": "true"}])
def test_an_unforeseen_error_has_the_security_headers_and_an_id_that_finds_it_in_the_log(
    web: Any, path: str, media_type: str, more: dict[str, str], caplog: pytest.LogCaptureFixture
) -> None:
    def break_down() -> None:
        raise RuntimeError("secret detail")

    web.app.add_api_route(path, break_down)
    client = TestClient(web.app, "https://127.0.0.1", raise_server_exceptions=False, headers={**web.headers, **more})
    answer = client.get(path)
    assert answer.status_code == 500
    assert answer.headers["content-type"].split(";")[0] == media_type
    assert {name: answer.headers[name] for name in HEADERS} == HEADERS
    assert "max-age" in answer.headers["strict-transport-security"]
    assert "secret" not in answer.text
    known_as = answer.headers["x-request-id"]
    assert known_as in answer.text
    assert f"Request {known_as}, GET {path}, failed" in caplog.messages


def test_hsts_is_sent_over_tls_only(web: Any) -> None:
    assert "max-age" in web.get("https://127.0.0.1/healthz").headers["strict-transport-security"]


def test_no_template_has_inline_script_or_style() -> None:
    inline = re.compile(r"<script(?![^>]*\b(?:src=|type=\"application/json\"))|<style|\sstyle=|\son[a-z]+=\"")
    found = {
        path.name: inline.findall(path.read_text())
        for path in TEMPLATES.rglob("*.html")
        if inline.search(path.read_text())
    }
    assert found == {}


class TestSignIn:
    def _link(self, web: Any) -> str:
        with web.app.state.database.write() as session:
            url = identity.create_login_link(session, web.app.state.settings)
        return "/sign-in?" + url.partition("?")[2]

    def test_a_link_signs_in_once(self, web: Any) -> None:
        web.headers.pop("Authorization")
        link = self._link(web)
        response = web.get(link, follow_redirects=False)
        assert (response.status_code, response.headers["location"]) == (303, "/")
        cookie = response.headers["set-cookie"]
        assert cookie.startswith("studio=")
        assert "HttpOnly" in cookie
        assert "SameSite=lax" in cookie
        assert web.get("/").status_code == 200
        again = web.get(link)
        assert again.status_code == 401
        assert "python -m app link" in again.text

    def test_over_tls_the_cookie_is_a_host_cookie(self, web: Any) -> None:
        web.headers.pop("Authorization")
        response = web.get("https://127.0.0.1" + self._link(web), follow_redirects=False)
        assert response.headers["set-cookie"].startswith("__Host-studio=")
        assert "Secure" in response.headers["set-cookie"]

    def test_signing_out_ends_the_session_on_the_server(self, web: Any) -> None:
        web.headers.pop("Authorization")
        web.get(self._link(web))
        secret = web.cookies["studio"]
        web.post("/sign-out")
        web.cookies.set("studio", secret)
        assert web.get("/").status_code == 401

    def test_is_limited_in_rate(self, web: Any) -> None:
        statuses = [web.get("/sign-in?code=guess").status_code for _ in range(11)]
        assert statuses == [401] * 10 + [429]


class TestTokens:
    def _use(self, web: Any, who: Any, scopes: list[str]) -> None:
        with web.app.state.database.write() as session:
            _, secret = tokens.create(session, who, name="t", scopes=scopes, expires_in_days=None)
        web.headers["Authorization"] = f"Bearer {secret}"

    def test_a_token_that_may_only_read_changes_nothing(self, web: Any, who: Any) -> None:
        self._use(web, who, ["read"])
        assert web.get("/tokens").status_code == 200
        response = web.post("/tokens", data={"name": "more", "scopes": ["read"]})
        assert response.status_code == 403
        assert "may read only" in response.text

    def test_an_unknown_token_is_refused_even_beside_a_valid_cookie(self, web: Any) -> None:
        web.headers["Authorization"] = "Bearer phs_" + "x" * 43
        assert web.get("/").status_code == 401


def test_the_rate_limit_counts_each_caller_alone() -> None:
    limit = RateLimit(times=2, within_s=60)
    limit.check("a")
    limit.check("a")
    limit.check("b")
    with pytest.raises(TooManyRequestsError, match="2 attempts"):
        limit.check("a")
