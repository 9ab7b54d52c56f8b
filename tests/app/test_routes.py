"""Every route is closed to strangers unless it is named open: a walk over all of them."""

import re
from typing import Any

from fastapi.routing import iter_route_contexts
from starlette.routing import Mount

from app.deps import OPEN_ROUTES

SAMPLES = {"sha256": "0" * 64, "kind": "train_diffusion", "action": "cancel", "job_action": "cancel", "name": "x"}


def _address(path: str) -> str:
    return re.sub(r"\{(\w+)(?::\w+)?\}", lambda found: SAMPLES.get(found[1], "1"), path)


def _routes(app: Any) -> list[tuple[str, str, str]]:
    """(method, path, name) of everything but mounts."""
    contexts = [each for each in iter_route_contexts(app.routes) if not isinstance(each.original_route, Mount)]
    return [(method, each.path, each.name) for each in contexts for method in sorted(each.methods or {"GET"})]


def test_a_stranger_gets_nowhere_but_to_the_open_routes(web: Any) -> None:
    web.headers.pop("Authorization")
    routes = _routes(web.app)
    assert len(routes) > 80
    let_in = set()
    for method, path, name in routes:
        response = web.request(method, _address(path), follow_redirects=False)
        if response.status_code != 401:
            let_in.add(name)
    assert let_in == OPEN_ROUTES


def test_only_static_files_are_mounted(web: Any) -> None:
    assert [route.path for route in web.app.routes if isinstance(route, Mount)] == ["/static"]


def test_no_two_routes_answer_the_same_request(web: Any) -> None:
    seen = [(method, re.sub(r"\{.*?\}", "{}", path)) for method, path, _ in _routes(web.app)]
    assert sorted({each for each in seen if seen.count(each) > 1}) == []
