"""What the tests say of an arm against the reference of its table, on the same images."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from app.services.studies.reporting.values import Figure, figure

MAIN = "balanced_accuracy"


@dataclass(frozen=True)
class Against:
    """Arm minus reference.

    difference: of balanced accuracy, with p by the paired bootstrap and p_holm corrected over the table's rows.
    only_arm, only_reference: test images that one of the two alone names rightly; mcnemar: p of these, by group where test images
    have groups (of one patient where known, copies and look-alikes), else the exact one. auroc: the difference of areas with DeLong's interval, delong its p.
    """

    difference: Figure
    p: float | None
    p_holm: float | None
    only_arm: int | None
    only_reference: int | None
    mcnemar: float | None
    auroc: Figure
    delong: float | None


def against_of(row: Mapping[str, Any]) -> Against | None:
    """Of a row as the answer stores it; None for the reference itself, and where the row has no figures."""
    told = row.get("against_reference")
    if not told:
        return None
    counts, area = told.get("mcnemar") or {}, told.get("delong") or {}
    return Against(
        figure(told.get("difference", {}).get(MAIN) or {}), told.get("p"), told.get("p_holm"), counts.get("first_only"),
        counts.get("second_only"), (counts.get("by_group") or counts).get("p"), figure(area), area.get("p"),
    )  # fmt: skip


def methods_of(table: Mapping[str, Any], training: str) -> list[str]:
    """How a table's networks were trained and what its figures mean, each sentence once."""
    said = [sentence for sentence in _said(table) if sentence]
    return list(dict.fromkeys([*([f"Training: {training}."] if training else []), *said]))


def _said(table: Mapping[str, Any]) -> Iterator[str | None]:
    against = [row.get("against_reference") or {} for row in table["rows"]]
    for row, told in zip(table["rows"], against, strict=True):
        yield (row.get("mean") or row.get(MAIN) or {}).get("method")
        yield (told.get("difference") or {}).get("method")
        yield (table.get("family") or {}).get("method")
    for row, told in zip(table["rows"], against, strict=True):
        yield from _of_mcnemar(told.get("mcnemar") or {})
        yield (told.get("delong") or row.get("delong") or {}).get("method")


def _of_mcnemar(counts: Mapping[str, Any]) -> Iterator[str | None]:
    """What was counted, and which of its p-values the table shows."""
    if not counts.get("method"):
        return
    yield counts["method"]
    yield counts.get("note")
    by_group = counts.get("by_group")
    if by_group:
        yield f"The table shows McNemar's p by group. {by_group['method']}"
    else:
        yield "The table shows McNemar's exact p."
