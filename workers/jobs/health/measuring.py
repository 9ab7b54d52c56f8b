"""From a version's rows and figures to the numbers of its health page. Pictures themselves are looked at in `pictures`."""

from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from app.core.versions import Entry
from models import Split
from workers.jobs.health.subject import Subject
from workers.ml.health.associations import Association, association
from workers.ml.health.quality import Flags, quality_flags

Floats = NDArray[np.float64]
MOST_CLASSES = 50  # that are described one by one
MOST_VALUES = 12  # of a property that are listed
AREA_BINS = 6


def quality(subject: Subject) -> dict[str, Flags]:
    """{kind: (N,)} of all images."""
    figures = _figures(subject)
    return quality_flags(
        stds=np.array([max(each["std"]) for each in figures]),
        histograms=histograms(subject),
        entropies=np.array([each["entropy"] for each in figures]),
        sharpnesses=np.array([each["sharpness"] for each in figures]),
        widths=np.array([float(entry.width) for entry in subject.entries]),
        heights=np.array([float(entry.height) for entry in subject.entries]),
    )


def _figures(subject: Subject) -> list[dict[str, Any]]:
    return [subject.facts[entry.stored_sha256] for entry in subject.entries]


def histograms(subject: Subject) -> Floats:
    """(N, 32) shares of grey levels."""
    return np.array([each["histogram"] for each in _figures(subject)])


def global_numbers(subject: Subject) -> Floats:
    """(N, 2 C + 2): mean and standard deviation of each channel, width, height. A grey image among coloured ones is
    three times the same."""
    rows = []
    for entry, figures in zip(subject.entries, _figures(subject), strict=True):
        channels = [*_each_channel(figures["mean"], subject.channels), *_each_channel(figures["std"], subject.channels)]
        rows.append([*channels, float(entry.width), float(entry.height)])
    return np.array(rows)


def _each_channel(values: list[float], channels: int) -> list[float]:
    return values if len(values) == channels else [values[0]] * channels


def classes(subject: Subject) -> list[dict[str, Any]]:
    """Of each of the largest classes: sizes and files of all its images, grey levels of those that may be learnt from."""
    labels, is_open, levels = subject.labels, subject.is_open, histograms(subject)
    described = []
    for label in shown_labels(subject):
        mine = [entry for entry in subject.entries if entry.label == label]
        seen = levels[(labels == label) & is_open]
        described.append(
            {
                "name": subject.classes[label],
                "num_images": len(mine),
                "width": _span([entry.width for entry in mine]),
                "height": _span([entry.height for entry in mine]),
                "modes": _tally(entry.mode for entry in mine),
                "bit_depths": _tally(str(entry.bit_depth) for entry in mine),
                "formats": _tally(file_format(entry) for entry in mine),
                "metadata": _tally(entry.metadata_kinds or "none" for entry in mine),
                "histogram": [round(float(share), 5) for share in seen.mean(axis=0)] if len(seen) else None,
            }
        )
    return described


def shown_labels(subject: Subject) -> list[int]:
    """The classes that are described one by one: the largest, in their order."""
    return sorted(label for label, _ in Counter(subject.labels.tolist()).most_common(MOST_CLASSES))


def _span(values: Sequence[int]) -> dict[str, float]:
    return {"min": min(values), "median": float(np.median(values)), "max": max(values)}


def _tally(values: Any) -> dict[str, int]:
    """The commonest values, and the others as one."""
    counts = Counter(values).most_common()
    kept = dict(counts[:MOST_VALUES])
    rest = sum(number for _, number in counts[MOST_VALUES:])
    return kept | ({"other": rest} if rest else {})


def file_format(entry: Entry) -> str:
    """The ending of the file, without its frame: "jpg"."""
    ending = PurePosixPath(entry.path.split("#", 1)[0]).suffix.lower().lstrip(".")
    return {"jpeg": "jpg", "jpe": "jpg", "jfif": "jpg", "tiff": "tif"}.get(ending, ending) or "none"


PROPERTIES = {
    "size": "Size",
    "mode": "Colour mode",
    "bit_depth": "Bit depth",
    "format": "File format",
    "metadata": "Metadata",
}


def associations(subject: Subject) -> dict[str, Association]:
    """By property, for images that may be learnt from: how far it tells the classes apart. One image of each picture counts."""
    seen: dict[tuple[str, int], Entry] = {}
    for entry in subject.entries:
        if entry.split != Split.TEST:
            seen.setdefault((entry.pixel_sha256, entry.label), entry)
    entries = list(seen.values())
    if not entries:
        return {}
    values = {
        "size": sizes(entries),
        "mode": [entry.mode for entry in entries],
        "bit_depth": [f"{entry.bit_depth} bit" for entry in entries],
        "format": [file_format(entry) for entry in entries],
        "metadata": [entry.metadata_kinds or "none" for entry in entries],
    }
    labels = np.array([entry.label for entry in entries], dtype=np.int64)
    found = {
        name: association(values=listed, labels=labels, num_classes=len(subject.classes), most_values=MOST_VALUES)
        for name, listed in values.items()
    }
    return {name: each for name, each in found.items() if each is not None}


def sizes(entries: Sequence[Entry]) -> list[str]:
    """ "256 x 256" of each entry; where there are many sizes, the range of areas that it falls into."""
    exact = [f"{entry.width} x {entry.height}" for entry in entries]
    if len(set(exact)) <= MOST_VALUES:
        return exact
    areas = np.sqrt([entry.width * entry.height for entry in entries])
    edges = np.unique(np.quantile(areas, np.linspace(0, 1, AREA_BINS + 1)[1:-1]))
    bins = np.searchsorted(edges, areas, side="left")
    names = [f"up to {edges[0]:.0f}²", *(f"{low:.0f}² to {high:.0f}²" for low, high in pairwise(edges)),
             f"over {edges[-1]:.0f}²"]  # fmt: skip
    return [names[number] for number in bins]


def copies(entries: Sequence[Entry]) -> dict[str, int]:
    """exact, near: images beyond the first of each group, near includes exact; groups, and those that span splits or classes."""
    groups: dict[int, list[Entry]] = {}
    for entry in entries:
        if entry.cluster is not None:
            groups.setdefault(entry.cluster, []).append(entry)
    return {
        "exact": len(entries) - len({entry.pixel_sha256 for entry in entries}),
        "near": sum(len(group) - 1 for group in groups.values()),
        "groups": len(groups),
        "across_splits": sum(len({entry.split for entry in group}) > 1 for group in groups.values()),
        "across_classes": sum(len({entry.label for entry in group}) > 1 for group in groups.values()),
    }
