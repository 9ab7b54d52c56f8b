"""The plan page: its table, the choice of classes and groups, and what lies on the server."""

import re
from pathlib import Path
from typing import Any

import pytest

from app.core.config import Settings
from app.services import jobs
from app.services.identity import Identity
from tests import factories
from tests.app.core.hostile import zipped
from tests.imports import picture

TABLE = "file,dx,patient_id,site\n" + "".join(f"{i}.png,{'ab'[i % 2]},Erika {i // 2},s{i % 3}\n" for i in range(8))
FLAT = {f"scans/{i}.png": picture(i) for i in range(8)}
FOLDERS = {f"{'ab'[i % 2]}/{i}.png": picture(i) for i in range(8)}


def send(web: Any, files: dict[str, bytes], table: str | None = None) -> Any:
    """The plan page of an upload of these files."""
    entries = [*files.items(), *([("labels.csv", table.encode())] if table else [])]
    return web.post("/datasets/new", files={"archive": ("images.zip", zipped(*entries), "application/zip")})


def chosen(page: Any, name: str) -> str:
    """The option that is chosen in a select; empty if none is."""
    (select,) = re.findall(rf'<select id="f-{name}".*?</select>', page.text, re.DOTALL)
    return next(iter(re.findall(r'value="([^"]*)" selected', select)), "")


class TestThePlan:
    def test_shows_the_table_and_chooses_the_column_that_could_name_patients(self, web: Any) -> None:
        page = send(web, FLAT, TABLE)
        assert "classes from the column dx" in page.text
        assert "The table labels.csv: 8 rows, 4 columns" in page.text
        assert "The column patient_id could name patients." in page.text
        assert chosen(page, "group_by") == "patient_id"
        assert "Erika 0" in page.text
        assert "<dd>4</dd>" in page.text

    def test_warns_where_nothing_says_which_images_are_of_one_patient(self, web: Any) -> None:
        page = send(web, FOLDERS)
        assert "Nothing says which images are of one patient." in page.text
        assert "f-group_by" not in page.text
        assert 'id="f-group_pattern"' in page.text

    def test_classes_can_be_another_column_or_the_folders(self, web: Any) -> None:
        address = send(web, {f"x/{path}": data for path, data in FOLDERS.items()}, TABLE.replace("dx", "sex")).url.path
        page = web.get(f"{address}?classes=column:site")
        assert (chosen(page, "classes"), "3</dd>" in page.text) == ("column:site", True)
        assert '<input type="hidden" name="label_by" value="site">' in page.text
        page = web.get(f"{address}?classes=folders")
        assert '<input type="hidden" name="classes_from" value="folders">' in page.text

    def test_a_column_that_is_not_there_leaves_the_plan_as_it_was_found(self, web: Any) -> None:
        page = web.get(f"{send(web, FLAT, TABLE).url.path}?classes=column:nonsense")
        assert page.status_code == 200
        assert "is not in labels.csv" in page.text
        assert ">8</dd>" in page.text

    def test_asks_for_the_class_where_none_is_known(self, web: Any) -> None:
        page = send(web, FLAT, TABLE.replace("dx", "grade"))
        assert "Say which column of labels.csv is the class" in page.text
        assert "Import 8 images" not in page.text
        page = web.get(f"{page.url.path}?classes=column:grade")
        assert "Import 8 images" in page.text

    def test_the_import_takes_what_was_chosen(self, web: Any, who: Identity) -> None:
        address = send(web, FLAT, TABLE).url.path
        data = {"name": "x", "group_by": "", "group_pattern": r"(\d)", "label_by": "site", "classes_from": "auto"}
        asked = web.post(address, data=data, follow_redirects=False)
        assert asked.status_code == 303
        with web.app.state.database.read() as session:
            spec = jobs.get(session, who, int(asked.headers["location"].removeprefix("/jobs/"))).spec
        assert (spec["group_by"], spec["group_pattern"], spec["label_by"]) == (None, r"(\d)", "site")

    def test_a_pattern_that_is_none_is_said_beside_its_field(self, web: Any) -> None:
        page = web.post(send(web, FLAT, TABLE).url.path, data={"name": "kept", "group_pattern": "(a"})
        assert page.status_code == 422
        assert 'id="wrong-group_pattern"' in page.text
        assert 'value="kept"' in page.text

    def test_a_column_and_a_pattern_are_refused_together(self, web: Any) -> None:
        page = web.post(send(web, FLAT, TABLE).url.path, data={"name": "x", "group_pattern": "a", "group_by": "site"})
        assert page.status_code == 422
        assert "not from both" in page.text


