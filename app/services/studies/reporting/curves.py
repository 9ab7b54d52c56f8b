"""What the charts of a study show: its arms as points with intervals, and accuracy over the size of the synthetic set."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.services.studies.reporting.against import MAIN
from app.services.studies.reporting.measured import ArmsPanel, Charts, CurvePanel
from app.services.studies.reporting.results import NO_TABLE, title_of
from app.services.studies.reporting.seen import DAGGER, daggered, seen_of
from app.services.studies.reporting.values import Figure, figure
from app.services.studies.reporting.words import arm_name
from models import Study

ONE_SIZE = "The study has one size of the synthetic set, so there is no curve over sizes."


def charts(study: Study) -> Charts:
    """Of the tables with a mean over seeds: those on images of patients."""
    if study.answer is None:
        return Charts(no_arms=NO_TABLE, no_curves=NO_TABLE)
    tables = [table for table in study.answer["tables"] if any("mean" in row for row in table["rows"])]
    curves = [panel for table in tables if (panel := _curve(table)) is not None]
    return Charts(
        [_arms(table) for table in tables], curves, "" if tables else "No test of this study succeeded.",
        "" if curves else _why_no_curve(tables),
    )  # fmt: skip


def _why_no_curve(tables: Sequence[Mapping[str, Any]]) -> str:
    """Where several sizes were asked for, what became of them."""
    said = [f"{title_of(table)}: {table['saturation']['sentence']}" for table in tables if table.get("saturation")]
    return " ".join(said) or ONE_SIZE


def _arms(table: Mapping[str, Any]) -> ArmsPanel:
    points = [
        (daggered(arm_name(row["arm"], row["size"]), [row]), _main(row), row["key"] == table["reference"])
        for row in table["rows"]
        if "mean" in row
    ]
    return ArmsPanel(_title(table), points)


def _title(table: Mapping[str, Any]) -> str:
    """A chart may stand alone, so it says itself what its mark means."""
    leaking = f" ({DAGGER} leaking: training had seen some of them)" if seen_of(table["rows"]) else ""
    return title_of(table) + leaking


def _main(row: Mapping[str, Any]) -> Figure:
    return figure(row["mean"][MAIN])


def _curve(table: Mapping[str, Any]) -> CurvePanel | None:
    """None with less than two sizes."""
    sized: dict[str, list[Mapping[str, Any]]] = {}
    levels = []
    for row in table["rows"]:
        value = _main(row).value if "mean" in row else None
        if value is None:
            continue
        if row["size"] is None:
            levels.append((daggered(arm_name(row["arm"], None), [row]), value))
        else:
            sized.setdefault(row["arm"], []).append(row)
    series = [
        (daggered(arm_name(arm, None), rows), [(row["size"], _main(row)) for row in sorted(rows, key=lambda row: float(row["size"]))])
        for arm, rows in sized.items() if len(rows) > 1
    ]  # fmt: skip
    if not series:
        return None
    return CurvePanel(_title(table), series, levels, (table.get("saturation") or {}).get("sentence", ""))
