"""Every setting and version behind a study: its spec, the complete options of its jobs, each job's outcome, hashes, software."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.prepare import MADE
from app.services.studies.looking import Progress
from app.services.studies.looking import Step as FoundStep
from app.services.studies.reporting.document import Record, Step
from app.services.studies.reporting.values import Link
from app.services.studies.reporting.words import number
from app.services.studies.reusing import RESULTS
from models import Audit, Base, Checkpoint, Classifier, Evaluation, Explanation, JobState, Study, SyntheticSet


def record(session: Session, study: Study, so_far: Progress) -> Record:
    specs: dict[str, dict[str, Any]] = {}
    for each in so_far.steps:
        specs.setdefault(str(each.job.kind), dict(each.job.spec))
    made = _made(session, so_far)
    return Record(
        dict(study.spec),
        list(specs.items()),
        [_step(each, made) for each in so_far.steps],
        sorted({(row.architecture, row.weights_source) for row in made.values() if isinstance(row, Classifier)}),
        list(_ran_with(so_far)),
        sum(each.job.state == JobState.SUCCEEDED and not each.job.ran_with for each in so_far.steps),
    )


def _result_id(found: FoundStep) -> int | None:
    value: int | None = (found.job.result or {}).get(RESULTS[found.job.kind])
    return value


def _made(session: Session, so_far: Progress) -> dict[tuple[str, int], Base]:
    """What the steps made, by the option that names it and its id: a query for each kind."""
    ids: dict[str, set[int]] = {}
    for each in so_far.steps:
        if (made := _result_id(each)) is not None:
            ids.setdefault(RESULTS[each.job.kind], set()).add(made)
    found: dict[tuple[str, int], Base] = {}
    for option, wanted in ids.items():
        table: Any = MADE[option]
        found |= {(option, row.id): row for row in session.scalars(select(table).where(table.id.in_(wanted)))}
    return found


def _step(found: FoundStep, made: dict[tuple[str, int], Base]) -> Step:
    job, result = found.job, _result_id(found)
    row = made.get((RESULTS[job.kind], result)) if result is not None else None
    seconds = None
    if job.started_at is not None and job.finished_at is not None:
        seconds = (job.finished_at - job.started_at).total_seconds()
    return Step(
        found.step.name, Link(f"job {job.id}", f"/jobs/{job.id}"), str(job.state), found.step.is_reused, seconds, job.step_key or "",
        _link(row) if row is not None else None, getattr(row, "sha256", ""), _about(row), (job.error or {}).get("detail", ""),
    )  # fmt: skip


def _link(row: Any) -> Link:
    kind = str(row.__tablename__).removesuffix("s").replace("_", " ")
    return Link(f"{kind} {row.id}", f"/{row.__tablename__.replace('_', '-')}/{row.id}")


def _about(row: Base | None) -> str:
    """What else must be known of a result."""
    match row:
        case Checkpoint():
            return f"{row.num_steps:,} steps, {row.num_parameters:,} parameters"
        case SyntheticSet():
            return number(row.num_images, "image")
        case Audit():
            return "" if row.num_flagged is None else f"{number(row.num_flagged, 'image')} flagged"
        case Classifier():
            return f"{number(row.num_train_images, 'training image')}, epoch {row.best_epoch}"
        case Evaluation() | Explanation():
            return number(row.num_images, "image")
        case _:
            return ""


def _ran_with(so_far: Progress) -> Iterator[tuple[str, str]]:
    """(device or package, its version) as the jobs noted them; where they differ, each with how many jobs had it."""
    noted = [each.job.ran_with for each in so_far.steps if each.job.ran_with]
    for name in dict.fromkeys(name for one in noted for name in one):
        counts = Counter(str(one.get(name, "not installed")) for one in noted)
        told = [
            f"{value} ({number(times, 'job')})" if len(counts) > 1 else value for value, times in counts.most_common()
        ]
        yield name, ", ".join(told)
