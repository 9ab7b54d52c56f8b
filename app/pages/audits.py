"""Audits: the list, and one audit with the release gate, fidelity beside its real-vs-real floor, privacy, and the pairs side by side."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from fastapi import APIRouter, Request, Response
from fastapi.responses import RedirectResponse
from sqlalchemy.orm import Session

from app.deps import AuditDep, IdentityDep, SessionDep
from app.pages.gates import Light, ShownGate, lights_of, shown_gate
from app.pages.render import Script, render
from app.pages.results import Figure, Link, Setting, settings_of
from app.services import audits, gates, jobs, synthetic_sets
from app.services.audits import Pair
from app.services.identity import Identity
from app.services.paging import Page
from models import Audit, SyntheticSet

router = APIRouter(prefix="/audits", include_in_schema=False)
WORST, MOST_DROPPED = 20, 500
METRICS = {
    "kid": ("KID", "Distance of the two sets of images; 0 is best, and it may lie below."),
    "fid": ("FID", "Distance, too; with few images most of it is bias, so compare it with its floor only."),
    "precision": ("Precision", "Share of synthetic images that lie among real ones."),
    "recall": ("Recall", "Share of real images that lie among synthetic ones."),
    "density": ("Density", "How thickly real images lie around synthetic ones; about 1."),
    "coverage": ("Coverage", "Share of real images with a synthetic one near by."),
}
KINDS = {
    "plain": "",
    "left_right": "mirrored left-right",
    "top_bottom": "mirrored top-bottom",
    "rotated": "turned by half",
}


@dataclass(frozen=True)
class ListRow:
    audit: Audit
    synthetic_set: SyntheticSet
    lights: list[Light]


@dataclass(frozen=True)
class ListPage:
    rows: Page[ListRow]
    script: Script


@dataclass(frozen=True)
class FidelityRow:
    """A figure, n (training and synthetic images), and the same figures of as many unseen real images and synthetic ones."""

    name: str
    about: str
    value: Figure
    n: str
    floor: Figure
    floor_n: str
    at_floor: Figure


@dataclass(frozen=True)
class Section:
    """name: of the class; empty for the whole."""

    name: str
    rows: list[FidelityRow]
    notes: list[str]


@dataclass(frozen=True)
class Extractor:
    name: str
    about: str
    whole: Section
    classes: list[Section]


@dataclass(frozen=True)
class VarietyRow:
    name: str
    synthetic: Figure
    train: Figure
    held_out: Figure


@dataclass(frozen=True)
class PrivacyRow:
    """A figure of every space, in the order of the table's columns."""

    name: str
    about: str
    figures: list[tuple[Figure, int | None]]  # with n


@dataclass(frozen=True)
class Power:
    name: str
    found: Figure
    auc: float | None


@dataclass(frozen=True)
class ShownPair:
    pair: Pair
    label: str
    real_label: str
    kind: str


@dataclass(frozen=True)
class ShowPage:
    audit: Audit
    synthetic_set: SyntheticSet
    filtered: SyntheticSet | None
    gate: ShownGate  # of the set that was audited, by its newest audit
    lights: list[Light]  # by this audit
    extractors: list[Extractor]
    variety: list[VarietyRow]
    spaces: list[str]
    privacy: list[PrivacyRow]
    thresholds: list[tuple[str, str]]
    power: list[Power]
    power_reason: str
    membership: Figure
    membership_method: str
    pairs: list[ShownPair]
    dropped: list[ShownPair]
    made_from: list[Link]
    settings: list[Setting]
    script: Script


@router.get("")
def show_list(request: Request, session: SessionDep, who: IdentityDep, cursor: str | None = None) -> Response:
    found = audits.listing(session, who, cursor=cursor)
    rows = [
        ListRow(audit, audits.set_of(session, audit), lights_of(gates.lights_of_audit(session, audit)))
        for audit in found.items
    ]
    script = Script(
        client="for audit in studio.audits.list():\n    print(audit.id, [(light.name, light.state) for light in audit.lights])",
        curl='curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/audits',
    )
    return render(request, "audits/index.html", ListPage(Page(rows, found.next_cursor), script))


@router.get("/{audit_id}")
def show(request: Request, audit: AuditDep, session: SessionDep, who: IdentityDep) -> Response:
    return render(request, "audits/show.html", _page(session, who, audit))


def _page(session: Session, who: Identity, audit: Audit) -> ShowPage:
    report, privacy = audit.report, audit.report["privacy"]
    made, power = audits.set_of(session, audit), privacy["power"]
    flagged = audits.pairs(session, audit, flagged=True, limit=MOST_DROPPED).items if audit.num_flagged else []
    attacked = privacy["membership"]
    return ShowPage(
        audit=audit, synthetic_set=made, filtered=audits.filtered(session, audit),
        gate=shown_gate(gates.gate_of_set(session, made)), lights=lights_of(gates.lights_of_audit(session, audit)),
        extractors=[_extractor(each, audit.classes) for each in report["fidelity"]["extractors"]],
        variety=list(_variety(report["fidelity"]["ms_ssim"], audit.classes)), spaces=list(privacy["spaces"]),
        privacy=list(_privacy(privacy["spaces"])), thresholds=list(_thresholds(privacy["spaces"])),
        power=[_power(row) for row in power] if isinstance(power, list) else [],
        power_reason="" if isinstance(power, list) else power["reason"],
        membership=Figure.of("AUC of the attack", attacked.get("auc", attacked)), membership_method=attacked.get("method", ""),
        pairs=[_shown(audit, each) for each in audits.worst(session, audit, limit=WORST)],
        dropped=[_shown(audit, each) for each in flagged], made_from=_made_from(session, who, audit, made),
        settings=settings_of(audit.spec), script=_script(audit),
    )  # fmt: skip


