"""Why a DICOM file is no image that can be read, in the words of those who work with it."""

from app.core.errors import BadInputError

MEDIA_DIRECTORY = "1.2.840.10008.1.3.10"
STORAGE = "1.2.840.10008.5.1.4.1.1."
# By the beginning of the SOP class, the longest that fits.
NO_IMAGES = {
    MEDIA_DIRECTORY: "It is the index of a DICOM disc (DICOMDIR), no image.",
    f"{STORAGE}88.": "It holds a structured report, no image.",
    f"{STORAGE}88.59": "It holds a list of key images, no image itself.",
    f"{STORAGE}104.1": "It holds a PDF document, no image.",
    f"{STORAGE}104.2": "It holds a CDA document, no image.",
    f"{STORAGE}104.": "It holds a 3D model, no image.",
    f"{STORAGE}9.": "It holds a waveform, such as an ECG, no image.",
    f"{STORAGE}11.": "It holds a presentation state (how to show other images), no image.",
    f"{STORAGE}66": "It holds raw data of the scanner, no image.",
    f"{STORAGE}66.1": "It holds a spatial registration, no image.",
    f"{STORAGE}66.2": "It holds fiducial marks, no image.",
    f"{STORAGE}66.3": "It holds a spatial registration, no image.",
    f"{STORAGE}66.4": "It holds a segmentation (regions marked on other images), no image.",
    f"{STORAGE}66.5": "It holds a segmentation (regions marked on other images), no image.",
    f"{STORAGE}66.6": "It holds nerve tracts, no image.",
    f"{STORAGE}66.7": "It holds a segmentation (regions marked on other images), no image.",
    f"{STORAGE}67": "It holds a table of measured units, no image.",
    f"{STORAGE}4.2": "It holds an MR spectrum, no image.",
    f"{STORAGE}30": "It holds a parametric map (computed values, not grey levels); save it as NIfTI to use it.",
    f"{STORAGE}481.2": "It holds a radiotherapy dose, no image.",
    f"{STORAGE}481.3": "It holds a radiotherapy structure set (contours), no image.",
    f"{STORAGE}481.": "It holds a radiotherapy plan or record, no image.",
    f"{STORAGE}78.": "It holds measurements of the eye, no image.",
    f"{STORAGE}79.1": "It holds measurements of the eye, no image.",
    f"{STORAGE}80.1": "It holds measurements of the eye, no image.",
    f"{STORAGE}90.1": "It holds an assessment, no image.",
    f"{STORAGE}77.1.6": "It is a whole slide scan, stored as tiles; export the regions you need as PNG or TIFF.",
}
IMAGES_AFTER_ALL = {f"{STORAGE}481.1", f"{STORAGE}481.23", f"{STORAGE}481.24"}  # radiotherapy images
VIDEO = {f"1.2.840.10008.1.2.4.{number}" for number in ("100", "100.1", "101", "101.1", "102", "102.1", "103", "103.1",
         "104", "104.1", "105", "105.1", "106", "106.1", "107", "108")}  # fmt: skip
ON_A_SERVER = {"1.2.840.10008.1.2.4.94", "1.2.840.10008.1.2.4.95", "1.2.840.10008.1.2.4.204", "1.2.840.10008.1.2.4.205"}


def check_kind(sop_class: str) -> None:
    """Raise BadInputError if objects of this SOP class are no images."""
    fitting = [start for start in NO_IMAGES if sop_class == start or sop_class.startswith(start.rstrip(".") + ".")]
    if fitting and sop_class not in IMAGES_AFTER_ALL:
        raise BadInputError(NO_IMAGES[max(fitting, key=len)])


def check_transfer_syntax(uid: str) -> None:
    """Raise BadInputError if pixels of this transfer syntax cannot be decoded."""
    from pydicom.pixels.decoders.base import get_decoder
    from pydicom.uid import UID

    if uid in VIDEO:
        raise BadInputError("It holds compressed video; export single frames to use them.")
    if uid in ON_A_SERVER:
        raise BadInputError("Its pixels lie on another server (JPIP); fetch the whole file.")
    known = UID(uid).name
    name = f"in a way ({uid[:64]}) unknown to the DICOM standard" if known == uid else f"as {known}"
    advice = "export it uncompressed, or as JPEG 2000 or RLE."
    try:
        decoder = get_decoder(uid)
    except NotImplementedError as error:
        raise BadInputError(f"Its pixels are compressed {name}, which cannot be read; {advice}") from error
    if not decoder.is_available:
        raise BadInputError(f"Its pixels are compressed {name}, for which this machine has no decoder; {advice}")
