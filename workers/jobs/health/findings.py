"""What the figures of a check mean, and what to do about it: the worst first.

docs/science/health.md lists every kind with its limits.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from models import Split
from workers.jobs.health import shortcuts
from workers.jobs.health.finding import SEVERITIES, Finding, counted, listed, often
from workers.jobs.health.subject import Subject

FEW_TRAIN, FEW_TEST = 50, 10  # images of a class
UNEVEN, VERY_UNEVEN = 3.0, 10.0  # largest class over smallest


def findings(subject: Subject, health: Mapping[str, Any], flagged: Mapping[str, list[int]]) -> list[Finding]:
    """health: what was measured; flagged: {kind of quality: image ids}. Serious ones first, within that in the order of below."""
    found: list[Finding] = [
        *_leaks(subject, health["leaks"]),
        *_conflicts(subject, health["copies"]),
        *shortcuts.of_baselines(health["baselines"]),
        *(finding for each in health["properties"] if (finding := shortcuts.of_property(each)) is not None),
        *(shortcuts.of_mark(each) for each in health["marks"]),
        *shortcuts.of_text(health["text"]),
        *_copies(subject, health["copies"]),
        *_quality(len(subject.entries), flagged),
        *_sizes_of_classes(subject),
        *_groups(health["groups"], len(subject.entries)),
        *_files(subject),
    ]
    return sorted(found, key=lambda finding: SEVERITIES.index(finding.severity))


def _leaks(subject: Subject, counts: Mapping[str, int]) -> Iterator[Finding]:
    words = [
        counted(counts["patients"], "patient"),
        counted(counts["identical"], "identical picture"),
        counted(counts["near"], "group of look-alikes", "groups of look-alikes"),
    ]
    parts = [words[place] for place, number in enumerate(counts.values()) if number]
    if not parts:
        return
    total = sum(counts.values())
    yield Finding(
        "leaks", "serious", f"{listed(parts)} {'stands' if total == 1 else 'stand'} in several splits",
        "A network is tested on what it has seen, so the figures measure memory and are too good.",
        "Mend it with one click on the page of leaks, which makes a new version; results made before must be made again.",
        total, _torn(subject), "leaks",
    )  # fmt: skip


def _torn(subject: Subject) -> list[int]:
    """Images of units that stand in several splits."""
    sides: dict[int, set[Split]] = {}
    for unit, entry in zip(subject.units.tolist(), subject.entries, strict=True):
        sides.setdefault(unit, set()).add(entry.split)
    return [
        image_id for image_id, unit in zip(subject.ids, subject.units.tolist(), strict=True) if len(sides[unit]) > 1
    ]


def _conflicts(subject: Subject, copies: Mapping[str, int]) -> Iterator[Finding]:
    number = copies["across_classes"]
    if not number:
        return
    labels: dict[int | None, set[int]] = {}
    for entry in subject.entries:
        labels.setdefault(entry.cluster, set()).add(entry.label)
    ids = [
        image_id
        for image_id, entry in zip(subject.ids, subject.entries, strict=True)
        if entry.cluster is not None and len(labels[entry.cluster]) > 1
    ]
    yield Finding(
        "label_conflicts", "serious", f"{counted(number, 'picture')} {'stands' if number == 1 else 'stand'} under several classes",
        "One of the labels is wrong, or two pictures are too alike to be told apart; either way a right answer counts as wrong.",
        "Look at each group, then relabel or exclude the side that is wrong.",
        number, ids, "duplicates?span=classes",
    )  # fmt: skip


def _copies(subject: Subject, copies: Mapping[str, int]) -> Iterator[Finding]:
    exact, near = copies["exact"], copies["near"] - copies["exact"]
    total = len(subject.entries)
    if exact:
        yield Finding(
            "exact_copies", often(exact, total), f"{counted(exact, 'image')} repeat{'s' if exact == 1 else ''} the pixels of another",
            "Copies add nothing to learn from, weigh their picture double, and make intervals look narrower than they are.",
            "Keep one of each: thin the copies out on the page of duplicates, which makes a new version.",
            exact, _with_copies(subject), "duplicates",
        )  # fmt: skip
    if near > 0:
        yield Finding(
            "near_copies", often(near, total), f"{counted(near, 'more image')} look{'s' if near == 1 else ''} like another",
            "Mirrored, resized, re-encoded or next slices of one patient; they stay on one side of each split.",
            "Look at the groups; tell apart those that are no copies, and thin out the others.",
            near, _with_look_alikes(subject), "duplicates",
        )  # fmt: skip


def _with_copies(subject: Subject) -> list[int]:
    number = Counter(entry.pixel_sha256 for entry in subject.entries)
    return [i for i, entry in zip(subject.ids, subject.entries, strict=True) if number[entry.pixel_sha256] > 1]


def _with_look_alikes(subject: Subject) -> list[int]:
    pictures: dict[int | None, set[str]] = {}
    for entry in subject.entries:
        pictures.setdefault(entry.cluster, set()).add(entry.pixel_sha256)
    return [
        i
        for i, entry in zip(subject.ids, subject.entries, strict=True)
        if entry.cluster is not None and len(pictures[entry.cluster]) > 1
    ]


QUALITY = {
    "blank": (
        "blank", "There is nothing in the picture, so it teaches a network that nothing looks like its class.",
        "Exclude them, unless the examples show something.",
    ),
    "dark": (
        "very dark", "Even the brightest hundredth is nearly black, or the picture is far darker than the rest.",
        "Look at the examples: exclude failed exposures, or import them with another window.",
    ),
    "bright": (
        "very bright", "Even the darkest hundredth is nearly white, or the picture is far brighter than the rest.",
        "Look at the examples: exclude failed exposures, or import them with another window.",
    ),
    "low_information": (
        "nearly empty", "The grey levels hold far less than in the rest of the dataset.",
        "Look at the examples: exclude end slices and masks that are no images.",
    ),
    "blurred": (
        "blurred", "There is hardly any fine detail for the contrast that there is.",
        "Look at the examples: exclude what is out of focus, or was enlarged from a small picture.",
    ),
    "odd_aspect": (
        "of odd proportions", "Made square, they are mostly border, or squeezed.",
        "Look at the examples: exclude strips and montages, or crop them.",
    ),
}  # fmt: skip


def _quality(total: int, flagged: Mapping[str, list[int]]) -> Iterator[Finding]:
    for kind, (words, meaning, action) in QUALITY.items():
        ids = flagged[kind]
        if ids:
            severity = "warning" if kind == "blank" else often(len(ids), total)
            title = f"{counted(len(ids), 'image')} {'is' if len(ids) == 1 else 'are'} {words}"
            yield Finding(kind, severity, title, meaning, action, len(ids), ids)


def _sizes_of_classes(subject: Subject) -> Iterator[Finding]:
    totals = {name: dict.fromkeys(Split, 0) for name in subject.classes}
    for entry in subject.entries:
        totals[subject.classes[entry.label]][entry.split] += 1
    sums = {name: sum(splits.values()) for name, splits in totals.items()}
    largest, smallest = (pick(sums, key=sums.__getitem__) for pick in (max, min))
    ratio = sums[largest] / max(sums[smallest], 1)
    if ratio >= UNEVEN:
        yield Finding(
            "imbalance", "warning" if ratio >= VERY_UNEVEN else "note",
            f"{largest} has {ratio:.0f} times as many images as {smallest}",
            "Accuracy then mostly says how the large classes do.",
            "Read balanced accuracy, and the table by class; draw more synthetic images of the small classes.",
            sums[smallest],
        )  # fmt: skip
    yield from _few(
        totals,
        Split.TRAIN,
        FEW_TRAIN,
        "training",
        "A diffusion model copies what it has seen so rarely, and a classifier learns little from it.",
        "Add images, or read the results as a trial.",
    )
    yield from _few(
        totals,
        Split.TEST,
        FEW_TEST,
        "test",
        "One image more or less changes the figures of the class by a tenth and more.",
        "Add images, or split anew with a larger test share.",
    )


def _few(
    totals: Mapping[str, Mapping[Split, int]], split: Split, limit: int, word: str, meaning: str, action: str
) -> Iterable[Finding]:
    few = {name: splits[split] for name, splits in totals.items() if splits[split] < limit}
    if not few:
        return []
    name = min(few, key=few.__getitem__)
    others = f" and {counted(len(few) - 1, 'other class', 'other classes')}" if len(few) > 1 else ""
    title = f"{name}{others} {'have' if others else 'has'} fewer than {limit} {word} images"
    return [Finding(f"few_{split}", "warning", title, f"{name} has {few[name]}. {meaning}", action, len(few))]


def _groups(groups: Mapping[str, int], total: int) -> Iterator[Finding]:
    if groups["num_without"] == total:
        yield Finding(
            "no_groups", "warning", "Nobody knows which images are one patient's",
            "If a patient has several images they stand on both sides of the split, and all figures are too good.",
            "Import again with a column or a pattern that names the patient; or split in blocks if the files are numbered "
            "patient by patient.",
            total,
        )  # fmt: skip
    elif groups["num_without"]:
        yield Finding(
            "some_groups", "note", f"{counted(groups['num_without'], 'image')} {'has' if groups['num_without'] == 1 else 'have'} no patient",
            "Each counts as a patient of its own.", "Complete the column or the pattern that names the patient, and import again.",
            groups["num_without"],
        )  # fmt: skip


def _files(subject: Subject) -> Iterator[Finding]:
    carrying = [image_id for image_id, entry in zip(subject.ids, subject.entries, strict=True) if entry.metadata_kinds]
    if carrying:
        kinds = sorted({kind for entry in subject.entries for kind in entry.metadata_kinds.split(", ") if kind})
        yield Finding(
            "metadata", "note", f"{counted(len(carrying), 'file')} carried metadata ({', '.join(kinds)})",
            "It may name people, places and devices. The studio has dropped it: what is stored are pixels.",
            "Nothing is to be done here; the files where they came from still carry it.",
            len(carrying),
        )  # fmt: skip
    broken = subject.refused.get("broken", 0)
    if broken:
        yield Finding(
            "broken_files", "note", f"{counted(broken, 'file')} could not be read",
            "They are left out; each is listed with the reason.", "Export them anew if they matter.",
            broken, [], "refused?kind=broken",
        )  # fmt: skip
