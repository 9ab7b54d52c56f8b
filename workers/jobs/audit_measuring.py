"""The numerics of an audit, batch by batch, so that it can be cancelled and knows its time left."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.specs import AuditSpec
from workers.context import JobContext
from workers.jobs.audit_images import Chosen, Loaded
from workers.jobs.pace import Pace
from workers.ml.diffusion.denoisers import load_denoiser
from workers.ml.fidelity.comparison import FeatureSet, Settings
from workers.ml.fidelity.features import Extractor, default_architectures, extract_features, load_extractor
from workers.ml.fidelity.report import fidelity_report, measure_fidelity
from workers.ml.fidelity.variety import ImageSet, measure_variety
from workers.ml.privacy.audit import Features
from workers.ml.privacy.membership import denoising_losses, membership
from workers.ml.privacy.rates import nothing
from workers.ml.seeding import numpy_generator

CONFIDENCE = 0.95
LEAST_SIDE = 11  # px: the window of MS-SSIM
CPU_BATCH = 8
Report = dict[str, Any]


class Progress:
    """Counts images through all that is done with them. `step` hears the pulse of long computations: it may end the job."""

    def __init__(self, context: JobContext, total: int) -> None:
        self._context, self._total, self._done, self._pace, self._message = context, total, 0, Pace(0), ""

    def begin(self, message: str) -> None:
        """What is done from now on, in words."""
        self._message = message
        self.step(0)

    def step(self, num_images: int) -> None:
        self._done += num_images
        rate = self._pace.tick(self._done)
        self._context.report(self._done, self._total, message=self._message, rate=rate, unit="images")

    def finish(self) -> None:
        """All that was counted is done."""
        self._message = "Writing it down"
        self.step(self._total - self._done)


@dataclass(frozen=True)
class Sides:
    """The images of an audit, read. places: those that fidelity and membership are measured on, (K,) of each side."""

    synthetic: Loaded
    train: Loaded
    held_out: Loaded
    num_classes: int
    spec: AuditSpec
    context: JobContext
    progress: Progress

    def parts(self) -> dict[str, Loaded]:
        return {"synthetic": self.synthetic, "train": self.train, "held_out": self.held_out}

    @property
    def batch_size(self) -> int:
        """Images through a network at once. A CPU gains nothing by more, and could not be stopped between them."""
        return self.spec.batch_size if self.context.device.startswith("cuda") else min(self.spec.batch_size, CPU_BATCH)

    def some(self, side: Loaded) -> NDArray[np.int64]:
        """At most `most_images` places, drawn at random and kept in their order."""
        order = numpy_generator("audit", self.spec.seed).permutation(len(side))
        return np.sort(order[: self.spec.most_images]).astype(np.int64)


def architectures(context: JobContext, spec: AuditSpec) -> tuple[str, ...]:
    """Each once, the main one first."""
    return tuple(dict.fromkeys(spec.extractors or default_architectures(weights_dir=weights_dir(context))))


def weights_dir(context: JobContext) -> str | None:
    folder = context.settings.weights_dir
    return str(folder) if folder else None


def extract(sides: Sides, names: tuple[str, ...]) -> dict[str, tuple[Report, dict[str, NDArray[np.float32]]]]:
    """By extractor: what it is, and (N, D) features of each side."""
    found = {}
    for name in names:
        extractor = load_extractor(
            architecture=name, weights_dir=weights_dir(sides.context), device=sides.context.device
        )
        sides.progress.begin(f"Features by {name}")
        features = {side: _features(sides, extractor, images) for side, images in sides.parts().items()}
        found[name] = (extractor.to_json(), features)
    return found


def _features(sides: Sides, extractor: Extractor, images: Loaded) -> NDArray[np.float32]:
    parts = [np.empty((0, extractor.num_features), dtype=np.float32)]
    if not len(images):
        return parts[0]
    batches = extract_features(
        extractor=extractor, images_uint8=images.uint8, batch_size=sides.batch_size, device=sides.context.device
    )
    for batch in batches:
        parts.append(batch)
        sides.progress.step(len(batch))
    return np.concatenate(parts)


def fidelity(sides: Sides, found: dict[str, tuple[Report, dict[str, NDArray[np.float32]]]]) -> Report:
    """KID and the others, whole and by class, each beside the real-vs-real floor, for every extractor."""
    spec = sides.spec
    settings = Settings(
        k_precision=spec.k_precision, k_density=spec.k_density, num_halves=spec.num_halves, subset_size=spec.subset_size,
        num_subsets=spec.num_subsets, confidence=CONFIDENCE, seed=spec.seed,
    )  # fmt: skip
    told = []
    for name, (about, features) in found.items():
        sets = {side: _feature_set(sides, features[side], images) for side, images in sides.parts().items()}
        sections = []
        sides.progress.begin(f"Comparing features by {name}")
        for section in measure_fidelity(
            train=sets["train"], held_out=sets["held_out"] if len(sides.held_out) else None, fake=sets["synthetic"],
            num_classes=sides.num_classes, settings=settings,
        ):  # fmt: skip
            sections.append(section)
            sides.progress.begin(f"Comparing features by {name}: {section.done} of {section.total} parts done")
        told.append((about, sections))
    return fidelity_report(extractors=told, ms_ssim=_variety(sides), settings=settings)


def _feature_set(sides: Sides, features: NDArray[np.float32], images: Loaded) -> FeatureSet:
    return FeatureSet(features, images.labels, images.groups).of(sides.some(images))


def _variety(sides: Sides) -> dict[str, Report | None]:
    found: dict[str, Report | None] = {}
    for name, images in sides.parts().items():
        sides.progress.begin("Comparing images of one class")
        found[name] = None
        if len(images) and images.uint8.shape[1] >= LEAST_SIDE:
            some = sides.some(images)
            groups = None if images.groups is None else images.groups[some]
            found[name] = measure_variety(
                images=ImageSet(images.uint8[some], images.labels[some], groups), num_classes=sides.num_classes,
                num_pairs=sides.spec.num_similar, confidence=CONFIDENCE, seed=sides.spec.seed,
            )  # fmt: skip
    return found


def attack(sides: Sides, chosen: Chosen) -> Report:
    """Can the network's loss tell training images from held-out ones? Where it cannot be asked, why."""
    spec = sides.spec
    if not spec.membership:
        return nothing("It was not asked for.")
    if not chosen.was_learnt:
        return nothing("The network did not learn the images that the set is compared with.")
    if not len(sides.held_out):
        return nothing("There are no held-out images to tell training images from.")
    denoiser = load_denoiser(sides.context.storage.path(chosen.checkpoint.sha256), device=sides.context.device)
    sides.progress.begin("Attacking the network by its loss")
    losses, places = {}, {}
    for name, images in (("train", sides.train), ("held_out", sides.held_out)):
        places[name] = sides.some(images)
        parts = []
        for start in range(0, len(places[name]), sides.batch_size):
            rows = places[name][start : start + sides.batch_size]
            parts.append(
                denoising_losses(
                    network=denoiser.network, prediction=denoiser.prediction, images_uint8=images.uint8[rows],
                    labels=images.labels[rows], timesteps=tuple(spec.timesteps), num_draws=spec.num_draws,
                    batch_size=sides.batch_size, seed=spec.seed, device=sides.context.device,
                )
            )  # fmt: skip
            sides.progress.step(len(rows))
        losses[name] = np.concatenate(parts)
    train, held_out = sides.train, sides.held_out
    return membership(
        member_losses=losses["train"], held_out_losses=losses["held_out"], timesteps=tuple(spec.timesteps),
        member_labels=train.labels[places["train"]], held_out_labels=held_out.labels[places["held_out"]],
        member_groups=None if train.groups is None else train.groups[places["train"]],
        held_out_groups=None if held_out.groups is None else held_out.groups[places["held_out"]],
        num_bootstrap=spec.num_bootstrap, seed=spec.seed,
    )  # fmt: skip


def by_kind(found: dict[str, tuple[Report, dict[str, NDArray[np.float32]]]]) -> dict[str, Features]:
    """The same features for the search for copies."""
    return {
        name: Features(
            train=of["train"], held_out={"plain": of["held_out"]}, synthetic={"plain": of["synthetic"]}
        )
        for name, (_, of) in found.items()
    }  # fmt: skip
