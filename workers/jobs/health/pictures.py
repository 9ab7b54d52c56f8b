"""What a sample of the pictures shows: the mean image of each class, marks that come again, burnt-in text."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from app.core.images import Uint8, encode_png, load_square, load_uint8
from app.core.images.arrays import from_image, to_image
from app.core.storage import Storage
from workers.context import JobContext
from workers.jobs.health.measuring import shown_labels
from workers.jobs.health.steps import Steps
from workers.jobs.health.subject import Subject
from workers.jobs.looks import THREADS
from workers.ml.health.baselines import stratified_places
from workers.ml.health.marks import Mark, repeated_marks
from workers.ml.health.text import has_text

SIDE = 128  # pixels of thumbnails that are laid upon each other
MOST_THUMBNAILS = 500
MOST_TEXTS = 300
TEXT_SIDE = 512
CHUNK = 32


class Sample(NamedTuple):
    """Thumbnails of images that may be learnt from. images_uint8: (n, SIDE, SIDE, C); places: (n,) in the subject."""

    images_uint8: Uint8
    places: NDArray[np.int64]
    labels: NDArray[np.int64]


def sample(storage: Storage, subject: Subject, *, seed: int) -> Sample:
    places = _some(subject, most=MOST_THUMBNAILS, seed=seed)

    def load(place: int) -> Uint8:
        path = storage.path(subject.entries[place].thumbnail_sha256)
        return load_square(path, image_size=SIDE, channels=subject.channels, fit="stretch")

    with ThreadPoolExecutor(THREADS) as pool:
        images = list(pool.map(load, places.tolist()))
    shape = (0, SIDE, SIDE, subject.channels)
    return Sample(np.stack(images) if images else np.zeros(shape, np.uint8), places, subject.labels[places])


def _some(subject: Subject, *, most: int, seed: int) -> NDArray[np.int64]:
    """Some places of images that may be learnt from, of all classes."""
    candidates = np.flatnonzero(subject.is_open)
    if not len(candidates):
        return candidates.astype(np.int64)
    return candidates[stratified_places(labels=subject.labels[candidates], most=most, seed=seed)]


def publish_means(context: JobContext, subject: Subject, found: Sample, names: list[str]) -> dict[str, str]:
    """{class: storage key} of the mean image of each of the classes `names` that the sample holds."""
    keys = {}
    for index, name in enumerate(names):
        images = found.images_uint8[found.labels == subject.classes.index(name)]
        if not len(images):
            continue
        png = encode_png(np.rint(images.mean(axis=0)).astype(np.uint8))
        keys[name] = context.storage.put(png).sha256
        about = {"class": name, "num_images": len(images)}
        context.publish("mean_image", index, png, name=f"mean-{index:03d}.png", media_type="image/png", data=about)
    return keys


def marks(subject: Subject, found: Sample) -> list[Mark]:
    if not len(found.labels):
        return []
    grey = [from_image(to_image(image).convert("L"))[..., 0] for image in found.images_uint8]
    return repeated_marks(images_uint8=np.stack(grey), labels=found.labels, num_classes=len(subject.classes))


def text(storage: Storage, steps: Steps, subject: Subject, *, seed: int) -> dict[str, Any]:
    """{num_looked_at, num_found, shares: of each class's images that were looked at, image_ids}."""
    places = _some(subject, most=MOST_TEXTS, seed=seed)
    found = np.zeros(len(places), dtype=bool)

    def look(place: int) -> bool:
        return has_text(image_uint8=_grey(load_uint8(storage.path(subject.entries[place].stored_sha256))))

    with ThreadPoolExecutor(THREADS) as pool:
        for start in range(0, len(places), CHUNK):
            found[start : start + CHUNK] = list(pool.map(look, places[start : start + CHUNK].tolist()))
            steps.say(f"{start:,} of {len(places):,} images")
    labels = subject.labels[places]
    shares = {
        subject.classes[label]: round(float(found[labels == label].mean()), 4)
        for label in shown_labels(subject)
        if (labels == label).any()
    }
    return {
        "num_looked_at": len(places),
        "num_found": int(found.sum()),
        "shares": shares,
        "image_ids": subject.ids_of(places[found]),
    }


def _grey(image: Uint8) -> NDArray[np.uint8]:
    """(H, W), no side longer than TEXT_SIDE."""
    small = to_image(image).convert("L")
    small.thumbnail((TEXT_SIDE, TEXT_SIDE), Pillow.Resampling.LANCZOS, reducing_gap=3.0)
    return np.asarray(small)
