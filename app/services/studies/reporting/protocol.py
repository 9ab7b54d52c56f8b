"""What a study does, in words: arms, networks, seeds, the equal number of steps, splits and the lock."""

from collections.abc import Iterator
from typing import Any

from sqlalchemy.orm import Session

from app.services.datasets import openings
from app.services.studies import planning
from app.services.studies.looking import Progress
from app.services.studies.reporting.document import Protocol
from app.services.studies.reporting.words import ARMS, listed, number
from models import Arm, DatasetVersion, JobKind, Split
from models.specs import StudySpec

PRESETS = {
    "studio": "studio: the version's own splits",
    "paper": "paper: split anew, 20 % are learnt, 10 % choose epochs, 70 % are tested on (arXiv 2412.16860)",
}


def protocol(session: Session, spec: StudySpec, version: DatasetVersion, so_far: Progress) -> Protocol:
    budget, drawn = planning.budget(spec, version), planning.synthetic_counts(spec, version)
    return Protocol(
        [ARMS[arm] for arm in spec.arms], list(_facts(session, spec, version, so_far)),
        [(name, budget[name], drawn[name] if _draws(so_far) else 0) for name in version.classes],
    )  # fmt: skip


def _facts(session: Session, spec: StudySpec, version: DatasetVersion, so_far: Progress) -> Iterator[tuple[str, str]]:
    yield "Preset", PRESETS[spec.preset]
    yield "Networks", ", ".join(spec.architectures)
    yield "Seeds of the classifiers", ", ".join(map(str, spec.seeds))
    if training := training_of(so_far):
        yield "Training of the classifiers", training
    if Arm.REAL_AUGMENTED in spec.arms:
        diffusion = spec.diffusion_spec()
        mirrors = [name for name, on in (("left-right", diffusion.hflip), ("top-bottom", diffusion.vflip)) if on]
        yield (
            "Augmentation of the augmented arm",
            f"{spec.augmentation}; mirrored {listed(mirrors) if mirrors else 'not at all'}",
        )
    yield from _drawing(spec, so_far)
    yield "Choice of the epoch", "on real validation images, in every arm"
    yield (
        "Test",
        (
            f"{number(openings.num_test_images(version), 'real image')} of the split {Split.TEST}, which no training and no choice of an epoch sees; the same for all arms"
        ),
    )
    yield "Other datasets tested on", _external(spec)
    yield "Test images looked at", _looks(session, version)
    yield (
        "Intervals and tests",
        (
            f"95 %; {spec.num_bootstrap:,} bootstrap resamples of whole groups (images of one patient where known, copies and look-alikes together), of images where there are none; one test a row, "
            "of balanced accuracy against the reference, corrected after Holm; all other p-values only describe"
        ),
    )


def _drawing(spec: StudySpec, so_far: Progress) -> Iterator[tuple[str, str]]:
    if not _draws(so_far):
        yield "Diffusion network", "none: no arm needs synthetic images"
        return
    diffusion, sizes = spec.diffusion_spec(), ", ".join(f"{size:g}" for size in sorted(spec.sizes))
    told = f"one training: preset {diffusion.preset}, {diffusion.image_size} px, {diffusion.num_steps:,} steps, seed {diffusion.seed}"
    yield "Diffusion network", f"{told}, {100 * diffusion.train_share:g} % of the training split"
    multiples = "multiples of the images asked for in sampling; smaller sets are the first part of the largest"
    yield "Sizes of the synthetic set", f"{sizes} ({multiples})"
    drawn = [f"{each.step.cell[planning.DRAWN]:g}" for each in so_far.steps if each.job.kind == JobKind.SAMPLE]
    if len(drawn) > 1:
        told = "each continues the one before and was audited by itself; a size learns the first part of the smallest that holds it"
        yield "Drawn when it was extended", f"sets of the sizes {', '.join(drawn)}: {told}"


def _draws(so_far: Progress) -> bool:
    return any(step.job.kind == JobKind.SAMPLE for step in so_far.steps)


def training_of(so_far: Progress) -> str:
    """How every classifier is trained, as the study gives all of them the same options; empty where it trains none."""
    first = next((each.job.spec for each in so_far.steps if each.job.kind == JobKind.TRAIN_CLASSIFIER), None)
    return _training(first) if first is not None else ""


def _training(spec: dict[str, Any]) -> str:
    epochs, steps = spec["epochs"], spec.get("steps_per_epoch")
    told = number(epochs, "epoch")
    if steps:
        told += f" of {number(steps, 'step')}: {number(epochs * steps, 'optimiser step')} in every arm"
    weights = "begun from weights of ImageNet" if spec.get("pretrained") else "begun from random weights"
    return f"{told}, batches of {spec['batch_size']:,}, {weights}; the same options for all arms"


def _external(spec: StudySpec) -> str:
    named = [f"{name} (dataset {each.dataset_id}, version {each.version_id})" for name, each in spec.external.items()]
    return ", ".join(named) or "none"


def _looks(session: Session, version: DatasetVersion) -> str:
    lock = openings.lock(session, version)
    state = "locked" if lock.is_locked else "open"
    return f"{number(lock.num_openings, 'time')} so far, by evaluations, explanations and people, over all versions of the dataset; {state} now"
