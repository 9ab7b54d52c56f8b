"""FID: the Fréchet distance between Gaussians fitted to two feature sets (arXiv:1706.08500, Eq. 6).

The trace of the root of the product of the covariances is the sum of the singular values of one small matrix. So no
root is taken of eigenvalues that rounding made negative, and n may be below D, where the covariances are singular.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from workers.ml.fidelity.intervals import Estimate, Floats, Indices, influence_variance
from workers.ml.pulse import pulse


class _Fit(NamedTuple):
    """mean: (D,). centred: (N, D) with centred.T @ centred the covariance. q: (N, R), root: (R, D); centred = q @ root."""

    mean: Floats
    centred: Floats
    q: Floats
    root: Floats


def frechet_distance(
    *, real: NDArray[np.floating], fake: NDArray[np.floating], real_groups: Indices | None, fake_groups: Indices | None
) -> Estimate:
    """Fréchet distance, in [0, inf) up to rounding, and its standard error by the infinitesimal jackknife.

    real, fake: (N, D) and (M, D) features from one extractor, N, M >= 2. groups: (N,) and (M,) integers, equal for
    images that belong together, or None. Biased upwards by O(1/N): compare only values with equal N and M. The error
    is about this biased value, and too large rather than too small where the two sets are alike.

    Raises ValueError if D differs or if a set has fewer than two images.
    """
    check_features(real=real, fake=fake, least=2)
    one, other = _fit(real), _fit(fake)
    # Tr sqrt(AB) with A = R'R and B = S'S is the sum of singular values of RS': no root of a rounded eigenvalue.
    u, singular, vh = np.linalg.svd(one.root @ other.root.T, full_matrices=False)  # (R, K), (K,), (K, S)
    pulse()
    shift = one.mean - other.mean
    value = float(shift @ shift + np.square(one.centred).sum() + np.square(other.centred).sum() - 2 * singular.sum())
    variance = influence_variance(
        influences=_influences(one, shift, one.q @ u, singular), groups=real_groups
    ) + influence_variance(influences=_influences(other, -shift, other.q @ vh.T, singular), groups=fake_groups)
    return Estimate(max(value, 0.0), math.sqrt(variance))


def _fit(features: NDArray[np.floating]) -> _Fit:
    values = features.astype(np.float64)
    mean = values.mean(axis=0)
    centred = (values - mean) / math.sqrt(len(values) - 1)
    q, root = np.linalg.qr(centred)
    pulse()
    return _Fit(mean, centred, q, root)


def _influences(fit: _Fit, shift: Floats, vectors: Floats, singular: Floats) -> Floats:
    """(N,) derivatives of the distance with respect to each image's weight; vectors: (N, K), singular: (K,).

    Weights act on the mean, on the trace of the covariance and, as factors of the rows, on the singular values.
    """
    num = len(fit.centred)
    along = math.sqrt(num - 1) * (fit.centred @ shift)
    spread = np.square(fit.centred).sum(axis=1) - np.square(vectors) @ singular
    return np.asarray(2 * along + num * spread)


def check_features(*, real: NDArray[np.floating], fake: NDArray[np.floating], least: int) -> None:
    """Raise ValueError unless both are finite (N, D) of one D, with N at least `least`."""
    if real.ndim != 2 or fake.ndim != 2 or real.shape[1] != fake.shape[1]:
        raise ValueError(
            f"Features of shapes {real.shape} and {fake.shape} cannot be compared; extract both sets with one network."
        )
    if min(len(real), len(fake)) < least:
        raise ValueError(f"{len(real)} and {len(fake)} images are too few; at least {least} of each set are needed.")
    if not (np.isfinite(real).all() and np.isfinite(fake).all()):
        raise ValueError("Features hold values that are not finite; check the images and the network's weights.")
