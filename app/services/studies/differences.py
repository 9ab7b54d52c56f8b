"""Which settings of two studies differ, with what is filled in where nothing was given."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from models import Study
from models.specs import StudySpec
from models.specs.study import FIXED

JOBS = ("diffusion", "sampling", "audit", "classifier")
LISTS = ("arms", "architectures", "seeds", "sizes")


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


def _complete(study: Study) -> dict[str, Any]:
    spec = StudySpec.model_validate(study.spec)
    jobs = {
        "diffusion": spec.diffusion_spec(), "sampling": spec.sample_spec(), "audit": spec.audit_spec(), "classifier": spec.classifier_spec(),
    }  # fmt: skip
    given = spec.model_dump(mode="json", exclude={"name", *JOBS})
    flat = dict(_flat(given))
    for name, job in jobs.items():
        flat |= {
            f"{name}.{option}": value for option, value in job.model_dump(mode="json", exclude=FIXED[name]).items()
        }
    if "per_class" not in spec.sampling:
        flat["sampling.per_class"] = None  # as many as the real images, or by class
    return flat


def _flat(given: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """The external datasets, and the options of the explanations, one by one."""
    parts = [(f"{of}.{name}", part) for of in ("external", "explanations") for name, part in (given[of] or {}).items()]
    return [*((name, value) for name, value in given.items() if name not in ("external", "explanations")), *parts]


def _plain(value: Any) -> Any:
    """The order of a list of arms, networks, seeds or sizes changes no figure."""
    return sorted(map(str, value)) if isinstance(value, list) else value
