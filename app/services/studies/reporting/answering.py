"""The question of a study and its answer in sentences, from the figures of its tables alone."""

from collections.abc import Mapping, Sequence
from typing import Any

from app.services.studies.reporting.document import Answer
from app.services.studies.reporting.seen import caveat_of
from app.services.studies.reporting.words import ARMS, listed, number, p_value, with_interval
from models import Arm, Dataset, Study

ALPHA = 0.05
MAIN = "balanced_accuracy"
Compared = tuple[str, Mapping[str, Any], Mapping[str, Any]]  # network, row of synthetic images, row of the reference


def answer(study: Study, dataset: Dataset) -> Answer:
    question = (
        f"Can classifiers of {dataset.name} learn from synthetic images instead of patients' images, and be as good on "
        "images of patients that nobody has seen?"
    )
    if study.answer is None:
        return Answer(question, missing="The table is not made yet, so there is no answer.")
    compared = [each for table in study.answer["tables"] if table["tested_on"] == "own" for each in _compared(table)]
    if not compared:
        why = "No classifier that learnt from synthetic images alone could be compared with one that learnt from real ones."
        return Answer(question, missing=why)
    return Answer(question, [*_summary(compared), *_leaking(compared)], [_sentence(*each) for each in compared])


def _compared(table: Mapping[str, Any]) -> list[Compared]:
    known = {row["key"]: row for row in table["rows"] if "mean" in row}
    reference = known.get(table.get("reference") or "")
    if reference is None:
        return []
    rows = [row for row in known.values() if row["arm"] == Arm.SYNTHETIC and row.get("against_reference")]
    return [(table["architecture"], row, reference) for row in rows]


def _summary(compared: Sequence[Compared]) -> list[str]:
    """Two sentences over all networks and sizes."""
    worse = sum(_is_shown(row) and (_difference(row) or 0) < 0 for _, row, _ in compared)
    better = sum(_is_shown(row) and (_difference(row) or 0) > 0 for _, row, _ in compared)
    untested = sum(_p_holm(row) is None for _, row, _ in compared)
    alike = len(compared) - worse - better - untested
    parts = [
        *([f"significantly worse in {worse}"] if worse else []),
        *([f"significantly better in {better}"] if better else []),
        *([f"not testable in {untested}"] if untested else []),
        *([f"not significantly different in {alike}, which does not show that they are equal"] if alike else []),
    ]
    references = listed([f"“{name}”" for name in dict.fromkeys(ARMS[Arm(base["arm"])][0] for _, _, base in compared)])
    scope = " within each network" if len({network for network, _, _ in compared}) > 1 else ""
    first = (
        f"In {number(len(compared), 'comparison')} on locked real test images (one for each network and size), classifiers that "
        f"learnt from synthetic images alone were {listed(parts)}, against those that learnt from the arm {references} "
        f"(paired bootstrap of balanced accuracy, corrected after Holm{scope}, 5 %)."
    )
    ratios = [ratio for _, row, base in compared if (ratio := _ratio(row, base)) is not None]
    span = (
        f"{min(ratios):.0%}"
        if f"{min(ratios):.0%}" == f"{max(ratios):.0%}"
        else f"{min(ratios):.0%} to {max(ratios):.0%}"
    )
    return [first, f"They reached {span.replace('%', ' %')} of that arm's balanced accuracy."]


def _leaking(compared: Sequence[Compared]) -> list[str]:
    """What all of these figures must be read with, where training had seen test images."""
    caveat = caveat_of([row for _, *rows in compared for row in rows])
    return [caveat] if caveat else []


def _sentence(network: str, row: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    mine, real = row["mean"][MAIN], base["mean"][MAIN]
    against = row["against_reference"]
    difference, p = against["difference"][MAIN], _p_holm(row)
    size = "" if row["size"] == 1 else f" at size {row['size']:g}"
    ratio = _ratio(row, base)
    share = "" if ratio is None else f", {100 * ratio:.0f} % of the reference"
    told = p_value(p) + " (Holm)" if p is not None else "no test could be made"
    return (
        f"{network}: {_figure(mine)} from synthetic images{size}, {_figure(real)} from {ARMS[Arm(base['arm'])][0].lower()}; "
        f"difference {_figure(difference, signed=True)}, {told}{share}."
    )


def _figure(entry: Mapping[str, Any], *, signed: bool = False) -> str:
    return with_interval(entry["value"], entry.get("low"), entry.get("high"), signed=signed)


def _ratio(row: Mapping[str, Any], base: Mapping[str, Any]) -> float | None:
    mine, real = row["mean"][MAIN]["value"], base["mean"][MAIN]["value"]
    return mine / real if mine is not None and real else None


def _difference(row: Mapping[str, Any]) -> float | None:
    value: float | None = row["against_reference"]["difference"][MAIN]["value"]
    return value


def _is_shown(row: Mapping[str, Any]) -> bool:
    p = _p_holm(row)
    return p is not None and p < ALPHA


def _p_holm(row: Mapping[str, Any]) -> float | None:
    """None where no test could be made, as with test images of one patient."""
    p: float | None = row["against_reference"]["p_holm"]
    return p
