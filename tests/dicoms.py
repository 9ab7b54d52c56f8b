"""DICOM files for tests, made with pydicom: real files, full of invented people."""

from collections.abc import Iterable, Mapping
from io import BytesIO
from typing import Any

import numpy as np
from pydicom import Dataset, FileMetaDataset
from pydicom.dataset import FileDataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from sqlalchemy import select

from models import Base
from tests.imports import Importer

CT = "1.2.840.10008.5.1.4.1.1.2"
INVENTED = {
    "PatientName": "Quagmire^Zebulon", "PatientBirthDate": "19310407", "InstitutionName": "Hospital of Nowhere",
    "ReferringPhysicianName": "Sawbones^Hieronymus", "StudyDescription": "Brief fuer Frau Mustermann",
}  # fmt: skip


def dataset(pixels: np.ndarray, **given: Any) -> FileDataset:
    """A data set of pixels (H, W), (N, H, W) with num_frames=N, or (H, W, 3); `given` replaces or adds tags, None
    removes one. syntax: the transfer syntax of uncompressed pixels."""
    syntax = given.pop("syntax", ExplicitVRLittleEndian)
    num_frames = given.pop("num_frames", None)
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = meta.MediaStorageSOPInstanceUID = given.get("SOPClassUID", CT)
    meta.TransferSyntaxUID = syntax
    made = FileDataset(
        "made", {}, file_meta=meta, preamble=bytes(128),
        is_implicit_VR=syntax.is_implicit_VR, is_little_endian=syntax.is_little_endian,
    )  # fmt: skip
    rows = pixels.shape[1:3] if num_frames else pixels.shape[:2]
    bits = 8 * pixels.itemsize
    tags = INVENTED | {
        "SOPClassUID": CT, "SOPInstanceUID": generate_uid(entropy_srcs=["made"]), "PatientID": "ID-4711-XYZ",
        "SeriesInstanceUID": "1.2.3.4711", "StudyInstanceUID": "1.2.3.47", "InstanceNumber": 7, "Modality": "CT",
        "Rows": rows[0], "Columns": rows[1], "BitsAllocated": bits, "BitsStored": bits, "HighBit": bits - 1,
        "PixelRepresentation": int(pixels.dtype.kind == "i"), "SamplesPerPixel": 3 if pixels.shape[-1] == 3 else 1,
        "PhotometricInterpretation": "RGB" if pixels.shape[-1] == 3 else "MONOCHROME2",
    }  # fmt: skip
    if tags["SamplesPerPixel"] == 3:
        tags["PlanarConfiguration"] = 0
    if num_frames:
        tags["NumberOfFrames"] = num_frames
    for keyword, value in (tags | given).items():
        if value is not None:
            setattr(made, keyword, value)
    data = pixels.astype(pixels.dtype.newbyteorder("<" if syntax.is_little_endian else ">")).tobytes()
    made.PixelData = data + bytes(len(data) % 2)
    made["PixelData"].VR = "OB" if bits == 8 else "OW"
    return made


def saved(made: FileDataset, **options: Any) -> bytes:
    target = BytesIO()
    made.save_as(target, enforce_file_format=options.pop("enforce_file_format", True), **options)
    return target.getvalue()


def dicom(pixels: np.ndarray, **given: Any) -> bytes:
    """A whole file; see `dataset`."""
    return saved(dataset(pixels, **given))


def item(**tags: Any) -> Dataset:
    made = Dataset()
    for keyword, value in tags.items():
        setattr(made, keyword, value)
    return made


def everything(importer: Importer) -> dict[str, bytes]:
    """Every file of the data folder and every row of the database, to be searched."""
    folder = importer.settings.folder
    places = {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with importer.database.read() as session:
        for table in Base.metadata.sorted_tables:
            places[f"table {table.name}"] = repr(session.execute(select(table)).all()).encode()
    return places


def find(needles: Iterable[str], places: Mapping[str, bytes]) -> list[tuple[str, str]]:
    """(place, needle) wherever one occurs, in UTF-8, Latin-1 or UTF-16."""
    coded = {needle: [needle.encode(code) for code in ("utf-8", "latin-1", "utf-16-le")] for needle in needles}
    return [
        (place, needle) for place, data in places.items() for needle, forms in coded.items()
        if any(form in data for form in forms)
    ]  # fmt: skip
