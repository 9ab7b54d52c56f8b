"""Studies: one question that takes many jobs, from the form to the table."""

from app.services.studies.launching import check, extend, launch, summarise, summarise_again
from app.services.studies.looking import (
    Progress,
    Step,
    audit_of,
    dataset_of,
    delete,
    get,
    listing,
    preliminary,
    progress,
    trivial_baselines,
    version_of,
)

__all__ = [
    "Progress", "Step", "audit_of", "check", "dataset_of", "delete", "extend", "get", "launch", "listing", "preliminary", "progress",
    "summarise", "summarise_again", "trivial_baselines", "version_of",
]  # fmt: skip
