"""The page of tokens."""

import re
from typing import Any


def test_shows_a_new_token_once(web: Any) -> None:
    made = web.post("/tokens", data={"name": "lab <1>", "scopes": ["read"], "expires_in_days": "30"})
    assert made.status_code == 201
    secret = re.search(r'value="(phs_[\w-]{43})"', made.text)
    assert secret is not None
    assert "lab &lt;1&gt;" in made.text
    assert secret[1] not in web.get("/tokens").text
    web.headers["Authorization"] = f"Bearer {secret[1]}"
    assert web.get("/tokens").status_code == 200


def test_a_revoked_token_opens_nothing(web: Any) -> None:
    made = web.post("/tokens", data={"name": "short", "scopes": ["read", "write"], "expires_in_days": ""}).text
    secret = re.search(r'value="(phs_[\w-]+)"', made)
    token_id = re.search(r"/tokens/(\d+)/revoke", made)
    assert secret is not None
    assert token_id is not None
    assert "revoked" in web.post(f"/tokens/{token_id[1]}/revoke").text
    web.headers["Authorization"] = f"Bearer {secret[1]}"
    assert web.get("/tokens").status_code == 401


def test_says_what_is_wrong_beside_the_field_and_keeps_the_rest(web: Any) -> None:
    page = web.post("/tokens", data={"name": "kept", "scopes": ["read"], "expires_in_days": "99999"})
    assert page.status_code == 422
    assert 'id="wrong-expires_in_days"' in page.text
    assert 'value="kept"' in page.text
