"""Which kinds of metadata an image file carries. What they say is never read: it is dropped when the image is stored.

That it was there at all matters: if the files of one class come from a camera and those of another from a screen, the
classes differ in more than their pixels.
"""

from PIL import Image

EXIF_IFD, GPS_IFD = 0x8769, 0x8825
TIFF_TEXTS = {270, 271, 272, 306, 315, 316, 37510}  # description, make, model, time, artist, computer, comment
XMP = ("xmp", "XML:com.adobe.xmp")


def metadata_kinds(image: Image.Image) -> str:
    """ "EXIF, GPS, XMP, comment", as far as a file that was opened has them; empty also where they are damaged."""
    try:
        return ", ".join(_kinds(image))
    except Exception:  # Pillow stumbles over damaged metadata in many ways; that is no reason to refuse the pixels
        return ""


def _kinds(image: Image.Image) -> list[str]:
    tags = set(image.getexif())
    is_tiff = image.format == "TIFF"  # whose sizes and strips are tags, too
    texts = [key for key, value in image.info.items() if isinstance(value, str) and key not in XMP]
    has_comment = "comment" in image.info or bool(texts and image.format == "PNG")
    found = {
        "EXIF": EXIF_IFD in tags if is_tiff else bool(tags) or "exif" in image.info,
        "GPS": GPS_IFD in tags,
        "XMP": any(key in image.info for key in XMP),
        "comment": bool(tags & TIFF_TEXTS) if is_tiff else has_comment,
    }
    return [kind for kind, is_there in found.items() if is_there]
