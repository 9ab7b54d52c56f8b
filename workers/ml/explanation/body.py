"""Tell a patient's body, or the one object of a picture, from an empty background around it; or say that it cannot be told.

Most scans stand before a background of one brightness, dark or bright. The blurred picture is cut in two by Otsu's
threshold (1979, doi:10.1109/TSMC.1979.4310076); the side that holds most of the outermost pixels may be background,
and what of it is connected to them is outside: a dark lung within a bright body is not. A smear that fills the frame
has no background, and a made-up one would say something false about it, so every doubt ends in a reason.
"""

import numpy as np
from numpy.typing import NDArray

BLUR = 1 / 64  # standard deviation of the blur, as a share of the side
LEAST_CONTRAST = 16  # grey levels between outside and body, of 255
MOST_SPREAD = 0.12  # of that contrast: three in four pixels outside lie so near to their median
LEAST_OF_RIM = 0.5  # share of the outermost pixels that lie outside
LEAST_OUTSIDE, MOST_OUTSIDE = 0.05, 0.95  # of the area
LEAST_OF_BODY = 0.8  # share of the body in its largest piece
Mask = NDArray[np.bool_]


def body_mask(*, picture_uint8: NDArray[np.uint8]) -> tuple[Mask | None, str]:
    """(H, W) of what is not outside, and ""; or None and the reason in a sentence. picture_uint8: (H, W, 1 or 3)."""
    from scipy.ndimage import gaussian_filter
    from skimage.filters import threshold_otsu

    grey = picture_uint8.mean(axis=2)  # (H, W)
    grey = gaussian_filter(grey, max(1.0, BLUR * min(grey.shape)))
    if np.ptp(grey) < LEAST_CONTRAST:
        return None, "The picture has no contrast by which a background could be told."
    bright = grey > threshold_otsu(grey)  # type: ignore[no-untyped-call]
    outside = _from_the_rim(bright if _on_rim(bright) > 0.5 else ~bright)
    reason = _doubt(grey, outside)
    return (None, reason) if reason else (~outside, "")


def _from_the_rim(side: Mask) -> Mask:
    """What of `side` is connected to the outermost pixels."""
    from scipy.ndimage import label

    pieces, _ = label(side)
    found: Mask = np.isin(pieces, np.unique(pieces[_rim(side.shape)])) & side
    return found


def _doubt(grey: NDArray[np.float64], outside: Mask) -> str:
    """Why `outside` is no background; empty if it is one."""
    from scipy.ndimage import label

    area = float(outside.mean())
    if not LEAST_OUTSIDE <= area <= MOST_OUTSIDE:
        return f"The picture fills the frame: what could be background is {100 * area:.0f} % of it."
    if _on_rim(outside) < LEAST_OF_RIM:
        return f"Only {100 * _on_rim(outside):.0f} % of the picture's edge is of one brightness, so nothing lies around it."
    contrast = abs(float(grey[outside].mean() - grey[~outside].mean()))
    spread = float(np.percentile(np.abs(grey[outside] - np.median(grey[outside])), 75))
    if contrast < LEAST_CONTRAST or spread > MOST_SPREAD * contrast:
        return "What could be background is not of one brightness."
    sizes = np.bincount(label(~outside)[0].ravel())[1:]
    if sizes.max() < LEAST_OF_BODY * sizes.sum():
        return f"Several objects stand before the background; the largest has {100 * sizes.max() / sizes.sum():.0f} % of their area."
    return ""


def _rim(shape: tuple[int, ...]) -> Mask:
    """The outermost pixels."""
    rim = np.ones(shape, dtype=bool)
    rim[1:-1, 1:-1] = False
    return rim


def _on_rim(mask: Mask) -> float:
    """The share of the outermost pixels that are in the mask."""
    return float(mask[_rim(mask.shape)].mean())
