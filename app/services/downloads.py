"""What leaves the studio: zip archives, written while they are sent.

Nothing is compressed (PNG and weights do not shrink) and nothing is written to disk, so a download begins at once,
knows its length, and takes no memory whatever the size of the set. All rows are read before the first byte is sent:
the stream holds no session.
"""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session
from zipstream import ZIP_STORED, ZipStream

from app.core.lights import NAMES
from app.core.storage import Storage
from app.services import checkpoints, classifiers, explanations, gates, synthetic_sets
from app.services.gates import Gate
from models import Checkpoint, Classifier, Explanation, ExplanationItem, Mark, SyntheticImage, SyntheticSet


@dataclass(frozen=True)
class Download:
    """A file on its way out: `chunks` can be read once."""

    name: str
    media_type: str
    size: int
    chunks: Iterator[bytes]


@dataclass(frozen=True)
class Entry:
    """One file of an archive: a stored file by its key, or bytes."""

    path: str
    sha256: str
    content: bytes | None = None


def synthetic_set(
    session: Session, storage: Storage, synthetic_set: SyntheticSet, *, include_rejected: bool = False
) -> Download:
    """Class folders of PNGs, metadata.jsonl, a card, the gate's verdict and a manifest; rejected images stay out unless asked for."""
    query = select(SyntheticImage).where(SyntheticImage.set_id == synthetic_set.id)
    if not include_rejected:
        query = query.where(SyntheticImage.mark != Mark.REJECTED)
    rows = list(session.scalars(query.order_by(SyntheticImage.id)))
    folders = _folders(synthetic_set.classes)
    paths = [f"{folders[row.label]}/{row.index:06d}.png" for row in rows]
    lines = [_metadata_line(synthetic_set, row, path) for row, path in zip(rows, paths, strict=True)]
    rejected = sum(row.mark == Mark.REJECTED for row in rows)
    gate = gates.with_rejected(gates.gate_of_set(session, synthetic_set), rejected)
    card = _set_card(session, synthetic_set, rows, include_rejected) + _gate_card(gate)
    entries = [
        _text("README.md", card),
        _json("gate.json", {"synthetic_set": _what(synthetic_set, rows, paths), **gates.as_json(session, gate)}),
        _text("metadata.jsonl", "".join(line + "\n" for line in lines)),
        *(Entry(path, row.stored_sha256) for row, path in zip(rows, paths, strict=True)),
    ]
    return _zip(storage, f"{_slug(synthetic_set.name)}-{synthetic_set.id}", entries)


def _metadata_line(synthetic_set: SyntheticSet, row: SyntheticImage, path: str) -> str:
    about = {
        "file_name": path,
        "label": synthetic_set.classes[row.label],
        "label_index": row.label,
        "synthetic": True,
        "mark": str(row.mark),
        "sha256": row.stored_sha256,
        **{key: value for key, value in synthetic_sets.recipe(synthetic_set, row).items() if key != "class"},
    }
    return json.dumps(about, ensure_ascii=False)


def _what(synthetic_set: SyntheticSet, rows: list[SyntheticImage], paths: list[str]) -> dict[str, Any]:
    """What the verdict is of. images_sha256: of a line as sha256sum writes it, for each image in the order of metadata.jsonl."""
    lines = "".join(f"{row.stored_sha256}  {path}\n" for row, path in zip(rows, paths, strict=True))
    return {
        "id": synthetic_set.id, "name": synthetic_set.name, "num_images": len(rows),
        "images_sha256": hashlib.sha256(lines.encode()).hexdigest(),
    }  # fmt: skip


def _gate_card(gate: Gate) -> str:
    lights = "".join(f"- {NAMES[each['name']]}: {each['state']}. {each['sentence']}\n" for each in gate.lights)
    audit = f"audit {gate.audit_id}" if gate.audit_id is not None else "no audit"
    study = f"study {gate.study_id}" if gate.study_id is not None else "no study"
    override = ""
    if gate.override is not None:
        row = gate.override
        override = f"\nReleased by override: {row.created_by}, {row.created_at:%Y-%m-%d %H:%M} UTC: {row.reason}\n"
    return f"""
## Release gate

This set is **{gate.verdict}**, by {audit} and {study}; `gate.json` says the same for programs.
{override}
{lights}"""


