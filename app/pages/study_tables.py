"""The tables of a study as its page shows them: as far as jobs have ended, and with tests once they all have."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services import studies
from app.services.studies import Progress
from app.services.studies.reporting.against import Against, against_of, methods_of
from app.services.studies.reporting.protocol import training_of
from app.services.studies.reporting.seen import seen_of
from app.services.studies.reporting.values import Figure, figure
from app.services.studies.reporting.words import ARMS, TESTED, arm_name
from models import Arm, Evaluation, Study


@dataclass(frozen=True)
class SeedCell:
    seed: int
    value: float | None
    url: str
    why: str
    leaks: Mapping[str, int] | None


@dataclass(frozen=True)
class TableRow:
    """figures: (name, figure) and against: once the table is made. seen: as `reporting.measured.Row` has it, of tests that ended."""

    name: str
    about: str
    seeds: list[SeedCell]
    figures: list[tuple[str, Figure]]
    against: Against | None
    is_reference: bool
    seen: str


@dataclass(frozen=True)
class Table:
    title: str
    rows: list[TableRow]
    methods: list[str]
    saturation: str
    num_images: int | None


def tables_of(session: Session, study: Study, so_far: Progress) -> list[Table]:
    """One for each network and each set of test images: as far as jobs have ended, and with tests once they all have."""
    early = studies.preliminary(session, so_far)
    made = {(table["architecture"], table["tested_on"]): table for table in (study.answer or {}).get("tables", [])}
    training = training_of(so_far)
    leaks = _leaks(session, [found["evaluation_id"] for found in early.values()])
    grouped: dict[tuple[str, str], dict[str, list[SeedCell]]] = {}
    arms: dict[str, Mapping[str, Any]] = {}
    for each in so_far.steps:
        cell = each.step.cell
        if "tested_on" not in cell:
            continue
        key = cell["arm"] if cell["size"] is None else f"{cell['arm']} x{cell['size']:g}"
        arms[key] = cell
        found = early.get(each.step.name)
        url = f"/evaluations/{found['evaluation_id']}" if found else f"/jobs/{each.job.id}"
        why = "" if found else str(each.job.state)
        seen = leaks[found["evaluation_id"]] if found else None
        seed = SeedCell(cell["seed"], found["balanced_accuracy"] if found else None, url, why, seen)
        grouped.setdefault((cell["architecture"], cell["tested_on"]), {}).setdefault(key, []).append(seed)
    return [_table(names, rows, arms, made.get(names), training) for names, rows in grouped.items()]


def _leaks(session: Session, ids: Sequence[int]) -> dict[int, Mapping[str, int] | None]:
    """What training had seen of the images of each evaluation."""
    rows = session.execute(select(Evaluation.id, Evaluation.leaks).where(Evaluation.id.in_(ids)))
    return {row.id: row.leaks for row in rows}


def _table(
    names: tuple[str, str],
    rows: Mapping[str, list[SeedCell]],
    arms: Mapping[str, Mapping[str, Any]],
    made: Mapping[str, Any] | None,
    training: str,
) -> Table:
    known = {row["key"]: row for row in made["rows"]} if made else {}
    lines = [_line(key, seeds, arms[key], known.get(key), made) for key, seeds in rows.items()]
    methods = methods_of(made, training) if made else []
    saturation = ((made or {}).get("saturation") or {}).get("sentence", "")
    title = f"{names[0]} on {TESTED.get(names[1], names[1])}"
    return Table(title, lines, methods, saturation, (made or {}).get("num_images"))


def _line(
    key: str,
    seeds: list[SeedCell],
    cell: Mapping[str, Any],
    known: Mapping[str, Any] | None,
    made: Mapping[str, Any] | None,
) -> TableRow:
    name, about = arm_name(cell["arm"], cell["size"]), ARMS[Arm(cell["arm"])][1]
    figures = []
    if known is not None and "mean" in known:
        for metric, title in (("balanced_accuracy", "Balanced accuracy"), ("accuracy", "Accuracy"), ("auroc", "AUROC")):
            figures.append((title, figure(known["mean"][metric])))
    elif known is not None and "balanced_accuracy" in known:
        figures.append(("Balanced accuracy", figure(known["balanced_accuracy"])))
    told = known["seeds"] if known is not None else []  # also of evaluations that were deleted since
    seen = seen_of([{"seeds": [*told, *({"leaks": seed.leaks} for seed in seeds)]}])
    return TableRow(
        name, about, seeds, figures, against_of(known or {}), bool(made and made.get("reference") == key), seen
    )
