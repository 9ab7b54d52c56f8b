"""The report as a page and as a file: whole, self-contained, under a policy of its own, and open to its project only."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser
from typing import Any

import pytest
import yaml
from markupsafe import escape

from app.core.images import load_uint8
from app.core.storage import make_storage
from app.services.identity import Identity
from app.services.studies.reporting.results import METRICS
from models import Study
from tests import factories
from tests.app.pages import study_data

BASE = "http://127.0.0.1"


class Loaded(HTMLParser):
    """What a page names: addresses to load, links to follow, ids, and elements that may not be there."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.forbidden: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag in (
            "script",
            "iframe",
            "object",
            "embed",
            "base",
            "form",
            "audio",
            "video",
            "image",
            "use",
            "foreignobject",
        ):
            self.forbidden.append(tag)
        self.forbidden += [name for name in given if name.startswith("on") or name in ("style", "srcset")]
        self.ids += [given["id"]] if given.get("id") else []
        (self.links if tag == "a" else self.loads).extend(
            value for name in ("href", "src", "xlink:href") if (value := given.get(name))
        )


@pytest.fixture
def study_id(web: Any, who: Identity) -> int:
    storage = make_storage(web.app.state.settings)
    with web.app.state.database.write() as session:
        version = factories.dataset_with_version(session, who, name="<hands> & feet", num_images=60, storage=storage)
        study = study_data.launched(session, who, version, name='My "<b>study</b>"')
        study_data.with_tests(session, who, study, but=1, storage=storage)
        study_data.answered(session, study)
        return study.id


