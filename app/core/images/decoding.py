"""Reads one image file of a stranger: PNG, JPEG, WebP, BMP or TIFF by content, never by its name.

Alpha is laid on black, the EXIF orientation is applied, and everything else the file says about itself is dropped.
Colour of 16 bit is read as 8 bit (Pillow has no mode for it); grey keeps 16 bit.
"""

import warnings
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from app.core.errors import BadInputError
from app.core.images.arrays import Pixels, from_image
from app.core.images.metadata import metadata_kinds

FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF")
MAX_PIXELS = 100_000_000
WHAT_IS_READ = "PNG, JPEG, WebP, BMP or TIFF"

Image.MAX_IMAGE_PIXELS = MAX_PIXELS


class Decoded(NamedTuple):
    """array: (H, W, 1 or 3) uint8 or uint16. mode, bit_depth: as the file has them. width, height: of the array.

    metadata_kinds: what the file carries beside its pixels. The file's own numbers are array * slope + intercept; only 32 bit numbers are not the array itself.
    """

    array: Pixels
    mode: str
    bit_depth: int
    width: int
    height: int
    slope: float = 1.0
    intercept: float = 0.0
    metadata_kinds: str = ""


def decode_file(source: Path | BinaryIO) -> Decoded:
    """Decode one file; raises BadInputError with the reason if it cannot be read, or is no image of the five formats."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        try:
            with Image.open(source, formats=FORMATS) as image:
                return _decode(image)
        except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
            raise _too_many_pixels() from error
        except UnidentifiedImageError as error:
            raise BadInputError(_not_an_image(source)) from error
        except BadInputError:
            raise
        except MemoryError as error:
            raise BadInputError("Decoding it needs more memory than an image may take.") from error
        except Exception as error:  # Pillow's decoders raise whatever a broken file makes them stumble over
            raise BadInputError(f"The image data is damaged ({_words(error)}).") from error


def _decode(image: Image.Image) -> Decoded:
    if image.width * image.height > MAX_PIXELS:
        raise _too_many_pixels()
    num_frames = getattr(image, "n_frames", 1)
    if num_frames > 1 and image.format not in ("JPEG", "MPO"):
        raise BadInputError(f"The file holds {num_frames} frames; save each as a file of its own.")
    mode, bit_depth, kinds = image.mode, _bit_depth(image), metadata_kinds(image)
    image.load()
    upright = ImageOps.exif_transpose(image)
    slope, intercept = 1.0, 0.0
    if upright.mode in ("I", "F"):
        wide, slope, intercept = _wide_to_uint16(np.asarray(upright, dtype=np.float64))
        array: Pixels = wide[..., None]
    else:
        array = _pixels(upright)
    return Decoded(array, mode, bit_depth, array.shape[1], array.shape[0], slope, intercept, kinds)


def _pixels(image: Image.Image) -> Pixels:
    if image.mode.startswith("I;16"):
        return np.asarray(image).astype(np.uint16)[..., None]
    if image.has_transparency_data or image.mode in ("La", "RGBa", "PA"):
        return from_image(_on_black(image))
    if image.mode in ("1", "L"):
        return from_image(image.convert("L"))
    return from_image(image.convert("RGB"))


def _on_black(image: Image.Image) -> Image.Image:
    grey = image.mode in ("L", "LA", "La")
    rgba = image.convert("RGBA")
    flat = Image.alpha_composite(Image.new("RGBA", rgba.size, (0, 0, 0, 255)), rgba).convert("RGB")
    return flat.getchannel("R") if grey else flat


def _wide_to_uint16(values: NDArray[np.float64]) -> tuple[NDArray[np.uint16], float, float]:
    """32 bit integers or floats (H, W) as uint16, with slope and intercept of the values.

    Whole numbers of 0..65535 are unchanged; else minimum..maximum become 0..65535.
    """
    if not np.isfinite(values).all():
        raise BadInputError("Some pixels are NaN or infinite; replace them by numbers.")
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 65535 and high > 1 and not np.any(values % 1):
        return values.astype(np.uint16), 1.0, 0.0
    if high == low:
        return np.zeros(values.shape, dtype=np.uint16), 1.0, low
    return np.rint((values - low) * (65535.0 / (high - low))).astype(np.uint16), (high - low) / 65535.0, low


def _bit_depth(image: Image.Image) -> int:
    if image.mode in ("I", "F"):
        return 32
    if image.mode == "1":
        return 1
    tile = getattr(image, "tile", None)  # how the file's bytes are laid out; gone once it is loaded
    raw_mode = str(tile[0].args) if tile else ""
    return 16 if "16" in image.mode or ";16" in raw_mode else 8


def _too_many_pixels() -> BadInputError:
    return BadInputError(f"It has more than {MAX_PIXELS // 1_000_000} million pixels; cut or shrink it first.")


def _not_an_image(source: Path | BinaryIO) -> str:
    if isinstance(source, Path):
        with source.open("rb") as file:
            return _not_an_image(file)
    source.seek(0)
    start = source.read(8)
    if not start:
        return "The file is empty."
    return f"It is not a {WHAT_IS_READ} file (it begins with the bytes {start.hex(' ')}), nor DICOM, NIfTI or npz."


def _words(error: Exception) -> str:
    text = " ".join(str(error).split())[:200]
    return text.rstrip(".") if text else type(error).__name__
