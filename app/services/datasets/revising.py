"""Changes of a dataset, each of which makes a new version; an old version never changes."""

from collections import Counter
from collections.abc import Callable, Collection, Sequence
from typing import Any, NamedTuple

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import clusters
from app.core import versions as core
from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.core.version_rows import Left, locked, write_version
from app.core.versions import Entry
from app.services.datasets.looking import current_version
from app.services.identity import Identity
from app.services.rows import note
from models import Dataset, DatasetState, DatasetVersion, Image, Job, RefusedKind, Split
from models.specs import CheckDatasetSpec
from models.specs.changing import Exclude, MendLeaks, Move, Relabel, Resplit, Restore, Thin, VersionChange


class Outcome(NamedTuple):
    """What a change comes to: the images of the new version, those left out, and the change in words.

    split: what the layout has to say of how the images were dealt; empty where they stay as the parent dealt them.
    """

    entries: list[Entry]
    left_out: list[Left]
    words: str
    split: dict[str, Any] = {}  # noqa: RUF012 - nobody changes it


def change(session: Session, who: Identity, dataset: Dataset, asked: VersionChange) -> DatasetVersion:
    """Apply `asked` to the current version: a new version, which becomes the current one. Restore makes none.

    Raises ConflictError if nothing would change or a class would lose its last image, NotFoundError for images that the
    current version does not hold.
    """
    locked(session, dataset.id)
    parent = _current(session, dataset)
    if isinstance(asked, Restore):
        return _restore(session, who, dataset, asked.number)
    outcome = _apply(session, parent, asked)
    if not outcome.left_out and set(outcome.entries) == set(entries_of(session, parent)):
        raise ConflictError("Nothing would change.", hint="The current version is as you asked already.")
    version = write(session, dataset, parent, outcome)
    note(session, who, f"{asked.action} (version {version.number})", dataset)
    request_check(session, who, version)
    return version


def entries_of(session: Session, version: DatasetVersion) -> list[Entry]:
    """All images of a version, in the order of their paths as the database sorts them."""
    return list(clusters.entries_by_id(session, version.id).values())


def request_check(session: Session, who: Identity, version: DatasetVersion) -> Job:
    """Have a version looked through: its health, copies and leaks."""
    from app.services import jobs  # jobs prepares specs with the help of this package

    return jobs.submit(session, who, CheckDatasetSpec(dataset_id=version.dataset_id, version_id=version.id))


def _current(session: Session, dataset: Dataset) -> DatasetVersion:
    version = current_version(session, dataset)
    if dataset.state != DatasetState.READY or version is None:
        raise ConflictError(f"Dataset {dataset.name!r} is {dataset.state}, not ready.", hint="Wait for its import.")
    return version


def _restore(session: Session, who: Identity, dataset: Dataset, number: int) -> DatasetVersion:
    query = select(DatasetVersion).where(DatasetVersion.dataset_id == dataset.id, DatasetVersion.number == number)
    version = session.scalar(query)
    if version is None:
        raise NotFoundError(f"Dataset {dataset.name!r} has no version {number}.")
    if dataset.current_number == number:
        raise ConflictError(f"Version {number} is the current one already.")
    note(session, who, f"restore (version {number})", dataset)
    dataset.current_number = number
    session.flush()
    return version


def _apply(session: Session, parent: DatasetVersion, asked: VersionChange) -> Outcome:
    entries = entries_of(session, parent)
    match asked:
        case Exclude():
            chosen = _chosen(session, parent, asked.image_ids)
            return _leave_out(entries, lambda entry: entry.path in chosen, asked.reason or "It was excluded by hand.")
        case Relabel():
            label = _label(parent, asked.label)
            return _put(session, parent, entries, asked.image_ids, f"the class {asked.label}", label=label)
        case Move():
            return _put(session, parent, entries, asked.image_ids, f"the {asked.split} split", split=asked.split)
        case Resplit():
            return dealt_anew(entries, asked)
        case MendLeaks():
            return _move_together(entries) if asked.how == "move" else _exclude_leaks(entries)
        case Thin():
            return _thin(entries, near=asked.near)
        case Restore():
            raise AssertionError("restoring makes no version")


