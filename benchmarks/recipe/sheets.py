"""Draw sheets of small images, one row per class, enlarged without smoothing so that each pixel is seen."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image


def write_sheet(
    path: Path, images_uint8: NDArray[np.uint8], labels: NDArray[np.int64], *, columns: int, scale: int
) -> None:
    """Write the first `columns` images (N, S, S, C) of each class as one PNG, `scale` screen pixels per pixel."""
    rows = [np.concatenate(list(images_uint8[labels == label][:columns]), axis=1) for label in np.unique(labels)]
    width = min(row.shape[1] for row in rows)
    sheet = np.concatenate([row[:, :width] for row in rows])
    image = Image.fromarray(sheet[..., 0] if sheet.shape[-1] == 1 else sheet)
    image.resize((image.width * scale, image.height * scale), Image.Resampling.NEAREST).save(path)
