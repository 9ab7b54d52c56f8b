"""Rows of images become uint8 arrays, decoded once and kept beside the studio's data.

The cache file is named by everything that its pixels depend on, so it never goes stale and may be deleted at any
time. It is memory-mapped: a training set may be larger than the memory.
"""

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from app.core.images import Fit, Uint8, load_square
from app.core.unions import Unions
from models import Image, Mark, Split, SyntheticImage
from workers.context import JobContext

FORMAT = 1  # of the cached pixels: another number makes every cached array anew
THREADS = 4  # Pillow lets go of the interpreter while it decodes
CHUNK = 64
MAX_CACHE_BYTES = 20 * 10**9


class Source(NamedTuple):
    """One image to be read: its row's id, class, stored file, and the group of images that are not independent of it
    (patient, copies and look-alikes); None where it stands alone."""

    id: int
    label: int
    group: str | None
    key: str


class LabelledImages(NamedTuple):
    """images_uint8: (N, S, S, C); what is written to it never reaches the file; labels: (N,) int64."""

    images_uint8: Uint8
    labels: NDArray[np.int64]
    sources: list[Source]


def real_sources(session: Session, *, version_id: int, split: Split | None) -> list[Source]:
    """The images of one split, of all if it is None, by id. A group joins images of one patient, copies and look-alikes, so one that has a
    group may be of a patient whom nobody knows."""
    patient = func.coalesce(Image.group, Image.series).label("patient")
    query = select(Image.id, Image.label, patient, Image.cluster, Image.stored_sha256)
    wanted = [Image.version_id == version_id] + ([Image.split == split] if split is not None else [])
    rows = session.execute(query.where(*wanted).order_by(Image.id)).all()
    unions = Unions[object]()
    for row in rows:
        for name in _groups_of(row.patient, row.cluster):
            unions.join(row.id, name)
    return [
        Source(
            row.id,
            row.label,
            str(unions.root(row.id)) if _groups_of(row.patient, row.cluster) else None,
            row.stored_sha256,
        )
        for row in rows
    ]


def _groups_of(patient: str | None, cluster: int | None) -> list[tuple[str, object]]:
    named: list[tuple[str, object]] = [("patient", patient), ("cluster", cluster)]
    return [(kind, value) for kind, value in named if value is not None]


def synthetic_sources(session: Session, *, set_id: int) -> list[Source]:
    """The images of a synthetic set that nobody has rejected, by index."""
    query = select(SyntheticImage.id, SyntheticImage.label, SyntheticImage.stored_sha256)
    kept = query.where(SyntheticImage.set_id == set_id, SyntheticImage.mark != Mark.REJECTED)
    return [
        Source(row_id, label, None, key) for row_id, label, key in session.execute(kept.order_by(SyntheticImage.index))
    ]


def load_images(
    context: JobContext, sources: Sequence[Source], *, image_size: int, channels: int, fit: Fit, what: str
) -> LabelledImages:
    """The images of `sources` as squares of `image_size` pixels; from the cache where they were read before.

    what: names them in the job's progress line ("training images").
    """
    labels = np.array([source.label for source in sources], dtype=np.int64)
    keys = [source.key for source in sources]
    path = context.settings.cache_dir / "arrays" / f"{_name(keys, image_size, channels, fit)}.npy"
    shape = (len(keys), image_size, image_size, channels)
    images = _from_cache(path, shape)
    if images is None:
        _decode_into(context, path, keys, shape, fit, what)
        images = _from_cache(path, shape)
        assert images is not None, f"{path} was written just now"
    return LabelledImages(images, labels, list(sources))


def _name(keys: Sequence[str], image_size: int, channels: int, fit: str) -> str:
    return hashlib.sha256(json.dumps([FORMAT, image_size, channels, fit, *keys]).encode()).hexdigest()


def _from_cache(path: Path, shape: tuple[int, ...]) -> Uint8 | None:
    """The cached array, or None if it is not there; a file of another shape was damaged and is not used."""
    try:
        array: Uint8 = np.load(path, mmap_mode="c", allow_pickle=False)
    except FileNotFoundError:
        return None
    except (ValueError, EOFError):
        array = np.empty(0, dtype=np.uint8)
    if array.shape != shape or array.dtype != np.uint8:
        path.unlink(missing_ok=True)
        return None
    os.utime(path)  # used now: deleted last
    return array


def _decode_into(
    context: JobContext, path: Path, keys: Sequence[str], shape: tuple[int, ...], fit: Fit, what: str
) -> None:
    """Read every image into a new file that appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    _make_room(path.parent, needed=int(np.prod(shape)))
    incoming = path.with_name(f"{uuid.uuid4().hex}.tmp")
    try:
        array = np.lib.format.open_memmap(incoming, mode="w+", dtype=np.uint8, shape=shape)
        for start, images in _decoded(context, keys, shape, fit):
            array[start : start + len(images)] = images
            context.report(0, message=f"Reading {what}: {start + len(images):,} of {len(keys):,}")
        array.flush()
        del array
        with incoming.open("rb") as file:
            os.fsync(file.fileno())
        incoming.replace(path)
    finally:
        incoming.unlink(missing_ok=True)


def _decoded(
    context: JobContext, keys: Sequence[str], shape: tuple[int, ...], fit: Fit
) -> Iterator[tuple[int, list[Uint8]]]:
    """(place, images) chunk by chunk, each chunk decoded by several threads."""

    def read(key: str) -> Uint8:
        return load_square(context.storage.path(key), image_size=shape[1], channels=shape[3], fit=fit)

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(keys), CHUNK):
            yield start, list(pool.map(read, keys[start : start + CHUNK]))


def _make_room(folder: Path, *, needed: int) -> None:
    """Delete the arrays that were used longest ago until all are within MAX_CACHE_BYTES; a mapped one lives on."""
    files = sorted(folder.glob("*.npy"), key=lambda file: file.stat().st_mtime)
    total = sum(file.stat().st_size for file in files) + needed
    for file in files:
        if total <= MAX_CACHE_BYTES:
            return
        total -= file.stat().st_size
        file.unlink(missing_ok=True)


def take(images: LabelledImages, chosen: Sequence[int]) -> LabelledImages:
    """Some of the images, by place."""
    places = np.asarray(chosen, dtype=np.int64)
    return LabelledImages(images.images_uint8[places], images.labels[places], [images.sources[i] for i in chosen])


def join(parts: Sequence[LabelledImages]) -> LabelledImages:
    """Several lots of one image size, one after the other; a single lot is not copied."""
    if len(parts) == 1:
        return parts[0]
    return LabelledImages(
        np.concatenate([part.images_uint8 for part in parts]),
        np.concatenate([part.labels for part in parts]),
        [source for part in parts for source in part.sources],
    )