def _chosen(session: Session, version: DatasetVersion, image_ids: Collection[int]) -> set[str]:
    """The paths of these images of the version."""
    found: dict[int, str] = {}
    ids = sorted(set(image_ids))
    for start in range(0, len(ids), 500):
        part = ids[start : start + 500]
        rows = session.execute(select(Image.id, Image.path).where(Image.version_id == version.id, Image.id.in_(part)))
        found |= {row.id: row.path for row in rows}
    missing = [image_id for image_id in ids if image_id not in found]
    if missing:
        raise NotFoundError(
            f"Version {version.number} of dataset {version.dataset.name!r} has no image {missing[0]}.",
            hint="Images have other ids in another version; take those of the current one.",
        )
    return set(found.values())


def _label(version: DatasetVersion, name: str) -> int:
    if name not in version.classes:
        raise BadInputError(
            f"There is no class {name!r}; dataset {version.dataset.name!r} has {', '.join(version.classes)}.",
            errors=[{"pointer": "/label", "detail": "is not a class of the dataset"}],
        )
    return version.classes.index(name)


def _leave_out(entries: Sequence[Entry], unwanted: Callable[[Entry], bool], reason: str) -> Outcome:
    left_out = [Left(entry.path, RefusedKind.EXCLUDED, reason) for entry in entries if unwanted(entry)]
    kept = [entry for entry in entries if not unwanted(entry)]
    return Outcome(kept, left_out, f"{_images(len(left_out))} left out")


def _put(
    session: Session,
    parent: DatasetVersion,
    entries: Sequence[Entry],
    image_ids: Collection[int],
    where: str,
    **values: Any,
) -> Outcome:
    chosen = _chosen(session, parent, image_ids)
    changed = [entry._replace(**values) if entry.path in chosen else entry for entry in entries]
    number = sum(new != old for new, old in zip(changed, entries, strict=True))
    return Outcome(changed, [], f"{_images(number)} put into {where}")


def dealt_anew(entries: Sequence[Entry], asked: Resplit) -> Outcome:
    dealt = core.deal(
        entries, [None] * len(entries), seed=asked.seed, train_percent=asked.train_percent,
        val_percent=asked.val_percent, by=asked.by,
    )  # fmt: skip
    changed = [entry._replace(split=split) for entry, split in zip(entries, dealt, strict=True) if split is not None]
    test_percent = 100 - asked.train_percent - asked.val_percent
    shares = f"{asked.train_percent} / {asked.val_percent} / {test_percent} %"
    how = "in contiguous blocks" if asked.by == "blocks" else "by patients and look-alikes"
    percent = {"train": asked.train_percent, "val": asked.val_percent, "test": test_percent}
    split = {"seed": asked.seed, "percent": percent, "split_by": asked.by, "split_anew": True}
    return Outcome(changed, [], f"Split anew {shares}, {how}, seed {asked.seed}", split)


def _move_together(entries: Sequence[Entry]) -> Outcome:
    held = _splits_of_units(entries)
    most = {
        unit: max(splits, key=lambda split: (splits.count(split), split == Split.TRAIN))
        for unit, splits in held.items()
    }
    changed = [entry._replace(split=most[unit]) for entry, unit in zip(entries, core.units(entries), strict=True)]
    number = sum(new != old for new, old in zip(changed, entries, strict=True))
    return Outcome(changed, [], f"{_images(number)} moved to where the rest of their patient or their copies are")


def _exclude_leaks(entries: Sequence[Entry]) -> Outcome:
    order = [Split.TRAIN, Split.VAL, Split.TEST]
    last = {unit: max(splits, key=order.index) for unit, splits in _splits_of_units(entries).items()}
    unit_of = dict(zip((entry.path for entry in entries), core.units(entries), strict=True))
    reason = "The same patient or picture is in the test or validation split."
    return _leave_out(entries, lambda entry: entry.split != last[unit_of[entry.path]], reason)


