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
    only_arm, only_reference: test images that one of the two alone names rightly; mcnemar: p of these, by patient where they
    are known. auroc: the difference of areas with DeLong's interval, delong its p.
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
    said = [sentence for part in _parts(table) if (sentence := part.get("method"))]
    return list(dict.fromkeys([*([f"Training: {training}."] if training else []), *said]))


def _parts(table: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for row in table["rows"]:
        against = row.get("against_reference") or {}
        yield row.get("mean") or row.get(MAIN) or {}
        yield against.get("difference") or {}
        yield table.get("family") or {}
    for row in table["rows"]:
        against = row.get("against_reference") or {}
        counts = against.get("mcnemar") or {}
        yield counts.get("by_group") or counts
        yield against.get("delong") or row.get("delong") or {}
