"""The nearest training image of each image, by its pixels: whatever noise, blur, shift, mirroring or contrast lie between.

Two steps. A sieve correlates 14 x 14 thumbnails of all pairs by matrix products, at every shift of up to two pixels and every
mirroring, and keeps the best candidates. Each of these is then compared at the working resolution, twice smoothed: how much
of the image is explained by the training image after a change of gain, offset and tone, a shift by parts of a pixel,
and more or less blur, and how does that compare with the tenth nearest training image. The last makes the measure fair: where
all images of a class resemble each other, as heads do, a high correlation alone means little.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from workers.ml.health.baselines import area_weights
from workers.ml.images import Uint8Images, check_images
from workers.ml.privacy.neighbours import (
    KINDS,
    LEAST_RESIDUAL,
    Flags,
    Indices,
    Neighbours,
    blank_neighbours,
    clusters_or_own,
    kinds_of,
    rank_place,
)
from workers.ml.pulse import pulse

Planes = NDArray[np.float32]

WORKING_SIDE = 64  # px; larger images are reduced to it
SIEVE_SIDE = 32  # px, before 2 x 2 pixels become one
SMOOTHINGS = (0.7, 1.4)  # standard deviations in working pixels
MAX_SHIFT = 2  # working pixels, each way
FLAT_STD = 2.0  # grey levels; below it an image shows nothing that could be recognised
CANDIDATES = 16  # of the sieve, for each image
FINALISTS = 4  # of these, fully compared
ROWS_AT_ONCE = 128


@dataclass(frozen=True)
class PixelGallery:
    """T training images, prepared once: about 3.5 MB for a hundred grey ones of 64 px.

    shape: (S, S, C) of the originals. clusters: (T,) numbers, equal for look-alikes. is_flat: (T,).
    smoothed: for each of SMOOTHINGS (T, C, W, W), W the working side. thumbnails: (T, 196) of length 1.
    """

    shape: tuple[int, ...]
    clusters: Indices
    is_flat: Flags
    smoothed: tuple[Planes, ...]
    thumbnails: Planes

    def __len__(self) -> int:
        return len(self.clusters)


def pixel_gallery(*, images_uint8: Uint8Images, clusters: Indices | None) -> PixelGallery:
    """Prepare training images (T, S, S, C) to be searched; clusters: (T,) numbers of known look-alikes, or None.

    Raises ValueError if the images are not square or all blank.
    """
    check_images(images_uint8)
    if images_uint8.shape[1] != images_uint8.shape[2] or images_uint8.shape[1] < 8:
        raise ValueError(f"Images are {images_uint8.shape[1:3]} px; expected squares with sides of at least 8 px.")
    working = _working(images_uint8)
    is_flat = _is_flat(working)
    if is_flat.all():
        raise ValueError(f"All {len(images_uint8)} training images are blank; there is nothing to compare with.")
    thumbnails = _thumbnails(_sieve_planes(working), 0, 0)
    return PixelGallery(
        shape=images_uint8.shape[1:],
        clusters=clusters_or_own(clusters, num_images=len(images_uint8), what="training images"),
        is_flat=is_flat,
        smoothed=tuple(_smoothed(working, std) for std in SMOOTHINGS),
        thumbnails=thumbnails,
    )


def nearest_in_pixels(
    *, gallery: PixelGallery, images_uint8: Uint8Images, mirrors: tuple[str, ...], own: Indices | None
) -> Neighbours:
    """The nearest image of the gallery for each of images (N, S, S, C), one view for each of SMOOTHINGS.

    mirrors: of KINDS, tried beside the plain image. own: (N,) clusters whose training images do not count, for images that
    are training images themselves; None for all others. What is found for an image does not depend on the others.
    """
    if len(images_uint8):
        check_images(images_uint8)
    if images_uint8.shape[1:] != gallery.shape:
        raise ValueError(f"Images are {images_uint8.shape[1:]} (H, W, C), the training images {gallery.shape}.")
    kinds = kinds_of(mirrors)
    found = blank_neighbours(len(images_uint8), len(SMOOTHINGS))
    for start in range(0, len(images_uint8), ROWS_AT_ONCE):
        rows = np.arange(start, min(start + ROWS_AT_ONCE, len(images_uint8)))
        working = _working(images_uint8[rows])
        sieved = _sieve(gallery, working, kinds, None if own is None else own[rows])
        smoothed = [_smoothed(working, std) for std in SMOOTHINGS]
        for place in np.flatnonzero(~_is_flat(working)):
            candidates, candidate_kinds = sieved[place]
            if len(candidates):
                planes = [each[place] for each in smoothed]
                _compare(found, int(rows[place]), gallery, planes, candidates, candidate_kinds)
        pulse(len(rows))
    return found


def _working(images_uint8: Uint8Images) -> Planes:
    """(N, C, W, W) float32, W at most WORKING_SIDE."""
    side = min(images_uint8.shape[1], WORKING_SIDE)
    return _reduced(np.moveaxis(images_uint8, -1, 1), side)


def _reduced(planes: NDArray[np.uint8] | Planes, side: int) -> Planes:
    """(N, C, S, S) -> (N, C, side, side) by means over areas."""
    size = planes.shape[-1]
    if size == side:
        return planes.astype(np.float32)
    weights = area_weights(size=size, side=side).astype(np.float32)
    return np.asarray(weights @ planes.astype(np.float32) @ weights.T)


def _is_flat(planes: Planes) -> Flags:
    """(N,): no channel varies."""
    return np.asarray(planes.std(axis=(2, 3)).max(axis=1) < FLAT_STD)


def _smoothed(planes: Planes, std: float) -> Planes:
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(planes, (0, 0, std, std), mode="nearest"), dtype=np.float32)


def _sieve_planes(working: Planes) -> Planes:
    """(N, SIEVE_SIDE, SIEVE_SIDE) grey, lightly smoothed."""
    return _smoothed(_reduced(working.mean(axis=1, keepdims=True), SIEVE_SIDE), 1.0)[:, 0]


def _thumbnails(planes: Planes, down: int, right: int) -> Planes:
    """(N, 196) of length 1 and mean 0: the inner 28 x 28 pixels, moved by whole pixels, 2 x 2 as one."""
    inner = SIEVE_SIDE - 2 * MAX_SHIFT
    top, left = MAX_SHIFT + down, MAX_SHIFT + right
    cut = planes[:, top : top + inner, left : left + inner]
    flat = cut.reshape(-1, inner // 2, 2, inner // 2, 2).mean(axis=(2, 4)).reshape(len(cut), -1)
    flat = flat - flat.mean(axis=1, keepdims=True)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _mirrored(planes: Planes, kind: int) -> Planes:
    """(..., H, W) mirrored as KINDS[kind] says."""
    vertical = slice(None, None, -1 if KINDS[kind] in ("top_bottom", "rotated") else 1)
    horizontal = slice(None, None, -1 if KINDS[kind] in ("left_right", "rotated") else 1)
    return planes[..., vertical, horizontal]


def _sieve(
    gallery: PixelGallery, working: Planes, kinds: Indices, own: Indices | None
) -> list[tuple[Indices, Indices]]:
    """For each image at most CANDIDATES training images, ascending, and the kind in which each resembles it most."""
    planes = _sieve_planes(working)
    reach = -(-MAX_SHIFT * SIEVE_SIDE // working.shape[-1]) if working.shape[-1] > SIEVE_SIDE else MAX_SHIFT
    best = np.full((len(kinds), len(working), len(gallery)), -2.0, dtype=np.float32)
    for place, kind in enumerate(kinds):
        turned = _mirrored(planes, int(kind))
        for down in range(-reach, reach + 1):
            for right in range(-reach, reach + 1):
                np.maximum(best[place], _thumbnails(turned, down, right) @ gallery.thumbnails.T, out=best[place])
    kind_of, similarity = best.argmax(axis=0), best.max(axis=0)  # (N, T)
    similarity[:, gallery.is_flat] = -np.inf
    if own is not None:
        similarity[own[:, None] == gallery.clusters[None]] = -np.inf
    return [_best(row, kinds[kind_of[place]]) for place, row in enumerate(similarity)]


def _best(similarity: Planes, kind_of: Indices) -> tuple[Indices, Indices]:
    num = min(CANDIDATES, len(similarity))
    chosen = np.sort(np.argpartition(-similarity, num - 1)[:num])
    chosen = chosen[np.isfinite(similarity[chosen])]
    return chosen, kind_of[chosen]


def _compare(
    found: Neighbours, row: int, gallery: PixelGallery, planes: list[Planes], candidates: Indices, kinds: Indices
) -> None:
    """Fill one row of `found`. planes: for each of SMOOTHINGS (C, W, W). candidates, kinds: (K,)."""
    templates = [each[candidates] for each in gallery.smoothed]  # (K, C, W, W)
    matches = [_aligned(image, template, kinds) for image, template in zip(planes, templates, strict=True)]
    plain = np.stack([_log_residual(np.square(correlation)) for correlation, _ in matches]).mean(axis=0)  # (K,)
    tenth = rank_place(plain, gallery.clusters[candidates])
    compared = np.append(np.sort(np.argsort(plain, kind="stable")[:FINALISTS]), tenth)  # (F + 1,)
    explained = np.stack(
        [
            _explained(template[compared], windows[compared])
            for template, (_, windows) in zip(templates, matches, strict=True)
        ]
    )
    residuals = _log_residual(explained)  # (V, F + 1)
    winner = int(residuals[:, :-1].mean(axis=0).argmin())
    found.nearest[row], found.kind[row] = candidates[compared[winner]], kinds[compared[winner]]
    found.similarity[row] = np.sqrt(explained[:, winner].mean())
    found.distances[row] = np.exp(residuals[:, winner].mean())
    found.views[row] = residuals[:, winner] - residuals[:, -1]


def _log_residual(explained: NDArray[np.float64]) -> NDArray[np.float64]:
    """Logarithm of the distance of two images of unit variance of which a share is explained; at LEAST_RESIDUAL and above."""
    return np.asarray(0.5 * np.log(np.maximum(1.0 - explained, LEAST_RESIDUAL)))


def _aligned(image: Planes, templates: Planes, kinds: Indices) -> tuple[NDArray[np.float64], Planes]:
    """The best correlation of each template's inside (K, C, W, W) with the image (C, W, W) over all shifts: (K,), and the
    window of the image where it is attained, (K, C * w * w) of mean 0 and length 1."""
    inner = templates.shape[-1] - 2 * MAX_SHIFT
    cut = _centred(templates[:, :, MAX_SHIFT:-MAX_SHIFT, MAX_SHIFT:-MAX_SHIFT].reshape(*templates.shape[:2], -1))
    best = np.zeros(len(templates))
    windows = np.zeros((len(templates), cut.shape[1]), dtype=np.float32)
    for kind in np.unique(kinds):
        view = np.lib.stride_tricks.sliding_window_view(_mirrored(image, int(kind)), (inner, inner), axis=(1, 2))
        moved = _centred(np.moveaxis(view, 0, 2).reshape(-1, len(image), inner * inner))  # (25, C * w * w)
        rows = np.flatnonzero(kinds == kind)
        correlations = np.abs(cut[rows] @ moved.T)  # (k, 25)
        shifts = correlations.argmax(axis=1)
        best[rows] = correlations.max(axis=1)
        windows[rows] = moved[shifts]
    return best, windows


def _centred(planes: Planes) -> Planes:
    """(N, C, P) -> (N, C * P): each channel without its mean, all together of length 1."""
    flat = (planes - planes.mean(axis=2, keepdims=True)).reshape(len(planes), -1)
    return np.asarray(flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6), dtype=np.float32)


def _explained(templates: Planes, windows: Planes) -> NDArray[np.float64]:
    """(F,) R squared of each window (F, P) on its template (F, C, W, W) and the first-order changes of it."""
    basis = np.stack([_centred(each) for each in _changes(templates)], axis=1).astype(np.float64)  # (F, B, P)
    products = basis @ windows[:, :, None].astype(np.float64)  # (F, B, 1)
    gram = basis @ basis.transpose(0, 2, 1) + 1e-6 * np.eye(basis.shape[1])
    return np.asarray(np.clip((products * np.linalg.solve(gram, products)).sum(axis=(1, 2)), 0.0, 1.0))


def _changes(templates: Planes) -> list[Planes]:
    """What a template (F, C, W, W) becomes by gain, tone, a small shift, and blur: the insides as (F, C, w * w)."""
    inside = slice(MAX_SHIFT, -MAX_SHIFT)
    up, down = templates[:, :, 1:-3, inside], templates[:, :, 3:-1, inside]
    left, right = templates[:, :, inside, 1:-3], templates[:, :, inside, 3:-1]
    centre = templates[:, :, inside, inside]
    blur = up + down + left + right - 4 * centre
    tone = np.square(centre - centre.mean(axis=(2, 3), keepdims=True))
    return [each.reshape(*each.shape[:2], -1) for each in (centre, tone, down - up, right - left, blur)]