def _splits_of_units(entries: Sequence[Entry]) -> dict[str, list[Split]]:
    held: dict[str, list[Split]] = {}
    for entry, unit in zip(entries, core.units(entries), strict=True):
        held.setdefault(unit, []).append(entry.split)
    return held


def _thin(entries: Sequence[Entry], *, near: bool) -> Outcome:
    """Of each group the image of the highest split stays, then the first by path."""
    order = [Split.TEST, Split.VAL, Split.TRAIN]
    kept: set[str] = set()
    seen: set[object] = set()
    for entry in sorted(entries, key=lambda entry: (order.index(entry.split), entry.path)):
        key = entry.cluster if near and entry.cluster is not None else entry.pixel_sha256
        if key not in seen:
            seen.add(key)
            kept.add(entry.path)
    what = "A look-alike of it is kept." if near else "An image with the same pixels is kept."
    return _leave_out(entries, lambda entry: entry.path not in kept, what)


def _images(number: int) -> str:
    return f"{number:,} image{'' if number == 1 else 's'}"


def write(session: Session, dataset: Dataset, parent: DatasetVersion, outcome: Outcome) -> DatasetVersion:
    """The new version of a locked dataset, which becomes the current one."""
    entries = clustered_anew(session, dataset, outcome.entries)
    _need_every_class(parent, entries)
    return write_version(
        session, dataset, parent=parent, entries=entries, left=outcome.left_out, classes=parent.classes,
        channels=parent.channels, layout=parent.layout | outcome.split, change=outcome.words,
    )  # fmt: skip


def clustered_anew(session: Session, dataset: Dataset, entries: Sequence[Entry]) -> list[Entry]:
    """Clusters change when an image that joined two others is gone."""
    return core.with_clusters(entries, clusters.look_alike_keys(session, dataset.id))


def _need_every_class(parent: DatasetVersion, entries: Sequence[Entry]) -> None:
    left = {entry.label for entry in entries}
    lost = [name for label, name in enumerate(parent.classes) if label not in left]
    if lost:
        raise ConflictError(
            f"No image of the class {lost[0]} would be left.",
            hint="Keep at least one, or import the images without this class as a dataset of its own.",
        )


class Changed(NamedTuple):
    """One image that two versions treat differently. what: added, removed, relabelled, moved, other pixels, other group."""

    path: str
    what: str
    before: str
    after: str


class Difference(NamedTuple):
    """counts: images by what happened to them."""

    counts: dict[str, int]
    items: list[Changed]


def difference(session: Session, before: DatasetVersion, after: DatasetVersion) -> Difference:
    """What happened to each image, by path, between two versions."""
    old = {entry.path: entry for entry in entries_of(session, before)}
    new = {entry.path: entry for entry in entries_of(session, after)}
    items: list[Changed] = []
    for path in sorted(old.keys() | new.keys()):
        items += _changed(path, old.get(path), new.get(path), before.classes, after.classes)
    return Difference(dict(Counter(each.what for each in items)), items)


def _changed(
    path: str, old: Entry | None, new: Entry | None, old_classes: Sequence[str], new_classes: Sequence[str]
) -> list[Changed]:
    if old is None and new is not None:
        return [Changed(path, "added", "", f"{new_classes[new.label]}, {new.split}")]
    if old is not None and new is None:
        return [Changed(path, "removed", f"{old_classes[old.label]}, {old.split}", "")]
    assert old is not None
    assert new is not None
    found = [
        Changed(path, "relabelled", old_classes[old.label], new_classes[new.label]),
        Changed(path, "moved", str(old.split), str(new.split)),
        Changed(path, "other pixels", old.pixel_sha256[:12], new.pixel_sha256[:12]),
        Changed(path, "other group", old.group or "none", new.group or "none"),
    ]
    return [each for each in found if each.before != each.after]
