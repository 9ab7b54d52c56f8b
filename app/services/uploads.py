"""Uploads: files on their way in, and the plan of what an import would make of them.

Bytes go to disk through `folder(...)` without a database session, so that a slow connection holds none; afterwards
`add_files` or `note_size` writes down what arrived.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import select, update
from sqlalchemy.orm import Session

from app.core import abandoned, layouts, server_folders
from app.core.config import Settings
from app.core.errors import BadInputError, ConflictError
from app.core.layouts import Layout
from app.core.upload_folder import Received, UploadFolder, too_many_files
from app.services import rows
from app.services.identity import Identity
from models import FINISHED, Job, Upload, UploadKind, UploadState
from models.specs import LayoutOptions

MAX_NAME = 300
SHOWN_IGNORED = 1000  # of the ignored files, in a plan
SHOWN_GROUPED = 10
EARLIER_UPLOADS = 5  # of which files are taken over
LAYOUTS_KEPT = 4
AS_FOUND = LayoutOptions()


class Seen(NamedTuple):
    """An upload that was looked into: its layout without groups, and what a plan says of that."""

    layout: Layout
    about: dict[str, Any]


class Preview(NamedTuple):
    """A plan, ten files with the groups they would get, and ten that would get none."""

    plan: dict[str, Any]
    grouped: list[tuple[str, str]]
    ungrouped: list[str]


_recent: dict[tuple[object, ...], Seen] = {}


def start(session: Session, who: Identity, *, kind: UploadKind | str, name: str) -> Upload:
    """An upload that waits for its bytes. name: of the archive or folder, as the person knows it."""
    if kind not in (UploadKind.ARCHIVE, UploadKind.FOLDER):
        raise BadInputError(f"kind is {kind!r}; use archive or folder.")
    name = " ".join(name.split())[:MAX_NAME]
    return _added(
        session, Upload(project_id=who.project_id, user_id=who.user_id, kind=UploadKind(kind), name=name or str(kind))
    )


def start_on_server(session: Session, settings: Settings, who: Identity, *, path: str) -> Upload:
    """An upload that needs no bytes: the folder or archive at `path` on the server is read where it lies.

    Raises BadInputError, pointing at path, if it is not one that PHANTOM_IMPORT_ROOTS allows.
    """
    try:
        if len(path) > MAX_NAME:
            raise BadInputError(
                f"The path is longer than {MAX_NAME} characters.", hint="Import a folder of shorter name."
            )
        server_folders.find(settings, path)
    except BadInputError as error:
        pointed = [{"pointer": "/path", "detail": error.detail}]
        raise BadInputError(error.detail, hint=error.hint, errors=pointed) from error
    return _added(session, Upload(project_id=who.project_id, user_id=who.user_id, kind=UploadKind.SERVER, name=path))


def _added(session: Session, upload: Upload) -> Upload:
    session.add(upload)
    session.flush()
    return upload


def get(session: Session, who: Identity, upload_id: int) -> Upload:
    return rows.owned(session, who, Upload, upload_id, noun="upload")


def folder(settings: Settings, upload: Upload) -> UploadFolder:
    """Where the upload's bytes go; ConflictError if it takes none any more."""
    if upload.state in (UploadState.IMPORTED, UploadState.DISCARDED):
        raise ConflictError(f"Upload {upload.id} is {upload.state} and takes no files.", hint="Start another upload.")
    return UploadFolder(settings, upload)


def add_files(session: Session, settings: Settings, upload: Upload, received: Sequence[Received]) -> None:
    """Count one batch of a folder's files that have arrived; those that came before are not counted again."""
    place = folder(settings, upload)
    new = [file for file in received if file.is_new]
    if upload.num_files + len(new) > settings.max_files:
        raise too_many_files(settings.max_files)
    if not place.list.exists:
        place.note_batch(list(received))
    _count(session, upload, num_files=len(new), num_bytes=sum(file.size for file in new))


def earlier(session: Session, who: Identity, upload: Upload) -> list[Upload]:
    """Uploads before this one of a folder of the same name by the same person, in the same project, that were not imported; newest first.

    Nobody else's: who could take files over by their hashes could find out what others have.
    """
    query = select(Upload).where(
        Upload.project_id == upload.project_id,
        Upload.user_id == who.user_id,
        Upload.kind == UploadKind.FOLDER,
        Upload.name == upload.name,
        Upload.state.in_(abandoned.OPEN),
        Upload.id < upload.id,
    )
    return list(session.scalars(query.order_by(Upload.id.desc()).limit(EARLIER_UPLOADS)))


def begin_list(session: Session, upload: Upload) -> None:
    """Forget what has arrived: a list of all files is about to come, which says what of it counts."""
    _refuse_while_importing(session, upload)
    _changed(upload)
    upload.num_files = upload.num_bytes = 0
    session.flush()


def discard_replaced(session: Session, settings: Settings, replaced: Sequence[int]) -> None:
    """Discard those of these uploads that are still waiting for files: a later one has all that they got."""
    waiting = select(Upload).where(Upload.id.in_(replaced), Upload.state == UploadState.RECEIVING).with_for_update()
    for upload in session.scalars(waiting):
        abandoned.discard(session, settings, upload)


def note_size(session: Session, settings: Settings, upload: Upload) -> None:
    """Write down how much of an archive has arrived."""
    upload.num_files, upload.num_bytes = 1, folder(settings, upload).archive_bytes
    _changed(upload)
    session.flush()