class TestTheGroupsOfAPattern:
    def fragment(self, web: Any, address: str, **query: str) -> Any:
        answer = web.get(f"{address}/groups", params=query)
        assert answer.status_code == 200
        assert answer.text.lstrip().startswith('<div id="group-preview" role="status">')
        return answer.text

    def test_are_counted_with_examples_while_it_is_typed(self, web: Any) -> None:
        found = self.fragment(web, send(web, FLAT, TABLE).url.path, group_pattern=r"scans/([0-3])", group_by="")
        assert "<td><code>scans/2.png</code></td><td>2</td>" in found
        assert re.findall(r"<dd>(\d+)</dd>", found) == ["4", "1", "4"]
        assert "<td><code>scans/7.png</code></td>" in found
        assert "Without a group" in found

    @pytest.mark.parametrize(("pattern", "says"), [
        ("(a", "(a is no regular expression: missing )"), ("zzz", "No image has a group."), ("", "Nothing says which images"),
    ])  # fmt: skip
    def test_that_finds_none_says_why(self, web: Any, pattern: str, says: str) -> None:
        assert says in self.fragment(web, send(web, FLAT, TABLE).url.path, group_pattern=pattern)

    def test_are_escaped(self, web: Any) -> None:
        files = {f"<b>{i}/{name}.png": picture(i) for i in range(3) for name in "ab"}
        assert "&lt;b&gt;0" in self.fragment(web, send(web, files).url.path, group_pattern="(<b>.)")

    def test_of_another_projects_upload_are_not_shown(self, web: Any) -> None:
        assert web.get("/datasets/new/12345/groups").status_code == 404


class TestIntoADataset:
    @pytest.fixture
    def dataset_id(self, web: Any, who: Identity) -> int:
        """A dataset of the classes a (12 images) and b2 (8)."""
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, who, name="growing", classes=["a", "B 2"])
            return version.dataset_id

    def send(self, web: Any, dataset_id: int, files: dict[str, bytes], table: str | None = None) -> Any:
        entries = [*files.items(), *([("labels.csv", table.encode())] if table else [])]
        return web.post(
            f"/datasets/new?dataset_id={dataset_id}",
            files={"archive": ("more.zip", zipped(*entries), "application/zip")},
        )

    def test_the_datasets_page_leads_to_it(self, web: Any, dataset_id: int) -> None:
        for page in ("", "/versions"):
            assert f'href="/datasets/new?dataset_id={dataset_id}"' in web.get(f"/datasets/{dataset_id}{page}").text
        form = web.get(f"/datasets/new?dataset_id={dataset_id}").text
        assert "Add images to growing" in form
        assert f'data-query="?dataset_id={dataset_id}"' in form
        assert "data.add(&#34;more_images.zip&#34;)" in form
        assert "They join the images of version 1 in a new version" in form

    def test_the_plan_says_which_classes_are_new(self, web: Any, dataset_id: int) -> None:
        page = self.send(
            web, dataset_id, {f"{name}/{i}.png": picture(i) for name in ("A", "b_2", "c") for i in range(3)}
        )
        assert page.url.query == f"dataset_id={dataset_id}".encode()
        text = re.sub(r"\s+", " ", page.text)
        assert "growing</a> has 1 of these 3 classes; 2 are new: b_2, c." in text
        assert "b_2 would be a new class beside B 2, which is spelt otherwise." in text
        assert re.search(r'<th scope="row">A</th><td class="num">3</td><td class="num">10</td>', text)
        assert re.search(r'<th scope="row">c</th><td class="num">3</td><td class="num"><span class="tag">new', text)
        assert 'id="f-name"' not in page.text
        assert f'<input type="hidden" name="dataset_id" value="{dataset_id}">' in page.text
        assert "Add 9 images" in page.text

    def test_a_single_split_folder_is_shown_as_a_split(self, web: Any, dataset_id: int) -> None:
        page = self.send(web, dataset_id, {f"test/a/{i}.png": picture(i) for i in range(3)})
        assert '<th scope="col" class="num">test</th>' in page.text
        assert "growing</a> has this class." in page.text
        assert 'id="f-keep_layout_splits"' in page.text

    def test_other_classes_are_chosen_for_the_same_dataset(self, web: Any, dataset_id: int) -> None:
        page = self.send(web, dataset_id, FLAT, TABLE)
        assert f'<input type="hidden" name="dataset_id" value="{dataset_id}">' in page.text.split("plan-classes")[1]
        page = web.get(f"{page.url.path}?classes=column:site&dataset_id={dataset_id}")
        assert "has none of these 3 classes; 3 are new: s0, s1, s2." in page.text

    def test_the_import_is_asked_for(self, web: Any, who: Identity, dataset_id: int) -> None:
        address = self.send(web, dataset_id, FOLDERS).url.path
        asked = web.post(address, data={"dataset_id": str(dataset_id), "seed": "3"}, follow_redirects=False)
        assert asked.status_code == 303
        with web.app.state.database.read() as session:
            spec = jobs.get(session, who, int(asked.headers["location"].removeprefix("/jobs/"))).spec
        assert (spec["name"], spec["dataset_id"], spec["seed"]) == (None, dataset_id, 3)

    def test_what_is_wrong_is_said_on_the_same_page(self, web: Any, dataset_id: int) -> None:
        address = self.send(web, dataset_id, FOLDERS).url.path
        page = web.post(address, data={"dataset_id": str(dataset_id), "train_percent": "99"})
        assert page.status_code == 422
        assert 'id="wrong-train_percent"' in page.text
        assert "Add to growing" in page.text
        for nonsense in ("999", "x", "9" * 30):
            assert web.post(address, data={"dataset_id": nonsense}).status_code in (404, 422)
            assert web.get(f"{address}?dataset_id={nonsense}").status_code in (404, 422)

    def test_a_name_is_needed_where_no_dataset_is_given(self, web: Any) -> None:
        page = web.post(send(web, FOLDERS).url.path, data={"name": ""})
        assert page.status_code == 422
        assert re.search(r'id="wrong-name">.*?This is needed.', page.text, re.DOTALL)


