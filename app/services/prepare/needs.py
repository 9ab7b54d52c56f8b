"""What several kinds of jobs need of the rows that they name: a ready version, images, classes."""

from collections.abc import Collection, Sequence

from sqlalchemy.orm import Session

from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.services import datasets
from app.services.identity import Identity
from app.services.rows import LARGEST_ID, owned
from models import Dataset, DatasetState, DatasetVersion, Split

COLOURS = {1: "grey", 3: "colour"}


def ready_version(session: Session, who: Identity, dataset_id: int, version_id: int | None) -> DatasetVersion:
    """Version `version_id` of the dataset, or its current one; ConflictError unless the dataset is ready."""
    dataset = owned(session, who, Dataset, dataset_id, noun="dataset")
    if dataset.state != DatasetState.READY:
        raise ConflictError(
            f"Dataset {dataset.name!r} is {dataset.state}, not ready.",
            hint="Wait until its import has ended." if dataset.state == DatasetState.IMPORTING else "Import it again.",
        )
    if version_id is None:
        current = datasets.current_version(session, dataset)
        if current is None:
            raise ConflictError(f"Dataset {dataset.name!r} has no images yet.", hint="Import it again.")
        return current
    version = session.get(DatasetVersion, version_id) if 0 < version_id <= LARGEST_ID else None
    if version is None or version.dataset_id != dataset.id:
        raise NotFoundError(f"Dataset {dataset.name!r} has no version {version_id}.")
    return version


def need_images(
    version: DatasetVersion,
    splits: Sequence[Split],
    purpose: str,
    *,
    each_class: bool = True,
    classes: Collection[str] | None = None,
) -> None:
    """BadInputError if the splits have no image (of some class, where `each_class`) of `classes`, all if not given."""
    names = [name for name in version.classes if classes is None or name in classes]
    empty = [name for name in names if not any(version.counts.get(name, {}).get(split, 0) for split in splits)]
    if empty and (each_class or len(empty) == len(names)):
        raise BadInputError(
            f"The {' and '.join(splits)} split of dataset {version.dataset.name!r} has no image of {listed(empty)} {purpose}.",
            hint="Import it again with another split, or without these classes.",
        )


def need_classes(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise BadInputError(
            f"The dataset has the single class {listed(classes)}; a classifier needs at least two.",
            hint="Import a folder that holds one folder for each class.",
        )


def need_same_classes(
    version: DatasetVersion,
    classes: Sequence[str],
    owner: str,
    *,
    hint: str = "Both must have the same classes in the same order.",
) -> None:
    if list(version.classes) != list(classes):
        raise BadInputError(
            f"Dataset {version.dataset.name!r} has the classes {listed(version.classes)}, but {owner} has {listed(classes)}.",
            hint=hint,
        )


def listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
