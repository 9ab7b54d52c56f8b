"""A card as Croissant 1.0 (MLCommons, http://mlcommons.org/croissant/1.0), and the manifest that it describes.

The manifest has one row for each image, without its pixels. The document names it by a relative address, so that both say
the same wherever they are put side by side. What nobody has stated (licence, citation, maker) is left out, which validators
warn of, rather than made up.
"""

import csv
import hashlib
import io
import re
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.services.datasets import card_facts
from app.services.datasets.cards import TITLES, Card
from models import DatasetVersion, Image, Split

MANIFEST = "manifest.csv"
CONFORMS_TO = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]
COLUMNS = {
    "image_id": "Number of the image in the studio.",
    "path": "Its path in the upload.",
    "label": "Its class.",
    "split": "train, val or test.",
    "group": "Pseudonym of the patient, empty if nobody knows.",
    "width": "Pixels.",
    "height": "Pixels.",
    "pixel_sha256": "SHA-256 of the decoded pixels.",
}
NUMBERS = {"image_id", "width", "height"}
MEANS = {Split.TRAIN: "cr:TrainingSplit", Split.VAL: "cr:ValidationSplit", Split.TEST: "cr:TestSplit"}
CONTEXT: dict[str, Any] = {
    "@language": "en", "@vocab": "https://schema.org/", "citeAs": "cr:citeAs", "column": "cr:column",
    "conformsTo": "dct:conformsTo", "cr": "http://mlcommons.org/croissant/", "rai": "http://mlcommons.org/croissant/RAI/",
    "data": {"@id": "cr:data", "@type": "@json"}, "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/", "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"}, "extract": "cr:extract", "field": "cr:field",
    "fileProperty": "cr:fileProperty", "fileObject": "cr:fileObject", "fileSet": "cr:fileSet", "format": "cr:format",
    "includes": "cr:includes", "isLiveDataset": "cr:isLiveDataset", "jsonPath": "cr:jsonPath", "key": "cr:key",
    "md5": "cr:md5", "parentField": "cr:parentField", "path": "cr:path", "recordSet": "cr:recordSet",
    "references": "cr:references", "regex": "cr:regex", "repeated": "cr:repeated", "replace": "cr:replace",
    "samplingRate": "cr:samplingRate", "sc": "https://schema.org/", "separator": "cr:separator", "source": "cr:source",
    "subField": "cr:subField", "transform": "cr:transform",
}  # fmt: skip
_ADDRESS = re.compile(r"https?://[^\s<>\"]*[^\s<>\".,;:)]")


def manifest_csv(session: Session, version: DatasetVersion) -> bytes:
    """One row for each image, by path: the same for the same version, byte by byte."""
    query = (
        select(
            Image.id, Image.path, Image.label, Image.split, Image.group, Image.width, Image.height, Image.pixel_sha256
        )
        .where(Image.version_id == version.id)
        .order_by(Image.id)  # rows were written in the order of their paths
    )
    target = io.StringIO()
    rows = csv.writer(target, lineterminator="\n")
    rows.writerow(COLUMNS)
    for image_id, path, label, split, group, width, height, pixels in session.execute(query):
        rows.writerow([image_id, path, version.classes[label], str(split), group or "", width, height, pixels])
    return target.getvalue().encode()


def croissant(session: Session, card: Card) -> dict[str, Any]:
    """The JSON-LD of the card. Its address is that of the page within the studio: no studio knows by which name it is reached."""
    version = card.version
    return {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CONFORMS_TO,
        "name": card.dataset.name,
        "description": _description(card),
        "url": f"/datasets/{card.dataset.id}/card?version={version.number}",
        "version": f"{version.number}.0.0",
        "datePublished": f"{version.created_at:%Y-%m-%d}",
        **_told(card),
        "rai:dataPreprocessingProtocol": [card_facts.conversions(session, version)],
        "distribution": [_manifest(manifest_csv(session, version))],
        "recordSet": [_splits(), _classes(version), _images(version)],
    }