def _set_card(session: Session, synthetic_set: SyntheticSet, rows: list[SyntheticImage], include_rejected: bool) -> str:
    """A dataset card: what it is, how it was made, what it must not be taken for."""
    checkpoint = synthetic_sets.checkpoint_of(session, synthetic_set)
    dataset = synthetic_sets.dataset_of(session, synthetic_set)
    number = {label: sum(1 for row in rows if row.label == label) for label in range(len(synthetic_set.classes))}
    left_out = synthetic_set.num_images - len(rows)
    table = "".join(f"| {name} | {number[label]} |\n" for label, name in enumerate(synthetic_set.classes))
    spec = synthetic_set.spec
    return f"""# {synthetic_set.name}

Synthetic images: every file in this archive was drawn by a diffusion model and shows no patient. They are for research,
not for diagnosis. `metadata.jsonl` says of each file how it was made, `manifest.json` gives its sha256, and each PNG
carries the same in its text chunks.

| class | images |
| --- | --- |
{table}
- {synthetic_set.image_size} x {synthetic_set.image_size} px, {"grey" if synthetic_set.channels == 1 else "RGB"}
- rejected by a person: {f"{left_out} images, left out" if not include_rejected else "included, see `mark`"}
- checkpoint: {checkpoint.name} (sha256 `{checkpoint.sha256}`)
- learnt from: {dataset.name if dataset is not None else "images that came with the studio"}
- differential privacy: {checkpoints.guarantee_in_words(checkpoint)}
- seed {spec.get("seed", 0)}, sampler {spec.get("sampler", "?")}, {spec.get("num_steps", "?")} steps, {_guidance(spec)}

A network trained on few images can copy them: check the nearest real images before you publish this set.
"""


def _guidance(spec: Mapping[str, Any]) -> str:
    scale, start, stop = (spec.get(option) for option in ("guidance", "guidance_start", "guidance_stop"))
    return "no guidance" if scale == 1 else f"guidance {scale} from {start} to {stop} of the way from noise to image"


def checkpoint(session: Session, storage: Storage, checkpoint: Checkpoint) -> Download:
    """The network as safetensors, its config as JSON, and a card."""
    dataset = checkpoints.dataset_of(session, checkpoint)
    config = {
        "kind": "denoiser",
        "name": checkpoint.name,
        "classes": checkpoint.classes,
        "image_size": checkpoint.image_size,
        "channels": checkpoint.channels,
        "num_steps": checkpoint.num_steps,
        "num_parameters": checkpoint.num_parameters,
        "sha256": checkpoint.sha256,
        "dataset": dataset.name if dataset is not None else None,
        "guarantee": checkpoint.guarantee,
        "spec": checkpoint.spec,
        "copy_watch": checkpoint.copy_watch,
    }
    card = f"""# {checkpoint.name}

A class-conditional diffusion network ({checkpoint.num_parameters:,} parameters, {checkpoint.num_steps:,} steps) that draws
{checkpoint.image_size} px images of: {", ".join(checkpoint.classes)}. `network.safetensors` holds its averaged weights; all
that is needed to rebuild it stands in that file's metadata. `config.json` is the recipe. Differential privacy: {checkpoints.guarantee_in_words(checkpoint)}
"""
    return _network(storage, f"checkpoint-{checkpoint.id}", checkpoint.sha256, config, card)


