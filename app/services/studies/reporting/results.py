"""The tables of a study with every metric, the trivial baselines, and the recall of each class."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.studies.looking import Progress
from app.services.studies.reporting.against import MAIN, against_of, methods_of
from app.services.studies.reporting.measured import Baselines, Recalls, RecallTable, Results, Row, SeedResult, Table
from app.services.studies.reporting.protocol import training_of
from app.services.studies.reporting.seen import daggered, seen_of
from app.services.studies.reporting.values import Link, figure
from app.services.studies.reporting.words import arm_name, metric_name, tested_on
from models import DatasetVersion, Evaluation, Study

METRICS = ("balanced_accuracy", "accuracy", "auroc", "macro_f1", "macro_precision", "macro_recall", "ece")
NO_TABLE = "The table is not made yet: it follows when all jobs of the study have ended."


def results(study: Study, so_far: Progress) -> Results:
    if study.answer is None:
        return Results(missing=NO_TABLE)
    return Results([_table(each, training_of(so_far)) for each in study.answer["tables"]])


def title_of(table: Mapping[str, Any]) -> str:
    return f"{table['architecture']} on {tested_on(table['tested_on'])}"


def _table(made: Mapping[str, Any], training: str) -> Table:
    unit = ""
    if made.get("num_groups"):
        unit = (
            f"{made['num_groups']:,} groups (images of one patient where known, copies and look-alikes together)"
            if made["unit"] == "group"
            else "single images"
        )
    rows = [_row(row, made) for row in made["rows"]]
    metrics = next(([name for name, _ in row.figures] for row in rows if row.figures), [])
    return Table(
        title_of(made), made["architecture"], made["tested_on"], made.get("num_images"), unit, metrics, rows, methods_of(made, training), list(made.get("notes") or []),
        (made.get("saturation") or {}).get("sentence", ""), made.get("reason") or "",
    )  # fmt: skip


def _row(row: Mapping[str, Any], made: Mapping[str, Any]) -> Row:
    mean = row.get("mean") or {}
    main = mean.get(MAIN, row.get(MAIN, {}))
    per_seed = iter(main.get("per_seed") or [])
    seeds = [_seed(each, per_seed) for each in row["seeds"]]
    figures = [(metric_name(name), figure(mean[name])) for name in METRICS if name in mean]
    if not figures and MAIN in row:
        figures = [(metric_name(MAIN), figure(main))]
    return Row(
        row["key"], arm_name(row["arm"], row["size"]), row["size"], made.get("reference") == row["key"], seeds, figures,
        main.get("spread"), against_of(row), seen_of([row]),
    )  # fmt: skip


def _seed(told: Mapping[str, Any], values: Iterator[float | None]) -> SeedResult:
    """The values are of those seeds alone that have an evaluation, in the same order."""
    job = Link(f"job {told['job_id']}", f"/jobs/{told['job_id']}")
    if told["evaluation_id"] is None:
        return SeedResult(told["seed"], None, told["reason"], job, job)
    made = Link(f"evaluation {told['evaluation_id']}", f"/evaluations/{told['evaluation_id']}")
    return SeedResult(told["seed"], next(values, None), "", made, job)


def baselines(version: DatasetVersion) -> Baselines:
    path = f"/datasets/{version.dataset_id}/health?version={version.number}"
    if version.health is None:
        return Baselines(
            path=path, missing="No check of this version has ended, so nobody knows how far such a model comes."
        )
    told = version.health["baselines"]
    rows = [(each["what"], each["how"], figure(each[MAIN])) for each in told["models"]]
    method = (
        f"Cross-validated in {told['num_folds']} folds over {told['num_images']:,} training and validation images; "
        "the locked test images take no part."
    )
    return Baselines(rows, told["chance"], method, path, (told["reason"] or "") if not rows else "")


def recalls(session: Session, study: Study) -> Recalls:
    """Of the evaluations behind each table; those that were deleted since are left out of the means."""
    if study.answer is None:
        return Recalls(missing=NO_TABLE)
    ids = [
        seed["evaluation_id"]
        for table in study.answer["tables"]
        for row in table["rows"]
        for seed in row["seeds"]
        if seed["evaluation_id"] is not None
    ]
    found = {row.id: row for row in session.scalars(select(Evaluation).where(Evaluation.id.in_(ids)))}
    tables = [made for table in study.answer["tables"] if (made := _recall_table(table, found)) is not None]
    return Recalls(tables, "" if tables else "The evaluations of this study were deleted.")


def _recall_table(table: Mapping[str, Any], found: Mapping[int, Evaluation]) -> RecallTable | None:
    rows, first = [], None
    for row in table["rows"]:
        tests = [found[seed["evaluation_id"]] for seed in row["seeds"] if seed["evaluation_id"] in found]
        if tests:
            first = first or tests[0]
            rows.append((daggered(arm_name(row["arm"], row["size"]), [row]), _mean_recalls(tests), len(tests)))
    if first is None:
        return None
    support = [each["support"] for each in first.report["per_class"]]
    return RecallTable(title_of(table), list(first.classes), support, rows)


def _mean_recalls(tests: Sequence[Evaluation]) -> list[float | None]:
    """Of each class, over the seeds; None where the test images hold none of it."""
    columns = zip(*([each["recall"]["value"] for each in test.report["per_class"]] for test in tests), strict=True)
    return [None if None in column else sum(column) / len(column) for column in columns]
