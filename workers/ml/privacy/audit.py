"""One report of how much a synthetic set gives away: copies by pixels and by features, authenticity, memorised images, membership.

Every figure has its n and, where it is null, a reason. It can be written as JSON as it is.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.ml.images import Uint8Images
from workers.ml.metrics.reports import Report
from workers.ml.privacy.authenticity import authenticity, memorised
from workers.ml.privacy.calibration import TooFewHeldOutError
from workers.ml.privacy.copies import Copies, copies_report, find_copies, image_row
from workers.ml.privacy.embeddings import nearest_in_embedding
from workers.ml.privacy.neighbours import Flags, Indices, Neighbours, clusters_or_own
from workers.ml.privacy.pixels import PixelGallery, nearest_in_pixels, pixel_gallery
from workers.ml.privacy.power import planted_power
from workers.ml.privacy.rates import nothing

POWER_STRENGTHS = ("mild", "moderate")
WHAT_IT_DOES_NOT_SAY = (
    "Passing means that none of these searches found what it looks for. It is no proof of anonymity: a copy may be altered beyond what is searched for, "
    "parts of images are not searched for, and other attacks may succeed."
)


@dataclass(frozen=True)
class RealImages:
    """images_uint8: (N, S, S, C). clusters: (N,) numbers of known look-alikes, the same numbers for training and held-out images, or
    None. groups: (N,) numbers of patients, or None."""

    images_uint8: Uint8Images
    clusters: Indices | None
    groups: Indices | None


@dataclass(frozen=True)
class Features:
    """Of one extractor: train (T, D), and (N, D) by kind of the held-out and of the synthetic images (see embeddings)."""

    train: NDArray[np.floating]
    held_out: dict[str, NDArray[np.floating]]
    synthetic: dict[str, NDArray[np.floating]]


class Audit(NamedTuple):
    """report: for people, JSON-able. images: for each synthetic image {synthetic, flagged, spaces: {space: image_row}}."""

    report: Report
    images: list[dict[str, Any]]


class _Search(NamedTuple):
    """What one space has to say: of the synthetic images, of the held-out ones, of the training images among themselves."""

    synthetic: Neighbours
    held_out: Neighbours
    train: Neighbours


def audit(
    *, synthetic_uint8: Uint8Images, synthetic_labels: Indices | None, train: RealImages, held_out: RealImages,
    features: dict[str, Features], mirrors: tuple[str, ...], membership: Report | None, level: float, num_planted: int, num_worst: int,
    seed: int,
) -> Audit:  # fmt: skip
    """Audit M synthetic images (M, S, S, C) against the T training images and held-out real ones.

    features: by the extractor's name. mirrors: of KINDS, in pixel space. membership: what `membership.membership` reports, or None.
    level: the share of fresh real images that may be called copies, in each space. num_planted: copies planted to measure the search's power, 0 for none.
    num_worst: pairs listed in each space.
    """
    gallery = pixel_gallery(images_uint8=train.images_uint8, clusters=train.clusters)
    searches = {"pixels": _search_pixels(gallery, synthetic_uint8, train, held_out, mirrors)}
    searches |= {name: _search_features(each, train) for name, each in features.items()}
    found = {name: _copies(search, train, held_out, level, seed) for name, search in searches.items()}
    images = _images(found, len(synthetic_uint8))
    report = {
        "num_synthetic": len(synthetic_uint8), "num_train": len(train.images_uint8), "num_held_out": len(held_out.images_uint8),
        "level": level, "mirrors": list(mirrors), "seed": seed,
        "num_flagged": sum(each["flagged"] for each in images) if any(isinstance(each, Copies) for each in found.values()) else None,
        "spaces": {
            name: _space_report(search, found[name], synthetic_labels, len(train.images_uint8), num_worst)
            for name, search in searches.items()
        },
        "power": _power(gallery, train, searches["pixels"], found["pixels"], mirrors, num_planted, seed),
        "membership": nothing("The network that drew the images was not attacked.") if membership is None else membership,
        "limits": WHAT_IT_DOES_NOT_SAY,
    }  # fmt: skip
    return Audit(report, images)


def _copies(search: _Search, train: RealImages, held_out: RealImages, level: float, seed: int) -> Copies | Report:
    """What was found, or why nothing could be."""
    known = _known(train, held_out)
    try:
        return find_copies(
            synthetic=search.synthetic, held_out=search.held_out, known=known, groups=held_out.groups, level=level, seed=seed
        )  # fmt: skip
    except TooFewHeldOutError as error:
        return nothing(str(error))


def _space_report(
    search: _Search, copies: Copies | Report, labels: Indices | None, num_train: int, num_worst: int
) -> Report:
    nearness = {
        "authenticity": authenticity(images=search.synthetic, train=search.train),
        "authenticity_of_held_out": authenticity(images=search.held_out, train=search.train),
    }
    if not isinstance(copies, Copies):
        return {"copies": copies, "memorised": copies, **nearness}
    return {
        "copies": copies_report(copies=copies, labels=labels, num_worst=num_worst),
        "memorised": memorised(synthetic=search.synthetic, flagged=copies.flagged, num_train=num_train),
        **nearness,
    }


def _power(
    gallery: PixelGallery, train: RealImages, search: _Search, copies: Copies | Report, mirrors: tuple[str, ...], num_planted: int,
    seed: int,
) -> list[Report] | Report:  # fmt: skip
    if not num_planted:
        return nothing("No copies were planted.")
    if not isinstance(copies, Copies):
        return nothing("Without a threshold there is nothing that planted copies could pass.")
    return planted_power(
        gallery=gallery, train_uint8=train.images_uint8, held_out=search.held_out, calibration=copies.calibration,
        strengths=POWER_STRENGTHS, mirrors=mirrors, num_planted=num_planted, seed=seed,
    )  # fmt: skip


def _search_pixels(
    gallery: PixelGallery,
    synthetic_uint8: Uint8Images,
    train: RealImages,
    held_out: RealImages,
    mirrors: tuple[str, ...],
) -> _Search:
    def search(images_uint8: Uint8Images, own: Indices | None) -> Neighbours:
        return nearest_in_pixels(gallery=gallery, images_uint8=images_uint8, mirrors=mirrors, own=own)

    return _Search(
        search(synthetic_uint8, None), search(held_out.images_uint8, None), search(train.images_uint8, gallery.clusters)
    )


def _search_features(features: Features, train: RealImages) -> _Search:
    own = clusters_or_own(train.clusters, num_images=len(features.train), what="training images")

    def search(asked: dict[str, NDArray[np.floating]], excluded: Indices | None) -> Neighbours:
        return nearest_in_embedding(train=features.train, features=asked, clusters=own, own=excluded)

    return _Search(
        search(features.synthetic, None), search(features.held_out, None), search({"plain": features.train}, own)
    )


def _known(train: RealImages, held_out: RealImages) -> Flags | None:
    """(N,) held-out images of which a look-alike is among the training images."""
    if train.clusters is None or held_out.clusters is None:
        return None
    return np.isin(held_out.clusters, train.clusters)


def _images(found: dict[str, Copies | Report], num_synthetic: int) -> list[dict[str, Any]]:
    rows = []
    for place in range(num_synthetic):
        spaces = {name: image_row(copies, place) for name, copies in found.items() if isinstance(copies, Copies)}
        flagged = any(row["flagged"] for row in spaces.values())
        rows.append({"synthetic": place, "flagged": flagged, "spaces": spaces})
    return rows
