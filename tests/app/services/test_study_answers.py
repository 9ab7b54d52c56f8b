"""What the sentences of a study's report say of its tables: the answer, and the limits of the test images."""

from typing import Any

from app.services.studies.reporting import answering
from models import Dataset, Study


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
