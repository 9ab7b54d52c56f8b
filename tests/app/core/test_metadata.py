"""Which kinds of metadata a file carries is found out; what they say is not kept."""

from pathlib import Path

import pytest
from PIL import Image, PngImagePlugin

from app.core.images import DecoderPool, Refused
from app.core.images.decoding import decode_file

PICTURE = Image.linear_gradient("L").resize((16, 12))


def exif(*, gps: bool = False) -> Image.Exif:
    found = Image.Exif()
    found[271] = "A maker"
    if gps:
        found[0x8825] = {1: "N"}
    return found


def texts(key: str) -> PngImagePlugin.PngInfo:
    chunks = PngImagePlugin.PngInfo()
    chunks.add_itxt(key, "Jane Doe")
    return chunks


@pytest.mark.parametrize(
    ("name", "options", "kinds"),
    [
        ("plain.png", {"dpi": (72, 72)}, ""),
        ("plain.jpg", {"dpi": (72, 72)}, ""),
        ("plain.tif", {}, ""),
        ("plain.webp", {}, ""),
        ("plain.bmp", {}, ""),
        ("exif.jpg", {"exif": exif()}, "EXIF"),
        ("exif.png", {"exif": exif()}, "EXIF"),
        ("exif.webp", {"exif": exif()}, "EXIF"),
        ("gps.jpg", {"exif": exif(gps=True)}, "EXIF, GPS"),
        ("xmp.jpg", {"xmp": b"<x/>"}, "XMP"),
        ("xmp.png", {"pnginfo": texts("XML:com.adobe.xmp")}, "XMP"),
        ("comment.jpg", {"comment": "Jane Doe"}, "comment"),
        ("comment.png", {"pnginfo": texts("Comment")}, "comment"),
        ("comment.tif", {"description": "Jane Doe"}, "comment"),
    ],
)
def test_kinds_by_format(tmp_path: Path, name: str, options: dict[str, object], kinds: str):
    PICTURE.save(tmp_path / name, **options)
    assert decode_file(tmp_path / name).metadata_kinds == kinds


def test_damaged_metadata_is_no_reason_to_refuse_the_pixels(tmp_path: Path):
    PICTURE.save(tmp_path / "x.jpg", exif=b"Exif\x00\x00II*\x00 and no more")
    assert decode_file(tmp_path / "x.jpg").array.shape == (12, 16, 1)


def test_the_decoder_says_the_kinds_and_keeps_no_word_of_them(tmp_path: Path):
    PICTURE.save(tmp_path / "x.png", pnginfo=texts("Comment"))
    with DecoderPool(1) as pool:
        found = pool.prepare(tmp_path / "x.png")
    assert not isinstance(found, Refused)
    assert found.metadata_kinds == "comment"
    assert b"Jane" not in found.png + found.thumbnail
