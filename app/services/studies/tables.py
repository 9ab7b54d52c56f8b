"""A study's table as CSV and LaTeX."""

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from app.services.studies.reporting.against import MAIN, Against, against_of
from app.services.studies.reporting.seen import seen_by, seen_of
from app.services.studies.reporting.values import Figure, figure
from models import Study

HEADING = r"Network & Tested on & Arm & Seeds & $n$ & Balanced accuracy [95\,\%] & Difference [95\,\%] & $p$ (Holm) \\"
DAGGER = r"$^\dagger$"
NOTE = rf"\multicolumn{{8}}{{l}}{{\footnotesize {DAGGER} Training had seen some of the tested images: the figures measure memory, too.}} \\"
FURTHER = ("accuracy", "auroc", "macro_f1", "macro_precision", "macro_recall", "ece")
NOTHING = Figure()
Line = dict[str, Any]


def lines(study: Study) -> Iterator[tuple[Mapping[str, Any], Mapping[str, Any]]]:
    """(table, row) for each network, set of test images, arm and size; nothing before the table is made."""
    for table in (study.answer or {}).get("tables", []):
        for row in table["rows"]:
            yield table, row


def _line(table: Mapping[str, Any], row: Mapping[str, Any]) -> Line:
    """Every column of the CSV: means over seeds with their intervals, and what the tests say against the reference."""
    mean = _mean(row)
    done = [each for each in row["seeds"] if each["evaluation_id"] is not None]
    failed = [each for each in row["seeds"] if each["evaluation_id"] is None]
    return {
        "network": table["architecture"], "tested_on": table["tested_on"], "arm": row["arm"], "size": row["size"],
        "seeds": _joined(each["seed"] for each in done), "n": table.get("num_images"),
        **_columns(MAIN, figure(mean.get(MAIN, {})), bounds=""),
        **_against(against_of(row)), "reference": table.get("reference"),
        "by_seed": _joined(mean.get(MAIN, {}).get("per_seed") or []), "failed_seeds": _joined(each["seed"] for each in failed),
        **_seen(row),
        **{key: value for name in FURTHER for key, value in _columns(name, figure(mean.get(name, {}))).items()},
    }  # fmt: skip


def _seen(row: Mapping[str, Any]) -> Line:
    """Tested images that training had seen: the same pictures and look-alikes, and those of patients; nothing where nobody looked."""
    seen = seen_by(row) or {}
    return {"known_images": seen.get("near"), "known_patients": seen.get("patients")}


def _mean(row: Mapping[str, Any]) -> Mapping[str, Any]:
    """The row's figures by metric; a row that was tested on synthetic images has its main one alone."""
    return row["mean"] if "mean" in row else {MAIN: row.get(MAIN, {})}


def _columns(name: str, found: Figure, bounds: str | None = None) -> Line:
    """bounds: what the columns of the interval begin with, the name itself where nothing is given."""
    start = f"{name}_" if bounds is None else bounds
    return {name: found.value, f"{start}low": found.low, f"{start}high": found.high}


def _against(told: Against | None) -> Line:
    return {
        **_columns("difference", told.difference if told else NOTHING),
        "p": told and told.p, "p_holm": told and told.p_holm,
        "only_arm_right": told and told.only_arm, "only_reference_right": told and told.only_reference, "mcnemar_p": told and told.mcnemar,
        **_columns("auroc_difference", told.auroc if told else NOTHING), "delong_p": told and told.delong,
    }  # fmt: skip


def _joined(values: Any) -> str:
    return " ".join(map(str, values))


COLUMNS = list(_line({"architecture": "", "tested_on": ""}, {"arm": "", "size": None, "seeds": []}))


def as_csv(study: Study) -> str:
    """A column for each figure of a row; what is not known is empty."""
    target = io.StringIO()
    rows = csv.DictWriter(target, COLUMNS, lineterminator="\n")
    rows.writeheader()
    rows.writerows(_line(*each) for each in lines(study))
    return target.getvalue()


def as_latex(study: Study) -> str:
    """A tabular; needs the package booktabs. Rows of which training had seen tested images have a dagger, with a note in the last line."""
    body = [" & ".join(_cells(*each)) + r" \\" for each in lines(study)]
    note = [NOTE] if any(seen_of([row]) for _, row in lines(study)) else []
    return "\n".join([
        r"\begin{tabular}{lllrrllr}", r"\toprule", HEADING, r"\midrule", *body, r"\bottomrule", *note, r"\end{tabular}", "",
    ])  # fmt: skip


def _cells(table: Mapping[str, Any], row: Mapping[str, Any]) -> list[str]:
    told, n = against_of(row), table.get("num_images")
    seeds = sum(each["evaluation_id"] is not None for each in row["seeds"])
    arm = _escaped(row["arm"]) + ("" if row["size"] is None else f" $\\times${row['size']:g}")
    arm += DAGGER if seen_of([row]) else ""
    p = "--" if told is None or told.p_holm is None else "$<$0.001" if told.p_holm < 0.001 else f"{told.p_holm:.3f}"
    return [
        _escaped(table["architecture"]), _escaped(table["tested_on"]), arm, str(seeds), "--" if n is None else str(n),
        _written(figure(_mean(row).get(MAIN, {})), ".3f"), _written(told.difference if told else NOTHING, "+.3f"), p,
    ]  # fmt: skip


def _written(found: Figure, form: str) -> str:
    if found.value is None:
        return "--"
    interval = f" [{found.low:{form}}, {found.high:{form}}]" if found.low is not None and found.high is not None else ""
    return format(found.value, form) + interval


def _escaped(text: str) -> str:
    words = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
    return "".join(words.get(each, f"\\{each}" if each in "&%$#_{}" else each) for each in text)
