"""The pages of checkpoints."""

from typing import Any

import pytest

from app.core.db import Database
from app.services.identity import Identity
from models import Artifact, Checkpoint
from tests import factories
from tests.app.pages.results_data import COPY_WATCH


@pytest.fixture
def checkpoint(database: Database, who: Identity) -> Checkpoint:
    with database.write() as session:
        version = factories.dataset_with_version(session, who)
        spec = {"kind": "train_diffusion", "preset": "tiny", "num_steps": 300, "hflip": False}
        return factories.checkpoint(session, who, version, spec=spec)


class TestList:
    def test_says_how_to_get_a_first_checkpoint(self, web: Any) -> None:
        page = web.get("/checkpoints")
        assert "No checkpoint yet" in page.text
        assert 'href="/jobs/new/train_diffusion"' in page.text

    def test_links_to_each_checkpoint_and_to_sampling(self, web: Any, checkpoint: Checkpoint) -> None:
        page = web.get("/checkpoints").text
        assert f'href="/checkpoints/{checkpoint.id}">shapes, 300 steps</a>' in page
        assert f'href="/jobs/new/sample?checkpoint_id={checkpoint.id}"' in page

    def test_does_not_show_those_of_other_projects(self, web: Any, database: Database) -> None:
        with database.write() as session:
            other = factories.identity(session, "other lab")
            factories.checkpoint(session, other, factories.dataset_with_version(session, other), name="not yours")
        assert "not yours" not in web.get("/checkpoints").text


class TestShow:
    def test_tells_network_steps_hash_settings_and_origin(self, web: Any, checkpoint: Checkpoint) -> None:
        page = web.get(f"/checkpoints/{checkpoint.id}").text
        assert "1\u202f234" in page  # parameters
        assert "300 steps" in page
        assert checkpoint.sha256 in page
        assert "<code>preset</code></th><td>tiny</td>" in page
        assert "<code>hflip</code></th><td>no</td>" in page
        assert f'href="/jobs/{checkpoint.job_id}"' in page
        assert f'"checkpoint_id": {checkpoint.id}' in page.replace("&#34;", '"')  # the script

    def test_shows_the_last_preview_of_the_training(self, web: Any, database: Database, checkpoint: Checkpoint) -> None:
        with database.write() as session:
            for step, digit in ((100, "a"), (200, "b")):
                session.add(
                    Artifact(
                        job_id=checkpoint.job_id, role="preview", index=step, name="preview.png", media_type="image/png",
                        size=1, sha256=digit * 64, data={},
                    )
                )  # fmt: skip
        page = web.get(f"/checkpoints/{checkpoint.id}").text
        assert f'src="/files/{"b" * 64}.png"' in page
        assert f'src="/files/{"a" * 64}.png"' not in page

    def test_asks_for_a_sample_with_the_defaults_of_the_spec(self, web: Any, checkpoint: Checkpoint) -> None:
        page = web.get(f"/checkpoints/{checkpoint.id}").text
        assert 'action="/jobs/new/sample"' in page
        assert f'name="checkpoint_id" value="{checkpoint.id}"' in page
        assert 'name="per_class" value="16"' in page

    def test_of_another_project_is_not_found(self, web: Any, database: Database) -> None:
        with database.write() as session:
            other = factories.identity(session, "other lab")
            theirs = factories.checkpoint(session, other, factories.dataset_with_version(session, other))
        assert web.get(f"/checkpoints/{theirs.id}").status_code == 404
        assert web.post(f"/checkpoints/{theirs.id}/delete").status_code == 404


class TestChange:
    def test_renames(self, web: Any, checkpoint: Checkpoint) -> None:
        answer = web.post(f"/checkpoints/{checkpoint.id}/rename", data={"name": " the  good one "})
        assert answer.url.path == f"/checkpoints/{checkpoint.id}"
        assert "<h1>the good one</h1>" in answer.text

    def test_deletes_and_goes_to_the_list(self, web: Any, checkpoint: Checkpoint) -> None:
        answer = web.post(f"/checkpoints/{checkpoint.id}/delete")
        assert answer.url.path == "/checkpoints"
        assert web.get(f"/checkpoints/{checkpoint.id}").status_code == 404

    def test_does_not_delete_what_a_set_was_drawn_from(
        self, web: Any, database: Database, who: Identity, checkpoint: Checkpoint
    ) -> None:
        with database.write() as session:
            factories.synthetic_set(session, who, checkpoint)
        answer = web.post(f"/checkpoints/{checkpoint.id}/delete")
        assert answer.status_code == 409
        assert "Delete those sets first" in answer.text


class TestATrainingThatStoppedOnCopies:
    def test_says_why_and_at_which_step_with_every_check(
        self, web: Any, database: Database, checkpoint: Checkpoint
    ) -> None:
        assert "Copies during training" not in web.get(f"/checkpoints/{checkpoint.id}").text
        with database.write() as session:
            session.get_one(Checkpoint, checkpoint.id).copy_watch = COPY_WATCH
        page = web.get(f"/checkpoints/{checkpoint.id}").text
        assert COPY_WATCH["sentence"] in page
        assert "16 of 32" in page
        assert "50 %, 32 to 68 %" in page
        assert "1.5e-09" in page
        assert "nothing to see" in page
        assert "of these 1 of 340 do. Images count as independent." in page
        with database.write() as session:
            grouped = {**COPY_WATCH, "floor": {**COPY_WATCH["floor"], "num_groups": 52, "num_groups_flagged": 1}}
            session.get_one(Checkpoint, checkpoint.id).copy_watch = grouped
        assert "of these 1 of 340, of 52 patients or groups, do." in web.get(f"/checkpoints/{checkpoint.id}").text

    def test_shows_no_preview_of_a_later_network(self, web: Any, database: Database, checkpoint: Checkpoint) -> None:
        with database.write() as session:
            row = session.get_one(Checkpoint, checkpoint.id)
            row.num_steps, row.copy_watch = 150, COPY_WATCH
            for step, digit in ((150, "a"), (200, "b")):
                session.add(
                    Artifact(
                        job_id=checkpoint.job_id, role="preview", index=step, name="preview.png", media_type="image/png", size=1,
                        sha256=digit * 64, data={},
                    )
                )  # fmt: skip
        page = web.get(f"/checkpoints/{checkpoint.id}").text
        assert f'src="/files/{"a" * 64}.png"' in page
        assert "b" * 64 not in page
