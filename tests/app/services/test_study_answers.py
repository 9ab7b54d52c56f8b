"""What the sentences of a study's report say of its tables: the answer, and the limits of the test images."""

from typing import Any

import pytest
from sqlalchemy import update
from sqlalchemy.orm import Session

from app.services.identity import Identity
from app.services.studies import reporting
from app.services.studies.reporting import answering
from models import Dataset, DatasetVersion, Image, Split, Study
from tests import factories
from tests.app.pages import study_data


def row(key: str, *, p_holm: float | None = 0.5, difference: float = -0.01) -> dict[str, Any]:
    """Of a table; the reference has no test."""
    arm, _, size = key.partition(" x")
    against = {"difference": {"balanced_accuracy": {"value": difference}}, "p": p_holm, "p_holm": p_holm}
    return {
        "key": key, "arm": arm, "size": float(size) if size else None, "seeds": [],
        "mean": {"balanced_accuracy": {"value": 0.8, "low": 0.7, "high": 0.9}},
        "against_reference": None if arm == "real_equal" else against,
    }  # fmt: skip


def study(*rows: dict[str, Any]) -> Study:
    table = {
        "architecture": "resnet10t",
        "tested_on": "own",
        "reference": "real_equal",
        "rows": [row("real_equal"), *rows],
    }
    return Study(answer={"tables": [table]})


def summary(*rows: dict[str, Any]) -> str:
    return answering.answer(study(*rows), Dataset(name="scans")).summary[0]


class TestAnswer:
    def test_comparisons_without_a_test_are_not_called_not_different(self) -> None:
        said = summary(row("synthetic x1", p_holm=None), row("synthetic x2", p_holm=0.4))
        assert (
            "were not testable in 1 and not significantly different in 1, which does not show that they are equal, against"
            in said
        )
        assert "were not testable in 1, against" in summary(row("synthetic x1", p_holm=None))

    def test_shown_differences_are_counted_by_direction(self) -> None:
        said = summary(
            row("synthetic x1", p_holm=0.01), row("synthetic x2", p_holm=0.01, difference=0.1), row("synthetic x3")
        )
        assert "were significantly worse in 1, significantly better in 1 and not significantly different in 1," in said
        assert "testable" not in said


class TestLimitsOfPatients:
    @pytest.fixture
    def version(self, session: Session, who: Identity) -> DatasetVersion:
        """Of 60 images, 12 of them for testing."""
        return factories.dataset_with_version(session, who, num_images=60)

    def said(self, session: Session, who: Identity, version: DatasetVersion, **options: Any) -> str:
        made = study_data.launched(session, who, version, **options)
        limits = reporting.gather(session, made, studio="", real_images=False).limits
        return next((limit for limit in limits if "atients are not known" in limit), "")

    def test_name_how_many_test_images_are_of_unknown_patients(
        self, session: Session, who: Identity, version: DatasetVersion
    ) -> None:
        _know(session, version, Split.TRAIN)
        assert "not known for 12 of 12 of the locked test images:" in self.said(session, who, version)

    def test_look_alikes_do_not_make_patients_known(
        self, session: Session, who: Identity, version: DatasetVersion
    ) -> None:
        session.execute(update(Image).values(cluster=Image.id / 2))
        assert "not known for 12 of 12 of the locked test images:" in self.said(session, who, version)

    def test_say_nothing_where_every_patient_is_known(
        self, session: Session, who: Identity, version: DatasetVersion
    ) -> None:
        _know(session, version, Split.TEST)
        assert self.said(session, who, version) == ""

    def test_name_the_table_that_they_concern(self, session: Session, who: Identity, version: DatasetVersion) -> None:
        _know(session, version, *Split)
        other = factories.dataset_with_version(
            session, who, name="other", num_images=60, classes=["disc", "ring", "blob"]
        )
        session.execute(
            update(Image).where(Image.version_id == other.id, Image.split == Split.VAL).values(series="one")
        )
        test = {
            "dataset_id": other.dataset_id,
            "class_map": {"disc": "disc", "ring": "ring"},
        }  # 40 images, 4 of them known
        said = self.said(session, who, version, external={"site B": test})
        assert "not known for 36 of 40 of the images of site B:" in said


def _know(session: Session, version: DatasetVersion, *splits: Split) -> None:
    session.execute(
        update(Image).where(Image.version_id == version.id, Image.split.in_(splits)).values(group="patient")
    )


class TestAcceptedLeaks:
    SEEN = "the same picture as 3 (2 with identical pixels) and the patients of 5"

    def report(self, session: Session, who: Identity, arm: str) -> reporting.Report:
        made = study_data.launched(session, who, factories.dataset_with_version(session, who, num_images=60))
        study_data.with_tests(session, who, made)
        study_data.leaking(session, made, arm=arm)
        study_data.answered(session, made)
        return reporting.gather(session, made, studio="", real_images=False)

    def test_mark_their_rows_with_the_largest_over_seeds(self, session: Session, who: Identity) -> None:
        rows = self.report(session, who, "synthetic").results.tables[0].rows
        marked = {row.key: row.seen for row in rows if row.seen}
        assert marked == {"synthetic x0.5": self.SEEN, "synthetic x1": self.SEEN}

    def test_mark_charts_and_recalls(self, session: Session, who: Identity) -> None:
        told = self.report(session, who, "synthetic")
        (panel,), (curve,), (recalls,) = told.charts.arms, told.charts.curves, told.recalls.tables
        assert "† leaking" in panel.title
        assert [name for name, _, _ in panel.points if "†" in name] == [
            "Synthetic ×\u00a00.5 †",
            "Synthetic ×\u00a01 †",
        ]
        assert [name for name, _ in curve.series if "†" in name] == ["Synthetic †"]
        assert [name for name, _, _ in recalls.rows if "†" in name] == [
            "Synthetic ×\u00a00.5 †",
            "Synthetic ×\u00a01 †",
        ]

    @pytest.mark.parametrize("arm", ["synthetic", "real_equal"])
    def test_are_a_caveat_of_the_answer_and_a_limit_of_their_table(
        self, session: Session, who: Identity, arm: str
    ) -> None:
        told = self.report(session, who, arm)
        assert told.answer.summary[-1] == (
            f"Training had seen {self.SEEN} of these images: the figures measure memory, too."
        )
        (limit,) = [each for each in told.limits if "as was accepted" in each]
        assert f"{self.SEEN} (tf_efficientnet_lite0 on the locked test images)" in limit

    def test_of_an_arm_that_the_answer_does_not_name_are_no_caveat_of_it(self, session: Session, who: Identity) -> None:
        told = self.report(session, who, "real_augmented")
        assert len(told.answer.summary) == 2
        assert any("as was accepted" in each for each in told.limits)

    def test_that_are_none_mark_nothing(self, session: Session, who: Identity) -> None:
        told = self.report(session, who, "nothing")
        assert not any("as was accepted" in each for each in told.limits)
        assert told.charts.arms[0].title == "tf_efficientnet_lite0 on the locked test images"
        assert len(told.answer.summary) == 2