@pytest.mark.parametrize("path", ["/studies/{}/report", "/api/v1/studies/{}/report.html"])
class TestThePage:
    def test_loads_nothing_and_links_to_this_studio_only(self, web: Any, study_id: int, path: str) -> None:
        found = Loaded(web.get(path.format(study_id)).text)
        assert found.forbidden == []
        assert {address.split(",")[0] for address in found.loads} == {"data:", "data:image/png;base64"}
        anchors = {link[1:] for link in found.links if link.startswith("#")}
        assert anchors
        assert anchors <= set(found.ids)
        assert len(found.ids) == len(set(found.ids))
        assert all(link.startswith(f"{BASE}/") for link in found.links if not link.startswith("#"))

    def test_links_lead_somewhere(self, web: Any, study_id: int, path: str) -> None:
        links = {link for link in Loaded(web.get(path.format(study_id)).text).links if link.startswith(BASE)}
        assert len(links) > 30
        for link in links:
            assert web.get(link.removeprefix(BASE)).status_code == 200, link

    def test_allows_its_own_style_and_nothing_else(self, web: Any, study_id: int, path: str) -> None:
        answer = web.get(path.format(study_id))
        policy = answer.headers["content-security-policy"]
        (style,) = re.findall(r"<style>(.*?)</style>", answer.text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy == (
            f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        )
        assert "url(" not in style
        assert "@import" not in style
        (meta,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', answer.text)
        assert meta.replace("&#39;", "'") == policy.removesuffix("; frame-ancestors 'none'")

    def test_names_are_text_and_never_markup(self, web: Any, study_id: int, path: str) -> None:
        shown = web.get(path.format(study_id)).text
        assert "<b>study" not in shown
        assert "<hands>" not in shown
        assert "My &#34;&lt;b&gt;study" in shown

    def test_holds_every_part_in_order(self, web: Any, study_id: int, path: str) -> None:
        shown = web.get(path.format(study_id)).text
        titles = re.findall(r'<h2 id="([a-z]+)">', shown)
        assert titles == [
            "answer", "gate", "contents", "data", "protocol", "results", "charts", "baselines", "recalls", "samples", "fidelity",
            "privacy", "lime", "limits", "record", "reproduce",
        ]  # fmt: skip
        assert "This study made no explanations." in shown
        assert shown.count("<svg") == 2

    def test_says_at_its_top_that_it_shows_patients_or_leaves_them_out(
        self, web: Any, study_id: int, path: str
    ) -> None:
        whole, without = web.get(path.format(study_id)).text, web.get(path.format(study_id) + "?images=synthetic").text
        assert whole.index("Contains real images: treat as patient data.") < whole.index("Question and answer")
        assert 'class="picture real"' in whole
        assert "Holds no real image." in without
        assert 'class="picture real"' not in without
        assert "The real image is left out." in without
        assert web.get(path.format(study_id) + "?images=none").status_code == 422

    def test_of_another_project_does_not_exist(self, web: Any, path: str) -> None:
        with web.app.state.database.write() as session:
            stranger = factories.identity(session, "other")
            made = study_data.launched(
                session, stranger, factories.dataset_with_version(session, stranger, name="theirs")
            )
        assert web.get(path.format(made.id)).status_code == 404


def with_interval(entry: Any, form: str) -> str:
    return f'{entry["value"]:{form}} <span class="interval">[{entry["low"]:{form}}, {entry["high"]:{form}}]'


def cells_of(difference: Any, p: float, p_holm: float, counts: Any, area: Any) -> list[str]:
    """What stands in the table of tests for one row."""
    numbers = [f"{each:.3f}" if each >= 0.001 else "&lt;\u00a00.001" for each in (p, p_holm, counts["p"], area["p"])]
    return [
        *(with_interval(each, "+.3f") for each in (difference, area)),
        *(f'<td class="num">{each}</td>' for each in numbers),
        *(f'<td class="num">{counts[which]}</td>' for which in ("first_only", "second_only")),
    ]


class TestFiles:
    def test_say_the_same_as_the_study(self, web: Any, study_id: int) -> None:
        told = web.get(f"/api/v1/studies/{study_id}/report.json")
        answer = web.get(f"/api/v1/studies/{study_id}").json()["answer"]
        rows = told.json()["results"]["tables"][0]["rows"]
        assert [row["figures"][0][1]["value"] for row in rows] == [
            row["mean"]["balanced_accuracy"]["value"] for row in answer["tables"][0]["rows"]
        ]
        assert "base64" not in told.text
        assert told.headers["content-disposition"].startswith(f'attachment; filename="study-{study_id}-report.json"')

    def test_every_figure_of_the_answer_stands_on_the_page(self, web: Any, study_id: int) -> None:
        shown = web.get(f"/api/v1/studies/{study_id}/report.html").text
        for table in web.get(f"/api/v1/studies/{study_id}").json()["answer"]["tables"]:
            for row in table["rows"]:
                for metric in METRICS:
                    assert with_interval(row["mean"][metric], ".3f") in shown, metric
                if (told := row["against_reference"]) is not None:
                    tests = (
                        told["difference"]["balanced_accuracy"],
                        told["p"],
                        told["p_holm"],
                        told["mcnemar"],
                        told["delong"],
                    )
                    assert all(cell in shown for cell in cells_of(*tests)), tests
                    assert all(
                        escape(each["method"]) in shown
                        for each in (told["difference"], told["mcnemar"], told["delong"])
                    )

    def test_are_yaml_and_svg(self, web: Any, study_id: int) -> None:
        recipe = web.get(f"/api/v1/studies/{study_id}/study.yaml")
        assert yaml.safe_load(recipe.text)["name"] == 'My "<b>study</b>"'
        for name in ("arms", "curve"):
            chart = web.get(f"/api/v1/studies/{study_id}/{name}.svg")
            assert chart.headers["content-type"] == "image/svg+xml"
            assert "sandbox" in chart.headers["content-security-policy"]
            assert "<b>" not in chart.text

    def test_that_cannot_be_drawn_say_why(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            made = study_data.launched(session, who, factories.dataset_with_version(session, who))
        for name in ("arms", "curve"):
            answer = web.get(f"/api/v1/studies/{made.id}/{name}.svg")
            assert (answer.status_code, "The table is not made yet" in answer.json()["detail"]) == (404, True)

    def test_pictures_are_small_and_of_the_right_image(self, web: Any, study_id: int, tmp_path: Any) -> None:
        told = json.loads(web.get(f"/api/v1/studies/{study_id}/report.json").text)["samples"]["classes"][0]["real"][0]
        shown = web.get(f"/studies/{study_id}/report").text
        data = re.search(rf'src="data:image/png;base64,([^"]+)" alt="{told["alt"]}"', shown)
        assert data is not None
        (tmp_path / "shown.png").write_bytes(base64.b64decode(data[1]))
        stored = load_uint8(make_storage(web.app.state.settings).path(told["sha256"]))
        assert (load_uint8(tmp_path / "shown.png") == stored).all()


def test_the_study_links_to_its_report(web: Any, study_id: int) -> None:
    assert f'href="/studies/{study_id}/report"' in web.get(f"/studies/{study_id}").text
    with web.app.state.database.read() as session:
        assert session.get_one(Study, study_id).answer is not None