def look(settings: Settings, upload: Upload) -> dict[str, Any]:
    """The plan of an upload whose bytes have arrived; needs no session, since a large tar.gz takes a while to list.

    {kind, summary, top, brings_splits, classes, counts: {class: {split or "all": n}}, num_images, empty, warnings, needs,
    table, columns: [{name, num_values, examples, may_be_groups, role}], groups, ignored: [{path, reason}] (the first
    1,000), num_ignored, total_bytes}.
    Raises BadInputError, with what was found and what is accepted, if nothing can be imported.
    """
    if upload.plan is not None and "kind" in upload.plan:  # plans of older versions know less
        return upload.plan
    return _described(_seen(settings, upload, AS_FOUND), AS_FOUND)[0]


def look_again(settings: Settings, upload: Upload, options: LayoutOptions) -> Preview:
    """The plan as these options would have it, with examples of groups; nothing of it is kept.

    Raises BadInputError, pointing at the option, if one asks for what is not there.
    """
    plan, grouped = _described(_seen(settings, upload, options), options)
    known = [(image.path, image.group) for image in grouped.images if image.group is not None]
    unknown = [image.path for image in grouped.images if image.group is None] if grouped.groups else []
    return Preview(plan, _spread(known), unknown[:SHOWN_GROUPED])


def keep_plan(session: Session, upload: Upload, found: dict[str, Any]) -> dict[str, Any]:
    """Keep with the upload what `look` found; what arrives later forgets it again."""
    if upload.state == UploadState.RECEIVING:
        upload.plan, upload.state = found, UploadState.PLANNED
        if upload.kind == UploadKind.SERVER:
            upload.num_files, upload.num_bytes = found["num_images"] + found["num_ignored"], found["total_bytes"]
        session.flush()
    return found


def plan(session: Session, settings: Settings, upload: Upload) -> dict[str, Any]:
    """`look`, and keep what was found."""
    return keep_plan(session, upload, look(settings, upload))


def check_options(upload: Upload, options: LayoutOptions) -> None:
    """Raise BadInputError if an import with these options is sure to fail, as the upload's plan says."""
    assert upload.plan is not None
    table = upload.plan.get("table") or {"columns": [], "paths": []}
    for option in ("group_by", "label_by"):
        name = getattr(options, option)
        if name is not None and name not in table["columns"]:
            has = ", ".join(table["columns"])
            raise layouts.refused(
                option,
                f"The upload has no table with a column {name!r}.",
                f"It has {has}." if has else "Leave this out.",
            )
    if upload.plan.get("needs") == "label_by" and options.label_by is None and options.classes_from != "folders":
        detail = "Nothing says which class an image has."
        raise layouts.refused("label_by", detail, f"Name the column of {', '.join(table['paths'])} that says it.")


def _seen(settings: Settings, upload: Upload, options: LayoutOptions) -> Seen:
    """The upload without groups; the last few are kept, since a person who types a pattern asks again and again."""
    place = folder(settings, upload)
    ungrouped = options.model_copy(update={"group_by": None, "group_pattern": None})
    key = (place.stamp, ungrouped.label_by, ungrouped.classes_from, ungrouped.is_addition)
    seen = _recent.get(key)
    if seen is None:
        seen = _look_into(layouts.detect_ungrouped(place.members(), place, ungrouped))
        while len(_recent) >= LAYOUTS_KEPT:
            _recent.pop(next(iter(_recent)), None)
        _recent[key] = seen
    return seen


def _look_into(layout: Layout) -> Seen:
    ignored = [{"path": file.path, "reason": file.reason} for file in layout.ignored]
    about = layout.as_json() | {
        "columns": [column._asdict() for column in layouts.describe(layout.listing)] if layout.listing else [],
        "ignored": ignored[:SHOWN_IGNORED],
        "num_ignored": len(ignored),
        "total_bytes": sum(image.size for image in layout.images),
    }
    return Seen(layout, about)


def _described(seen: Seen, options: LayoutOptions) -> tuple[dict[str, Any], Layout]:
    """The plan with the groups that the options ask for, and the layout with them."""
    grouped = layouts.with_groups(seen.layout, options)
    groups = grouped.groups.as_json() if grouped.groups else None
    return seen.about | {"groups": groups, "warnings": grouped.warnings}, grouped


def _spread(known: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Ten of them, from all over the upload."""
    return list(known[:: max(1, len(known) // SHOWN_GROUPED)][:SHOWN_GROUPED])


def discard(session: Session, settings: Settings, upload: Upload) -> None:
    """Delete the upload's bytes; it cannot be imported any more."""
    _refuse_while_importing(session, upload)
    folder(settings, upload)  # refuses one that has ended
    abandoned.discard(session, settings, upload)


def _refuse_while_importing(session: Session, upload: Upload) -> None:
    importing = session.scalar(abandoned.imports_of(upload).where(Job.state.not_in(FINISHED)))
    if importing is not None:
        raise ConflictError(f"Job {importing} is importing upload {upload.id}.", hint="Cancel that job first.")


def _count(session: Session, upload: Upload, *, num_files: int, num_bytes: int) -> None:
    """Add in SQL, since batches of one upload may arrive at the same time."""
    _changed(upload)
    session.execute(
        update(Upload)
        .where(Upload.id == upload.id)
        .values(num_files=Upload.num_files + num_files, num_bytes=Upload.num_bytes + num_bytes)
    )
    session.refresh(upload)


def _changed(upload: Upload) -> None:
    upload.state, upload.plan = UploadState.RECEIVING, None