def classifier(session: Session, storage: Storage, classifier: Classifier) -> Download:
    """The network as safetensors, its config as JSON, and a card."""
    config = {
        "kind": "classifier",
        "name": classifier.name,
        "architecture": classifier.architecture,
        "classes": classifier.classes,
        "image_size": classifier.image_size,
        "input_size": classifier.input_size,
        "channels": classifier.channels,
        "train_on": str(classifier.train_on),
        "weights_source": classifier.weights_source,
        "num_train_images": classifier.num_train_images,
        "best_epoch": classifier.best_epoch,
        "val_balanced_accuracy": classifier.val_balanced_accuracy,
        "sha256": classifier.sha256,
        "dataset": classifiers.dataset_of(session, classifier).name,
        "spec": classifier.spec,
    }
    card = f"""# {classifier.name}

timm's `{classifier.architecture}` trained on {classifier.train_on} images to tell: {", ".join(classifier.classes)}. Images are
read at {classifier.image_size} px and enlarged to {classifier.input_size} px; mean and deviation stand in the metadata of
`network.safetensors`. Chosen by balanced accuracy {classifier.val_balanced_accuracy:.3f} on real validation images. Not for diagnosis.
"""
    return _network(storage, f"classifier-{classifier.id}", classifier.sha256, config, card)


def _network(storage: Storage, name: str, key: str, config: dict[str, Any], card: str) -> Download:
    entries = [_text("README.md", card), _json("config.json", config), Entry("network.safetensors", key)]
    return _zip(storage, name, entries)


def explanation(session: Session, storage: Storage, explanation: Explanation) -> Download:
    """For each image: the picture, its segments, the overlay; regions.json with every weight, curve, stability and place."""
    query = select(ExplanationItem).where(ExplanationItem.explanation_id == explanation.id)
    items = list(session.scalars(query.order_by(ExplanationItem.index)))
    names = explanations.names(session, items)
    entries = [_json("regions.json", [_regions(explanation, item, names[item.id]) for item in items])]
    for item in items:
        folder = _item_folder(item, names[item.id])
        entries.append(Entry(f"{folder}/picture.png", item.picture_sha256))
        entries.append(Entry(f"{folder}/segments.png", item.segments_sha256))
        entries.append(Entry(f"{folder}/overlay.png", item.overlay_sha256))
    return _zip(storage, f"explanation-{explanation.id}", entries)


def _item_folder(item: ExplanationItem, name: str) -> str:
    return f"{item.index:03d}-{_slug(name.rsplit('/', 1)[-1].rsplit('.', 1)[0])}"


def _regions(explanation: Explanation, item: ExplanationItem, name: str) -> dict[str, Any]:
    return {
        "folder": _item_folder(item, name),
        "image": name,
        "image_id": item.image_id,
        "uploaded_image_id": item.uploaded_image_id,
        "label": explanation.classes[item.label] if item.label is not None else None,
        "predicted": explanation.classes[item.predicted],
        "probabilities": dict(zip(explanation.classes, item.probabilities, strict=True)),
        **item.weights,
        "faithfulness": item.faithfulness,
        "stability": item.stability,
        "places": item.places,
    }


def _text(path: str, text: str) -> Entry:
    content = text.encode()
    return Entry(path, hashlib.sha256(content).hexdigest(), content)


def _json(path: str, value: Any) -> Entry:
    return _text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def _zip(storage: Storage, name: str, entries: list[Entry]) -> Download:
    """An archive of the entries under one folder, with manifest.json (the sha256 of every other file) at its end."""
    manifest = _json("manifest.json", {"files": {entry.path: entry.sha256 for entry in entries}})
    stream = ZipStream(compress_type=ZIP_STORED, sized=True)
    for entry in (*entries, manifest):
        _add(stream, storage, entry, name)
    return Download(f"{name}.zip", "application/zip", len(stream), iter(stream))


def _add(stream: ZipStream, storage: Storage, entry: Entry, folder: str) -> None:
    arcname = f"{folder}/{entry.path}"
    if entry.content is not None:
        stream.add(entry.content, arcname)
    else:
        stream.add_path(storage.path(entry.sha256), arcname)


def _folders(classes: Iterable[str]) -> list[str]:
    """A folder name for each class: its own where that is safe on every system, else with a number before it."""
    names = []
    for label, name in enumerate(classes):
        safe = re.sub(r"[^\w .()+-]", "_", name).strip(" .")
        names.append(name if safe == name else f"{label}-{safe}".rstrip("-"))
    return names


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:60] or "set"