def _extractor(told: Mapping[str, Any], classes: list[str]) -> Extractor:
    about = told["extractor"]
    words = f"weights from {about['weights']}, {about['input_size']} px, {about['num_features']:,} features"
    sections = [_section(classes[each["label"]], each) for each in told["per_class"]]
    return Extractor(about["architecture"], words, _section("", told["whole"]), sections)


def _section(name: str, figures: Mapping[str, Any]) -> Section:
    return Section(name, [_row(metric, figures[metric]) for metric in figures["order"]], figures["notes"])


def _row(metric: str, told: Mapping[str, Any]) -> FidelityRow:
    name, about = METRICS[metric]
    synthetic, floor = told["synthetic"], told["floor"]
    return FidelityRow(
        name, about, Figure.of(name, synthetic), _counts(synthetic), Figure.of(name, floor), _counts(floor),
        Figure.of(name, told["synthetic_at_floor"]),
    )  # fmt: skip


def _counts(figure: Mapping[str, Any]) -> str:
    return f"{figure['n_real']:,} / {figure['n_fake']:,}" if "n_real" in figure else "–"


def _variety(told: Mapping[str, Any], classes: list[str]) -> Iterator[VarietyRow]:
    """Of the whole, then class by class; nothing where the images are too small for it."""
    if told["synthetic"] is None:
        return
    for label in (None, *range(len(classes))):
        figures = [_variety_figure(told[side], label) for side in ("synthetic", "train", "held_out")]
        yield VarietyRow("All classes" if label is None else classes[label], *figures)


def _variety_figure(side: Mapping[str, Any] | None, label: int | None) -> Figure:
    if side is None:
        return Figure("MS-SSIM", None, None, None, "There are no such images.")
    return Figure.of("MS-SSIM", side["whole"] if label is None else side["per_class"][label])


def _privacy(spaces: Mapping[str, Any]) -> Iterator[PrivacyRow]:
    rows = {
        "Flagged as copies": ("Synthetic images nearer to a training image than unseen real ones are.", "copies", "rate"),
        "Unseen real images flagged": ("The floor: how often a fresh real image is called a copy.", "copies", "floor"),
        "Memorised training images": ("Training images that are the nearest of a flagged image.", "memorised", ""),
        "Authentic": (
            "Synthetic images no nearer to a training image than that one is to another.", "authenticity", "",
        ),
        "Authentic, unseen real images": ("The same share of fresh real images.", "authenticity_of_held_out", ""),
    }  # fmt: skip
    for name, (about, part, inner) in rows.items():
        told = [space[part].get(inner, space[part]) if inner else space[part] for space in spaces.values()]
        yield PrivacyRow(name, about, [(Figure.of(name, each), each.get("n")) for each in told])


def _thresholds(spaces: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """How near is too near in each space, in words."""
    for name, space in spaces.items():
        copies = space["copies"]
        yield name, copies["threshold"]["method"] if "threshold" in copies else copies["reason"]


def _power(row: Mapping[str, Any]) -> Power:
    name = f"{row['strength']} {row['alteration']}"
    return Power(name, Figure.of(name, row["found"]), row["auc"])


def _shown(audit: Audit, pair: Pair) -> ShownPair:
    return ShownPair(pair, audit.classes[pair.synthetic.label], audit.classes[pair.real.label], KINDS[pair.pair.kind])


@router.post("/{audit_id}/delete")
def delete(audit: AuditDep, session: SessionDep, who: IdentityDep) -> Response:
    synthetic_set_id = audit.synthetic_set_id
    audits.delete(session, who, audit)
    return RedirectResponse(f"/synthetic-sets/{synthetic_set_id}", status_code=303)


def _made_from(session: Session, who: Identity, audit: Audit, made: SyntheticSet) -> list[Link]:
    checkpoint, job = synthetic_sets.checkpoint_of(session, made), jobs.get(session, who, audit.job_id)
    return [
        Link("Synthetic set", made.name, f"/synthetic-sets/{made.id}"),
        Link("Checkpoint", checkpoint.name, f"/checkpoints/{checkpoint.id}"),
        Link("Job", f"{job.id}, {job.title}", f"/jobs/{job.id}"),
    ]


def _script(audit: Audit) -> Script:
    return Script(
        client=(
            f"audit = studio.audits.get({audit.id})\nfor light in audit.lights:\n    print(light.name, light.state, light.sentence)\n"
            'print(audit.fidelity["extractors"][0]["whole"]["kid"])\n'
            "classifier = studio.train_classifier(audit.filtered, epochs=6).wait()   # without the copies"
        ),
        curl=f'curl -H "Authorization: Bearer $PHANTOM_TOKEN" $PHANTOM_URL/api/v1/audits/{audit.id}',
    )
