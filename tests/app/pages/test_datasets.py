"""Adding images, the plan, and a dataset's own pages."""

import io
import zipfile
from typing import Any

from app.core.images import encode_png
from app.services import datasets, jobs
from app.services.identity import Identity
from models import Dataset, DatasetState, RefusedFile
from tests import factories


def _archive(names: list[str]) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for i, name in enumerate(names):
            archive.writestr(name, encode_png(factories.drawing(i % 2, i)) if name.endswith(".png") else b"text")
    return target.getvalue()


def _upload(web: Any, names: list[str], *, file_name: str = "shapes.zip") -> Any:
    return web.post("/datasets/new", files={"archive": (file_name, _archive(names), "application/zip")})


GOOD = [f"top/{label}/{i}.png" for label in ("disc", "ring") for i in range(3)]


class TestAddingImages:
    def test_an_archive_leads_to_a_plan_and_nothing_is_imported(self, web: Any, who: Identity) -> None:
        page = _upload(web, [*GOOD, "top/README.md"])
        assert page.status_code == 200
        assert page.url.path.startswith("/datasets/new/")
        assert "Nothing is imported yet." in page.text
        assert 'value="shapes"' in page.text
        assert "top/README.md" in page.text
        with web.app.state.database.read() as session:
            assert datasets.listing(session, who).items == []

    def test_the_import_is_a_job_and_the_name_is_taken_from_then_on(self, web: Any, who: Identity) -> None:
        plan = _upload(web, GOOD).url.path
        asked = web.post(
            plan,
            data={"name": "shapes", "seed": "3", "train_percent": "60", "val_percent": "20"},
            follow_redirects=False,
        )
        assert asked.status_code == 303
        with web.app.state.database.read() as session:
            job = jobs.get(session, who, int(asked.headers["location"].removeprefix("/jobs/")))
            assert (job.spec["name"], job.spec["seed"], job.spec["train_percent"]) == ("shapes", 3, 60)
        again = web.post(_upload(web, GOOD).url.path, data={"name": "shapes"})
        assert again.status_code == 422
        assert "This name is taken." in again.text

    def test_the_conversion_can_be_chosen_and_what_does_not_fit_is_said(self, web: Any, who: Identity) -> None:
        path = _upload(web, GOOD).url.path
        page = web.post(path, data={"name": "window", "scaling": "window", "window_low": "-160"})
        assert page.status_code == 422
        assert "needs window_low and window_high" in page.text
        assert 'value="-160"' in page.text
        data = {"name": "window", "scaling": "window", "window_low": "-160", "window_high": "240", "slice_every": "3"}
        asked = web.post(path, data=data, follow_redirects=False)
        with web.app.state.database.read() as session:
            spec = jobs.get(session, who, int(asked.headers["location"].removeprefix("/jobs/"))).spec
        assert (spec["window_low"], spec["window_high"], spec["slice_every"]) == (-160, 240, 3)

    def test_a_wrong_value_is_shown_beside_its_field_with_what_was_typed(self, web: Any) -> None:
        page = web.post(_upload(web, GOOD).url.path, data={"name": "kept", "train_percent": "200"})
        assert page.status_code == 422
        assert 'id="wrong-train_percent"' in page.text
        assert 'value="200"' in page.text
        assert 'value="kept"' in page.text

    def test_an_archive_without_images_says_what_was_expected(self, web: Any) -> None:
        page = _upload(web, ["notes.txt"])
        assert page.status_code == 422
        assert "Add other images" in page.text

    def test_a_discarded_upload_cannot_be_imported(self, web: Any) -> None:
        plan = _upload(web, GOOD).url.path
        assert web.post(f"{plan}/discard", follow_redirects=False).headers["location"] == "/datasets"
        assert web.get(plan).status_code == 409


class TestADataset:
    def test_shows_images_of_the_class_and_split_in_the_address(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, who, num_images=20)
        page = web.get(f"/datasets/{version.dataset_id}?label=1&split=test").text
        assert page.count("data-open href") == 2  # 10 images of the class, 2 of 10 are for testing
        assert "2 of 2 images" in page
        assert web.get(f"/datasets/{version.dataset_id}?label=&split=").text.count("data-open href") == 20

    def test_pages_by_keyset(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, who, num_images=150)
            last = datasets.images(session, version, limit=120).next_cursor
        first = web.get(f"/datasets/{version.dataset_id}").text
        assert f"cursor={last}" in first
        assert web.get(f"/datasets/{version.dataset_id}?cursor={last}").text.count("data-open href") == 30

    def test_lists_what_was_left_out_with_the_reason(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, who)
            session.add(
                RefusedFile(version_id=version.id, path="a/b<c>.png", kind="broken", reason="It ends in the middle.")
            )
        page = web.get(f"/datasets/{version.dataset_id}/refused?kind=broken").text
        assert "a/b&lt;c&gt;.png" in page
        assert "It ends in the middle." in page
        assert "Every file was used" in web.get(f"/datasets/{version.dataset_id}/refused?kind=ignored").text

    def test_under_import_leads_to_the_job(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            job = factories.job(session, who)
            dataset = Dataset(project_id=who.project_id, name="coming", state=DatasetState.IMPORTING, job_id=job.id)
            session.add(dataset)
            session.flush()
        assert f'href="/jobs/{job.id}"' in web.get(f"/datasets/{dataset.id}").text

    def test_is_renamed_and_deleted(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, who)
        assert "better" in web.post(f"/datasets/{version.dataset_id}/rename", data={"name": " better "}).text
        assert web.post(f"/datasets/{version.dataset_id}/delete").url.path == "/datasets"
        assert web.get(f"/datasets/{version.dataset_id}").status_code == 404

    def test_cannot_be_deleted_while_a_checkpoint_was_made_from_it(self, web: Any, who: Identity) -> None:
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, who)
            factories.checkpoint(session, who, version)
        response = web.post(f"/datasets/{version.dataset_id}/delete")
        assert response.status_code == 409
        assert "1 checkpoints made from it" in response.text

    def test_of_another_project_does_not_exist(self, web: Any) -> None:
        with web.app.state.database.write() as session:
            version = factories.dataset_with_version(session, factories.identity(session, "other"))
        assert web.get(f"/datasets/{version.dataset_id}").status_code == 404
        assert web.post(f"/datasets/{version.dataset_id}/delete").status_code == 404
