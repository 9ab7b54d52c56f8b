"""A study's table for a paper."""

from typing import Any

from app.services.studies.tables import as_csv, as_latex
from models import Study


def study(**row: Any) -> Study:
    seeds = [{"seed": 0, "evaluation_id": 5, "reason": ""}, {"seed": 1, "evaluation_id": None, "reason": "It failed."}]
    line = {"key": "synthetic x2", "arm": "synthetic", "size": 2.0, "seeds": seeds, **row}
    return Study(
        answer={"tables": [{"architecture": "resnet_10%", "tested_on": "site A & B", "num_images": 40, "rows": [line]}]}
    )


COMPARED = {
    "mean": {"balanced_accuracy": {"value": 0.5, "low": 0.4, "high": 0.61239}},
    "against_reference": {"difference": {"balanced_accuracy": {"value": -0.25}}, "p": 0.01, "p_holm": 0.03},
}


def test_csv_has_every_figure_whole() -> None:
    head, line = as_csv(study(**COMPARED)).splitlines()
    assert head == "network,tested_on,arm,size,seeds,n,balanced_accuracy,low,high,difference,p,p_holm"
    assert line == "resnet_10%,site A & B,synthetic,2.0,0,40,0.5,0.4,0.61239,-0.25,0.01,0.03"


def test_latex_escapes_names_and_rounds() -> None:
    line = as_latex(study(**COMPARED)).splitlines()[4]
    assert line == r"resnet\_10\% & site A \& B & synthetic $\times$2 & 1 & 0.500 [0.400, 0.612] & -0.250 & 0.030 \\"


def test_what_is_not_known_is_left_empty() -> None:
    assert as_csv(study()).splitlines()[1] == "resnet_10%,site A & B,synthetic,2.0,0,40,,,,,,"
    assert as_latex(study()).splitlines()[4].endswith(r"& 1 & -- & -- & -- \\")
    assert len(as_csv(Study(answer=None)).splitlines()) == 1
