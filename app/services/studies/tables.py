"""A study's table as CSV and LaTeX."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from models import Study

HEADING = r"Network & Tested on & Arm & Seeds & Balanced accuracy [95\,\%] & Difference & $p$ (Holm) \\"


class Line(NamedTuple):
    """Figures are of balanced accuracy: the mean over seeds with its interval; difference and p to the reference, if any."""

    network: str
    tested_on: str
    arm: str
    size: float | None
    seeds: str
    n: int | None
    balanced_accuracy: float | None
    low: float | None
    high: float | None
    difference: float | None
    p: float | None
    p_holm: float | None


def lines(study: Study) -> Iterator[Line]:
    """A line for each network, set of test images, arm and size; nothing before the table is made."""
    for table in (study.answer or {}).get("tables", []):
        for row in table["rows"]:
            yield _line(table, row)


def _line(table: Mapping[str, Any], row: Mapping[str, Any]) -> Line:
    figure = row["mean"]["balanced_accuracy"] if "mean" in row else row.get("balanced_accuracy", {})
    against = row.get("against_reference") or {}
    seeds = [str(each["seed"]) for each in row["seeds"] if each["evaluation_id"] is not None]
    return Line(
        table["architecture"], table["tested_on"], row["arm"], row["size"], " ".join(seeds), table.get("num_images"),
        figure.get("value"), figure.get("low"), figure.get("high"),
        against.get("difference", {}).get("balanced_accuracy", {}).get("value"), against.get("p"), against.get("p_holm"),
    )  # fmt: skip


def as_csv(study: Study) -> str:
    target = io.StringIO()
    rows = csv.writer(target, lineterminator="\n")
    rows.writerow(Line._fields)
    rows.writerows(["" if value is None else value for value in line] for line in lines(study))
    return target.getvalue()


def as_latex(study: Study) -> str:
    """A tabular; needs the package booktabs."""
    body = [" & ".join(_cells(line)) + r" \\" for line in lines(study)]
    return "\n".join([
        r"\begin{tabular}{lllrlrr}", r"\toprule", HEADING, r"\midrule", *body, r"\bottomrule", r"\end{tabular}", "",
    ])  # fmt: skip


def _cells(line: Line) -> list[str]:
    figure = "--" if line.balanced_accuracy is None else f"{line.balanced_accuracy:.3f}"
    if line.low is not None and line.high is not None:
        figure += f" [{line.low:.3f}, {line.high:.3f}]"
    arm = _escaped(line.arm) + ("" if line.size is None else f" $\\times${line.size:g}")
    difference = "--" if line.difference is None else f"{line.difference:+.3f}"
    p = "--" if line.p_holm is None else f"{line.p_holm:.3f}"
    return [
        _escaped(line.network), _escaped(line.tested_on), arm, str(len(line.seeds.split())), figure, difference, p,
    ]  # fmt: skip


def _escaped(text: str) -> str:
    words = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(words.get(each, f"\\{each}" if each in "&%$#_{}" else each) for each in text)