def _description(card: Card) -> str:
    lines = [card.dataset.description, *(f"{what}: {words}." for what, words in card.facts)]
    if card.not_stated:
        lines.append(f"Not stated: {', '.join(TITLES[name] for name in card.not_stated)}.")
    return "\n".join(line for line in lines if line)


def _told(card: Card) -> dict[str, Any]:
    """What a person says, as far as anybody has."""
    text = card.text
    collection = [
        f"{TITLES[name]}: {words}" for name in ("population", "acquisition") if (words := getattr(text, name))
    ]
    told: dict[str, Any] = {
        "license": _licence(text.licence) if text.licence else None,
        "creator": {"@type": "sc:Organization", "name": text.contact} if text.contact else None,
        "citeAs": text.citation,
        "rai:dataCollectionRawData": text.source,
        "rai:dataCollection": "\n".join(collection),
        "rai:personalSensitiveInformation": text.consent,
        "rai:dataLimitations": _limitations(card),
    }
    return {name: value for name, value in told.items() if value}


def _licence(text: str) -> str | dict[str, str]:
    """An address as it is; words as a work of that name, with the first address in them."""
    found = _ADDRESS.search(text)
    if found is not None and found[0] == text:
        return text
    return {"@type": "sc:CreativeWork", "name": text, **({"url": found[0]} if found is not None else {})}


def _limitations(card: Card) -> list[str]:
    """Problems that a person knows, then those that the check has found."""
    found = [f"{each['title']}. {each['meaning']}" for each in card.findings or [] if each["severity"] != "note"]
    return [*([card.text.known_problems] if card.text.known_problems else []), *found]


def _manifest(content: bytes) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject", "@id": MANIFEST, "name": MANIFEST, "description": "One row for each image.",
        "contentUrl": MANIFEST, "contentSize": f"{len(content)} B", "encodingFormat": "text/csv",
        "sha256": hashlib.sha256(content).hexdigest(),
    }  # fmt: skip


def _splits() -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet", "@id": "splits", "name": "splits", "description": "What the splits are for.",
        "dataType": "cr:Split", "key": {"@id": "splits/name"},
        "field": [
            {"@type": "cr:Field", "@id": "splits/name", "name": "name", "dataType": "sc:Text"},
            {"@type": "cr:Field", "@id": "splits/url", "name": "url", "dataType": "sc:URL"},
        ],
        "data": [{"splits/name": str(split), "splits/url": meaning} for split, meaning in MEANS.items()],
    }  # fmt: skip


def _classes(version: DatasetVersion) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet", "@id": "classes", "name": "classes", "description": "The classes, in the order of the networks' outputs.",
        "dataType": "sc:Enumeration", "key": {"@id": "classes/name"},
        "field": [{"@type": "cr:Field", "@id": "classes/name", "name": "name", "dataType": "sc:Text"}],
        "data": [{"classes/name": name} for name in version.classes],
    }  # fmt: skip


def _images(version: DatasetVersion) -> dict[str, Any]:
    return {
        "@type": "cr:RecordSet", "@id": "images", "name": "images", "key": {"@id": "images/path"},
        "description": f"The {version.num_images} images of version {version.number}.",
        "field": [_field(name, about) for name, about in COLUMNS.items()],
    }  # fmt: skip


def _field(name: str, about: str) -> dict[str, Any]:
    field = {
        "@type": "cr:Field",
        "@id": f"images/{name}",
        "name": name,
        "description": about,
        "dataType": "sc:Integer" if name in NUMBERS else "sc:Text",
        "source": {"fileObject": {"@id": MANIFEST}, "extract": {"column": name}},
    }
    match name:
        case "label":
            return field | {"dataType": ["sc:Text", "cr:Label"], "references": {"field": {"@id": "classes/name"}}}
        case "split":
            return field | {"references": {"field": {"@id": "splits/name"}}}
        case _:
            return field
