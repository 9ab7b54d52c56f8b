"""The page that is seen by who is not signed in."""

from typing import Any


def test_a_stranger_is_told_how_to_get_in(web: Any) -> None:
    web.headers.pop("Authorization")
    response = web.get("/jobs")
    assert response.status_code == 401
    assert "python -m app link" in response.text
    assert 'href="/datasets"' not in response.text


def test_the_page_itself_can_be_opened(web: Any) -> None:
    web.headers.pop("Authorization")
    assert web.get("/sign-in").status_code == 200


def test_who_is_signed_in_goes_on_to_the_first_page(web: Any) -> None:
    assert web.get("/sign-in", follow_redirects=False).headers["location"] == "/"