class TestOnTheServer:
    @pytest.fixture
    def settings(self, tmp_path: Path, database_url: str) -> Settings:
        for path, data in FOLDERS.items():
            (tmp_path / "server" / "set" / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "server" / "set" / path).write_bytes(data)
        return Settings(
            _env_file=None, data_dir=tmp_path / "data", database_url=database_url, import_roots=str(tmp_path / "server")
        )

    def test_folders_are_listed_one_level_at_a_time(self, web: Any, tmp_path: Path) -> None:
        root = tmp_path / "server"
        assert 'href="/datasets/new/server"' in web.get("/datasets/new").text
        assert f">{root}</a>" in re.sub(r"<svg.*?</svg>", "", web.get("/datasets/new/server").text, flags=re.DOTALL)
        inside = web.get("/datasets/new/server", params={"path": str(root)}).text
        assert f"path={root}/set" in inside
        assert "All folders that may be imported" in inside
        assert f"path={root}" in web.get("/datasets/new/server", params={"path": f"{root}/set"}).text

    def test_a_path_leads_to_its_plan(self, web: Any, tmp_path: Path) -> None:
        page = web.post("/datasets/new/server", data={"path": f" {tmp_path}/server/set "})
        assert (page.status_code, page.url.path) == (200, "/datasets/new/1")
        assert "Import 8 images" in page.text
        assert 'value="set"' in page.text
        assert "Discard the plan" in page.text

    def test_the_dataset_goes_along(self, web: Any, who: Identity, tmp_path: Path) -> None:
        with web.app.state.database.write() as session:
            dataset_id = factories.dataset_with_version(session, who, name="growing").dataset_id
        query = f"?dataset_id={dataset_id}"
        root = tmp_path / "server"
        assert f'href="/datasets/new/server{query}"' in web.get(f"/datasets/new{query}").text
        inside = web.get(f"/datasets/new/server{query}", params={"path": str(root), "dataset_id": dataset_id}).text
        assert f"path={root}/set&amp;dataset_id={dataset_id}" in inside
        assert f'href="/datasets/new/server{query}"' in inside
        page = web.post(f"/datasets/new/server{query}", data={"path": str(root / "set")})
        assert (page.url.path, page.url.query.decode()) == ("/datasets/new/1", query[1:])
        assert "Add to growing" in page.text

    @pytest.mark.parametrize("path", ["/etc", "", "server", "/etc/passwd"])
    def test_a_path_elsewhere_is_refused_beside_its_field(self, web: Any, path: str) -> None:
        page = web.post("/datasets/new/server", data={"path": path})
        assert page.status_code == 422
        assert 'id="wrong-path"' in page.text
        assert "root:" not in page.text


def test_where_imports_from_the_server_are_off_the_page_says_how_to_allow_them(web: Any) -> None:
    assert "/datasets/new/server" not in web.get("/datasets/new").text
    assert "PHANTOM_IMPORT_ROOTS" in web.get("/datasets/new/server").text
