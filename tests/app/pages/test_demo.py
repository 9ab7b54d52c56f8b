from starlette.testclient import TestClient


def test_before_the_demo_the_page_says_how_to_run_it(web: TestClient):
    page = web.get("/demo")
    assert page.status_code == 200
    assert "make demo" in page.text
