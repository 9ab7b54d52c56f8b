"""Which images look wrong: blank, dark, bright, blurred, with little in them, or of odd proportions.

Each rule has an absolute limit, beyond which an image is wrong in any dataset, and a softer one that holds only for images
that also lie far from the rest of their dataset: head scans are dark and smears bright as a whole, and rightly so.
docs/science/health.md says where the limits come from.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]

KINDS = ("blank", "dark", "bright", "low_information", "blurred", "odd_aspect")
FAR = 3.5  # robust deviations from the median (Iglewicz and Hoaglin 1993)
MAD_TO_STD = 1.4826  # of a normal distribution
LEVELS = np.arange(4, 256, 8, dtype=np.float64)  # middles of the 32 bins of a histogram
BIN_VARIANCE = 64 / 12  # of levels spread evenly over a bin

BLANK_STD = 2.0  # grey levels
DARK_PEAK, BRIGHT_FLOOR = 48.0, 208.0  # levels of the brightest and of the darkest hundredth
DARK_MEAN, BRIGHT_MEAN, MEAN_SCALE = 60.0, 195.0, 6.0
POOR_ENTROPY, LOW_ENTROPY, ENTROPY_SCALE = 1.5, 4.5, 0.4  # bits
NO_DETAIL, LITTLE_DETAIL, DETAIL_SCALE = -6.0, -3.0, 0.35  # log of sharpness over variance
LONG, ODD, ASPECT_SCALE = np.log(3.0), np.log(1.5), 0.08  # log of width over height


def quality_flags(
    *, stds: Floats, histograms: Floats, entropies: Floats, sharpnesses: Floats, widths: Floats, heights: Floats
) -> dict[str, Flags]:
    """{kind: (N,)} of N images, kinds as in KINDS. A blank image is nothing else.

    stds: (N,) of the channel that varies most, grey levels; histograms: (N, 32) shares of grey levels; entropies: (N,) bits;
    sharpnesses: (N,) variance of the Laplacian; widths, heights: (N,) pixels.
    """
    means = histograms @ LEVELS
    detail = relative_detail(histograms=histograms, sharpnesses=sharpnesses)
    aspects = np.log(widths / heights)
    cumulated = histograms.cumsum(axis=1)
    peaks = 8.0 * (1 + (cumulated < 0.99).sum(axis=1))
    floors = 8.0 * (cumulated < 0.01).sum(axis=1)
    far_in_mean = robust_deviations(means, least_scale=MEAN_SCALE)
    far_in_entropy = robust_deviations(entropies, least_scale=ENTROPY_SCALE)
    far_in_detail = robust_deviations(detail, least_scale=DETAIL_SCALE)
    far_in_aspect = robust_deviations(aspects, least_scale=ASPECT_SCALE)
    odd = np.abs(aspects - np.median(aspects)) > ODD
    blank = stds < BLANK_STD
    return {
        "blank": blank,
        "dark": ~blank & ((peaks <= DARK_PEAK) | ((means < DARK_MEAN) & (far_in_mean < -FAR))),
        "bright": ~blank & ((floors >= BRIGHT_FLOOR) | ((means > BRIGHT_MEAN) & (far_in_mean > FAR))),
        "low_information": ~blank
        & ((entropies < POOR_ENTROPY) | ((entropies < LOW_ENTROPY) & (far_in_entropy < -FAR))),
        "blurred": ~blank & ((detail < NO_DETAIL) | ((detail < LITTLE_DETAIL) & (far_in_detail < -FAR))),
        "odd_aspect": ~blank & ((np.abs(aspects) > LONG) | (odd & (np.abs(far_in_aspect) > FAR))),
    }


def relative_detail(*, histograms: Floats, sharpnesses: Floats) -> Floats:
    """(N,) log of sharpness over grey variance: how much of the contrast is fine, whatever the contrast is."""
    means = histograms @ LEVELS
    variances = histograms @ LEVELS**2 - means**2 + BIN_VARIANCE
    return np.asarray(np.log((sharpnesses + 0.1) / variances))


def robust_deviations(values: Floats, *, least_scale: float) -> Floats:
    """(N,) distance from the median in standard deviations, these estimated from the median absolute deviation.

    least_scale: the deviation that is assumed at least, for values that are all but equal.
    """
    distances = values - np.median(values)
    scale = max(MAD_TO_STD * float(np.median(np.abs(distances))), least_scale)
    return np.asarray(distances / scale)
