"""Pixels: reading strangers' files, one normal form for them, hashes, PNGs, thumbnails and square inputs.

`decode_file` may meet a hostile file: the importer calls it only in a limited child process (`images.pool`).
`load_square` reads PNGs that we wrote ourselves.
"""

from app.core.formats.sniffing import IMAGE_SUFFIXES, looks_like_dicom, suffix_of
from app.core.images.arrays import Pixels, Uint8, is_grey, normalise, pixel_sha256, to_uint8
from app.core.images.decoding import MAX_PIXELS, Decoded, decode_file
from app.core.images.encoding import contact_sheet, encode_png, thumbnail_png
from app.core.images.fitting import Fit, fit_square, load_square, load_uint8
from app.core.images.pool import DecoderPool, Prepared, Refused
from app.core.images.segments import Segments, read_segments

__all__ = [
    "IMAGE_SUFFIXES", "MAX_PIXELS", "Decoded", "DecoderPool", "Fit", "Pixels", "Prepared", "Refused", "Segments", "Uint8",
    "contact_sheet", "decode_file", "encode_png", "fit_square", "is_grey", "load_square", "load_uint8",
    "looks_like_dicom", "normalise", "pixel_sha256", "read_segments", "suffix_of", "thumbnail_png", "to_uint8",
]  # fmt: skip
