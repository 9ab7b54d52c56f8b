"""A study's table for a paper."""

import copy
import csv
import io
from typing import Any

import numpy as np

from app.services.studies.reporting.against import methods_of
from app.services.studies.tables import as_csv, as_latex
from models import Study
from tests.workers.ml.metrics.arms_data import arm
from workers.ml.metrics.paired import mcnemar


def study(**row: Any) -> Study:
    seeds = [{"seed": 0, "evaluation_id": 5, "reason": ""}, {"seed": 1, "evaluation_id": None, "reason": "It failed."}]
    line = {"key": "synthetic x2", "arm": "synthetic", "size": 2.0, "seeds": seeds, **row}
    return Study(
        answer={
            "tables": [
                {
                    "architecture": "resnet_10%",
                    "tested_on": "site A & B",
                    "num_images": 40,
                    "reference": "real_equal",
                    "rows": [line],
                }
            ]
        }
    )


LABELS = np.array([0, 0, 1, 1] * 2)
COMPARED: dict[str, Any] = {
    "mean": {
        "balanced_accuracy": {"value": 0.5, "low": 0.4, "high": 0.61239, "per_seed": [0.5]},
        "auroc": {"value": 0.9, "low": 0.8, "high": None},
    },
    "against_reference": {
        "difference": {"balanced_accuracy": {"value": -0.25, "low": -0.5, "high": 0.0}}, "p": 0.01, "p_holm": 0.03,
        "mcnemar": {"first_only": 3, "second_only": 8, "p": 0.2, "by_group": {"p": 0.25}},
        "delong": {"value": -0.05, "low": -0.1, "high": 0.0, "p": 0.04},
    },
}  # fmt: skip


def test_csv_has_every_figure_whole() -> None:
    line = next(csv.DictReader(io.StringIO(as_csv(study(**COMPARED)))))
    assert {name: value for name, value in line.items() if value} == {
        "network": "resnet_10%", "tested_on": "site A & B", "arm": "synthetic", "size": "2.0", "seeds": "0", "n": "40",
        "balanced_accuracy": "0.5", "low": "0.4", "high": "0.61239", "difference": "-0.25", "difference_low": "-0.5",
        "difference_high": "0.0", "p": "0.01", "p_holm": "0.03", "only_arm_right": "3", "only_reference_right": "8",
        "mcnemar_p": "0.25", "auroc_difference": "-0.05", "auroc_difference_low": "-0.1", "auroc_difference_high": "0.0",
        "delong_p": "0.04", "reference": "real_equal", "by_seed": "0.5", "failed_seeds": "1", "auroc": "0.9", "auroc_low": "0.8",
    }  # fmt: skip


def test_mcnemar_of_single_images_stands_where_there_are_no_groups() -> None:
    told = copy.deepcopy(COMPARED)
    told["against_reference"]["mcnemar"]["by_group"] = None
    assert next(csv.DictReader(io.StringIO(as_csv(study(**told)))))["mcnemar_p"] == "0.2"


def test_latex_escapes_names_and_rounds() -> None:
    line = as_latex(study(**COMPARED)).splitlines()[4]
    assert (
        line
        == r"resnet\_10\% & site A \& B & synthetic $\times$2 & 1 & 40 & 0.500 [0.400, 0.612] & -0.250 [-0.500, +0.000] & 0.030 \\"
    )
    assert r"& $<$0.001 \\" in as_latex(study(**{**COMPARED, "against_reference": {"p_holm": 0.0004}}))


SEEN = [
    {"seed": 0, "evaluation_id": 5, "reason": "", "leaks": {"patients": 0, "identical": 2, "near": 3}},
    {"seed": 1, "evaluation_id": 6, "reason": "", "leaks": {"patients": 7, "identical": 0, "near": 1}},
    {"seed": 2, "evaluation_id": None, "reason": "It failed.", "leaks": None},
]


def test_rows_of_which_training_had_seen_images_are_marked() -> None:
    told = study(**COMPARED, seeds=SEEN)
    line = next(csv.DictReader(io.StringIO(as_csv(told))))
    assert (line["known_images"], line["known_patients"]) == ("3", "7")
    *_, row, _, note, _ = as_latex(told).splitlines()
    assert r"& synthetic $\times$2$^\dagger$ & 2 & 40" in row
    assert note.startswith(r"\multicolumn{8}{l}{\footnotesize $^\dagger$ Training had seen some of the tested images")


def test_rows_of_which_training_had_seen_nothing_are_not_marked() -> None:
    told = study(seeds=[{**SEEN[0], "leaks": {"patients": 0, "identical": 0, "near": 0}}])
    line = next(csv.DictReader(io.StringIO(as_csv(told))))
    assert (line["known_images"], line["known_patients"]) == ("0", "0")
    assert "dagger" not in as_latex(told)


def test_what_is_not_known_is_left_empty() -> None:
    line = next(csv.DictReader(io.StringIO(as_csv(study()))))
    assert [name for name, value in line.items() if value] == [
        "network", "tested_on", "arm", "size", "seeds", "n", "reference", "failed_seeds",
    ]  # fmt: skip
    assert as_latex(study()).splitlines()[4].endswith(r"& 1 & 40 & -- & -- & -- \\")
    assert len(as_csv(Study(answer=None)).splitlines()) == 1


def test_the_methods_say_what_mcnemar_counts_and_which_p_is_shown() -> None:
    first, second = (arm(np.roll(LABELS, shift)) for shift in (1, 2))
    told = [mcnemar(first=first, second=second, labels=LABELS, groups=groups) for groups in (None, np.arange(8) // 2)]
    single, grouped = (methods_of({"rows": [{"against_reference": {"mcnemar": each}}]}, "") for each in told)
    assert single == [told[0]["method"], "The table shows McNemar's exact p."]
    assert grouped == [
        told[1]["method"], told[1]["note"], f"The table shows McNemar's p by group. {told[1]['by_group']['method']}",
    ]  # fmt: skip
    assert "classes of highest mean probability over seeds" in grouped[0]
