"""What the page of two studies shows of their audits, the gate's lights and their explanations: the figures that their own pages lead with."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from app.core.lights import NAMES
from app.pages.comparison_lines import Block, Line, interval, line
from app.services.studies.evidence import EvidenceComparison, Side
from app.services.studies.figures import Figure
from app.services.studies.reporting.words import EXPLAINED, arm_name, metric_name

MOST_LISTED = 200
FIDELITY = re.compile(r"(audit\.fidelity\.extractors\.(.+)\.whole\.(\w+)\.synthetic)\.value")
PRIVACY = re.compile(r"(audit\.privacy\.spaces\.(.+)\.(copies\.rate|copies\.floor|memorised|authenticity|authenticity_of_held_out))\.value")  # fmt: skip
LIGHT = re.compile(r"gate\.(\w+)")
OF_ARM = re.compile(r"explanations\.summary\.(\w+)\.values\.(\w+)")
SEED_OVERLAP = re.compile(r"explanations\.agreement\.seed_overlap\.(\w+)")
RATES = {
    "copies.rate": "Flagged as copies", "copies.floor": "Unseen real images flagged", "memorised": "Memorised training images",
    "authenticity": "Authentic", "authenticity_of_held_out": "Authentic, unseen real images",
}  # fmt: skip
ALONE = {  # figures of which there is one: (block, line)
    "audit.fidelity.ms_ssim.synthetic.whole.value": ("Variety", "MS-SSIM within classes"),
    "audit.privacy.membership.auc.value": ("Membership", "AUC of the attack"),
    "explanations.agreement.overlap": ("Agreement of the arms", "Overlap of the strongest regions"),
    "explanations.agreement.correlation": ("Agreement of the arms", "Correlation of all weights"),
}
DIFFERENCE = "Second arm minus first"


@dataclass(frozen=True)
class ComparedEvidence:
    """missing: a sentence where a study has none of it. differing: (nothing, figure), as a table has (where, figure), the first
    MOST_LISTED of num_differing."""

    title: str
    sides: list[Side]
    missing: str
    blocks: list[Block]
    num_figures: int
    num_differing: int
    differing: list[tuple[str, Figure]]
    is_same_job: bool


def compared(each: EvidenceComparison) -> ComparedEvidence:
    differing = [("", figure) for figure in each.figures if not figure.is_equal]
    is_same_job = bool(each.jobs) and each.num_same_jobs == len(each.jobs)
    return ComparedEvidence(
        title=_title(each), sides=[each.a, each.b], missing=_missing(each), blocks=_blocks(each.figures, is_same_job=is_same_job),
        num_figures=len(each.figures), num_differing=len(differing), differing=differing[:MOST_LISTED], is_same_job=is_same_job,
    )  # fmt: skip


def _title(each: EvidenceComparison) -> str:
    if each.kind == "explanations":
        return "Explanations"
    size = "" if each.size is None else f" of the synthetic images, size {each.size:g}"
    return f"Audit{size}"


def _missing(each: EvidenceComparison) -> str:
    if each.only is not None:
        return f"Only study {each.only} has {each.words}, so nothing is compared."
    return f"Neither study has {each.words}, so nothing is compared." if each.a.missing else ""


def _blocks(figures: list[Figure], *, is_same_job: bool) -> list[Block]:
    """In the order in which the reports have them."""
    by_name = {figure.name: figure for figure in figures}
    blocks: dict[str, list[Line]] = {}
    for figure in figures:
        if (found := _headline(figure.name)) is not None:
            block, title, places = found
            blocks.setdefault(block, []).append(line(title, places, by_name, is_same_job=is_same_job))
    for what, (name, _) in EXPLAINED.items():
        if name in blocks:
            blocks[name] += _difference(f"explanations.summary.{what}", by_name, is_same_job=is_same_job)
    return [Block(name, lines) for name, lines in blocks.items()]


def _headline(name: str) -> tuple[str, str, list[str]] | None:
    """(block, line, places of value and bounds) of a figure that a page leads with; None for all others."""
    if name in ALONE:
        return *ALONE[name], interval(name.removesuffix(".value")) if name.endswith(".value") else [name]
    if found := LIGHT.fullmatch(name):
        return "Release gate", NAMES[found[1]], [name]
    if found := FIDELITY.fullmatch(name):
        return f"Fidelity by {found[2]}", metric_name(found[3]), interval(found[1])
    if found := PRIVACY.fullmatch(name):
        return f"Privacy by {found[2]}", RATES[found[3]], interval(found[1])
    if found := OF_ARM.fullmatch(name):
        return EXPLAINED[found[1]][0], arm_name(found[2], None), [name]
    if found := SEED_OVERLAP.fullmatch(name):
        return "Agreement of the arms", f"Overlap of two seeds ({arm_name(found[1], None)})", [name]
    return None


def _difference(place: str, figures: Mapping[str, Figure], *, is_same_job: bool) -> list[Line]:
    if f"{place}.difference" not in figures:
        return []
    places = [f"{place}.{part}" for part in ("difference", "low", "high")]
    shown = [line(DIFFERENCE, places, figures, is_same_job=is_same_job, signed=True)]
    if f"{place}.p_holm" in figures:
        shown.append(line("p (Holm)", [f"{place}.p_holm"], figures, is_same_job=is_same_job))
    return shown
