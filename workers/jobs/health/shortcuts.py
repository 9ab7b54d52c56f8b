"""Findings of what tells the classes apart without any anatomy: global numbers, files, marks, text."""

from collections.abc import Iterator, Mapping
from typing import Any

from workers.jobs.health.finding import Finding, Severity, grade, often, percent

SKILL_OF_NUMBERS = {"serious": 0.5, "warning": 0.2}  # the lower bound's place between chance (0) and certainty (1)
SKILL_OF_PIXELS = {"warning": 0.5, "note": 0.2}
SKILL_OF_PROPERTY = {"serious": 0.5, "warning": 0.1, "note": 0.03}
MOST_CHANCE = 0.001  # of a difference between classes that is none
SPREAD_OF_MARK = 0.3  # between the classes that carry it most and least


def of_baselines(baselines: Mapping[str, Any]) -> Iterator[Finding]:
    for sees, limits in (("numbers", SKILL_OF_NUMBERS), ("pixels", SKILL_OF_PIXELS)):
        models = [model for model in baselines["models"] if model["sees"] == sees]
        if not models:
            continue
        best = max(models, key=lambda model: model["balanced_accuracy"]["value"])
        chance = baselines["chance"]
        severity = grade((best["balanced_accuracy"]["low"] - chance) / (1 - chance), limits)
        if severity is not None:
            yield _shortcut(sees, severity, models, best, baselines)


def _shortcut(
    sees: str, severity: Severity, models: list[dict[str, Any]], best: dict[str, Any], baselines: Mapping[str, Any]
) -> Finding:
    what, figure, right = best["what"], best["balanced_accuracy"], percent(best["accuracy"]["value"])
    measured = " and ".join(
        f"{model['how']} on them is right in {percent(model['accuracy']['value'])}" for model in models
    )
    span = (
        f"balanced {percent(figure['value'])}, {percent(baselines['confidence'])} interval {percent(figure['low'])} to "
        f"{percent(figure['high'])}; chance {percent(baselines['chance'])}"
    )
    if sees == "numbers":
        return Finding(
            "shortcut_numbers", severity, f"{what} name the class in {right} of images",
            f"Mean and deviation of each channel, width and height know no anatomy, yet {measured} ({span}): staining, exposure, "
            "scanner or crop tell the classes apart.",
            "Find out what differs between how the classes were taken, and hold every network against this figure: one that is "
            "not clearly better has learnt the scanner.",
            baselines["num_images"],
        )  # fmt: skip
    return Finding(
        "shortcut_pixels", severity, f"{what} name the class in {right} of images",
        f"{measured[0].upper()}{measured[1:]} ({span}): position, size and outline go far, and so do neighbouring slices of one patient.",
        "Hold every network against this figure, and import patients as groups if the images are slices.",
        baselines["num_images"],
    )  # fmt: skip


PROPERTY_ACTIONS = {
    "size": "Import crops of one size, or exclude what was taken otherwise; resizing leaves its blur behind.",
    "mode": "Save all files in one mode, and find out why they differ: they probably come from several sources.",
    "bit_depth": "Export all files anew at one depth from where they come from.",
    "format": "Export all files anew in one format: compression leaves marks that a network can learn.",
    "metadata": "Find out where the files of each class come from: cameras, scanners and screenshots differ in their pixels, too.",
}


def of_property(found: Mapping[str, Any]) -> Finding | None:
    severity = grade(found["skill"], SKILL_OF_PROPERTY) if found["p_value"] < MOST_CHANCE else None
    if severity is None:
        return None
    widest = max(found["values"], key=lambda each: max(each["shares"].values()) - min(each["shares"].values()))
    most, least = (pick(widest["shares"], key=widest["shares"].get) for pick in (max, min))
    return Finding(
        f"{found['name']}_by_class", severity, f"{found['title']} differs by class",
        f"{widest['value']} is {percent(widest['shares'][most])} of {most} and {percent(widest['shares'][least])} of {least}, and "
        f"whoever knows nothing else is right in {percent(found['accuracy'])} (balanced over classes).",
        PROPERTY_ACTIONS[found["name"]],
        len(found["values"]),
    )  # fmt: skip


def of_mark(found: Mapping[str, Any]) -> Finding:
    shares: dict[str, float] = found["shares"]
    most, least = (pick(shares, key=shares.__getitem__) for pick in (max, min))
    tells = shares[most] - shares[least] >= SPREAD_OF_MARK
    place = where(found["box"])
    said = f"{percent(shares[most])} of {most}" + (f" and {percent(shares[least])} of {least}" if most != least else "")
    if tells:
        return Finding(
            "mark_by_class", "serious", f"A {found['tone']} mark at the {place} is in {said}",
            "Something that was drawn into the picture, such as a scale bar or a side letter, gives the class away.",
            "Crop it off or paint it over before importing, in all classes alike.",
            found["num_looked_at"],
        )  # fmt: skip
    return Finding(
        "mark", "warning", f"A {found['tone']} mark at the {place} is in {said}",
        "Something that was drawn into the picture comes again and again; a generator will draw it, too.",
        "Crop it off or paint it over before importing.",
        found["num_looked_at"],
    )  # fmt: skip


def where(box: list[float]) -> str:
    """ "top left", of a box in shares of the sides."""
    top, left, bottom, right = box
    row = "top" if top + bottom < 0.7 else "bottom" if top + bottom > 1.3 else "middle"
    column = "left" if left + right < 0.7 else "right" if left + right > 1.3 else ""
    return f"{row} {column}".strip()


def of_text(found: Mapping[str, Any]) -> Iterator[Finding]:
    if not found["num_found"]:
        return
    shares: dict[str, float] = found["shares"]
    most, least = (pick(shares, key=shares.__getitem__) for pick in (max, min))
    tells = shares[most] - shares[least] >= SPREAD_OF_MARK
    by_class = f": {percent(shares[most])} of {most}, {percent(shares[least])} of {least}" if tells else ""
    yield Finding(
        "text", "serious" if tells else often(found["num_found"], found["num_looked_at"]),
        f"Burnt-in text in {found['num_found']:,} of {found['num_looked_at']:,} images looked at{by_class}",
        "Letters in the picture may be a patient's name, and no import can remove them"
        + ("; here they also give the class away." if tells else "."),
        "Look at the examples; if they name anybody, delete the dataset and export it without annotations.",
        found["num_found"], found["image_ids"],
    )  # fmt: skip
