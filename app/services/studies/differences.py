"""Which settings of two studies differ, with what is filled in where nothing was given."""

from dataclasses import dataclass
from typing import Any

from sqlalchemy.orm import Session

from app.services.studies import looking, planning
from models import Study
from models.specs import StudySpec

NESTED = ("diffusion", "sampling", "audit", "classifier", "external", "explanations")


@dataclass(frozen=True)
class Setting:
    """name: as in diffusion.seed. None: not set."""

    name: str
    a: Any
    b: Any


def differing(a: Study, b: Study) -> list[Setting]:
    """In the order of the form; the name says nothing of the results and is left out."""
    mine, theirs = _complete(a), _complete(b)
    found = [Setting(name, mine.get(name), theirs.get(name)) for name in {**mine, **theirs}]
    return [each for each in found if _plain(each.a) != _plain(each.b)]


def ran_otherwise(session: Session, a: Study, b: Study) -> list[Setting]:
    """Devices, threads and versions of packages that are not the same in both, as their jobs have noted them."""
    mine, theirs = _ran_with(session, a), _ran_with(session, b)
    if not mine or not theirs:
        return []
    found = [Setting(name, mine.get(name), theirs.get(name)) for name in {**mine, **theirs}]
    return [each for each in found if each.a != each.b]


def _ran_with(session: Session, study: Study) -> dict[str, str]:
    """Each with all of its values; empty where no job has noted anything."""
    steps = looking.progress(session, study).steps
    values: dict[str, set[str]] = {}
    for name, value in (each for step in steps for each in (step.job.ran_with or {}).items()):
        values.setdefault(name, set()).add(str(value))
    return {name: ", ".join(sorted(each)) for name, each in values.items()}


def _complete(study: Study) -> dict[str, Any]:
    """Every setting by name; those of the jobs, of the external datasets and of the explanations one by one."""
    spec = planning.filled_in(StudySpec.model_validate(study.spec)).model_dump(mode="json", exclude={"name"})
    parts = {f"{of}.{name}": value for of in NESTED for name, value in (spec[of] or {}).items()}
    return {name: value for name, value in spec.items() if name not in NESTED} | parts


def _plain(value: Any) -> Any:
    """The order of a list of arms, networks, seeds or sizes changes no figure."""
    return sorted(map(str, value)) if isinstance(value, list) else value
