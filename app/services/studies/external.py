"""The other datasets on which a study tests: their versions, and whether its training knows their images."""

from collections.abc import Collection

from sqlalchemy.orm import Session

from app.core.errors import ConflictError
from app.core.known import known_to_training
from app.services import datasets, prepare
from app.services.identity import Identity
from models import DatasetVersion, Split
from models.specs import ExternalTest, StudySpec

MOST_PAIRS = 50_000_000  # compared by look at launch, in about 6 s of a core during which SQLite takes no other change


def named(session: Session, who: Identity, spec: StudySpec) -> dict[str, ExternalTest]:
    """The external tests with their versions named."""
    return {
        name: test.model_copy(
            update={"version_id": prepare.ready_version(session, who, test.dataset_id, test.version_id).id}
        )
        for name, test in spec.external.items()
    }


def need_unseen(
    session: Session, who: Identity, spec: StudySpec, version: DatasetVersion, *, but: Collection[str] = ()
) -> None:
    """ConflictError if an external test, none of `but`, is of images that training or validation of `version` holds.

    It asks what the job of the test asks, before anything is trained; of datasets too large to be compared by look while a
    person waits, that is left to the job. Those that accept it are not looked at.
    """
    for name, test in spec.external.items():
        if name not in but and not spec.accepts_leaks(name):
            other = prepare.ready_version(session, who, test.dataset_id, test.version_id)
            _need_unseen(session, version, name, test, other)


def _need_unseen(
    session: Session, version: DatasetVersion, name: str, test: ExternalTest, other: DatasetVersion
) -> None:
    found = known_to_training(
        session, learnt=[version.id], tested=other, splits=list(Split), classes=test.class_map, most_pairs=MOST_PAIRS
    )
    words = datasets.leaks.seen_in_words(found)
    if not words:
        return
    pointer = f"/external/{name.replace('~', '~0').replace('/', '~1')}"
    raise ConflictError(
        f"External test {name!r}: of dataset {other.dataset.name!r}, training and validation of dataset "
        f"{version.dataset.name!r} hold {words}, so that a test would measure memory.",
        hint=f"Look at them on /datasets/{version.dataset_id}/overlap?other={other.dataset_id} and leave them out of dataset "
        f"{other.dataset.name!r}, which makes a new version; or set accept_leaks of this external test, and its figures are marked.",
        errors=[{"pointer": pointer, "detail": f"training knows {words}"}],
    )
