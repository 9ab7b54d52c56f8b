"""Watch a diffusion training for copies: draw at every interval, compare with the training images, say when to stop.

Each check draws from new noise of its own generators, so the training is bit for bit the one without. What was found, and the
averaged weights of the last check without copying, are part of the saved state: a training that was killed decides as
one that was not.
"""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from models import Checkpoint, Split
from models.specs import TrainDiffusionSpec
from models.specs.audit import mirrors_of
from workers.context import JobContext
from workers.jobs.arrays import LabelledImages, Source, load_images, real_sources
from workers.jobs.audit_images import learnt_by, look_alikes
from workers.jobs.evaluate import group_numbers
from workers.ml.diffusion.sampling import Guidance, sample_images
from workers.ml.diffusion.training import TrainingState, as_kept, denoiser_of, keep
from workers.ml.images import Uint8Images
from workers.ml.privacy.calibration import TooFewHeldOutError
from workers.ml.privacy.previews import CopyGauge, check_previews, copy_gauge, copying_began
from workers.ml.seeding import derive_seed

LEVEL = 0.001  # of unseen real images, as audits have it by default
PREVIEW_STEPS = 12
PREVIEW_GUIDANCE = Guidance(1.5)
PREVIEW_BATCH = 32
Check = dict[str, Any]


@dataclass
class CopyWatch:
    """checks: [{step, n, count, value, low, high, p_value, is_above}], by step."""

    context: JobContext
    spec: TrainDiffusionSpec
    num_classes: int
    gauge: CopyGauge
    checks: list[Check] = field(default_factory=list)

    def is_due(self, step: int) -> bool:
        """At every interval and at the end, once each; a check that an interruption cut short is made again."""
        known = self.checks[-1]["step"] if self.checks else 0
        return step > known and (step % self.spec.preview_every == 0 or step == self.spec.num_steps)

    @property
    def copying_began(self) -> bool:
        return copying_began(self.checks)

    def check(self, state: TrainingState) -> None:
        """Draw by the averaged weights, and keep these if no more copies are among the drawings than by chance."""
        found: Check = {"step": state.step, **check_previews(gauge=self.gauge, previews_uint8=self._draw(state))}
        self.checks.append(found)
        if not found["is_above"]:
            keep(state)
        floor = self.gauge.floor
        if found["n"]:
            self.context.metric(state.step, copy_rate=found["value"], copy_floor=floor["value"])
        self.context.log(
            f"Step {state.step:,}: {_counted(found)} images drawn are copies, against {_counted(floor)} unseen real ones"
            f"{': more than by chance.' if found['is_above'] else '.'}",
            level="warning" if found["is_above"] else "info",
        )

    def _draw(self, state: TrainingState) -> Uint8Images:
        num, parts = self.spec.copy_check_images, []
        for batch in sample_images(
            denoiser=denoiser_of(state), labels=np.arange(num) % self.num_classes, indices=np.arange(num),
            seed=derive_seed("copy check", self.spec.seed, state.step), guidance=PREVIEW_GUIDANCE, sampler="dpm++",
            num_steps=PREVIEW_STEPS, batch_size=PREVIEW_BATCH, device=self.context.device,
        ):  # fmt: skip
            parts.append(batch.images_uint8)
            self.context.check()
        return np.concatenate(parts)

    def last_without(self, state: TrainingState) -> TrainingState:
        """The network of the last check that found no copying; BadInputError if every one did."""
        if state.kept is None:
            raise BadInputError(
                f"Every check for copies found them, the first at step {self.checks[0]['step']:,}: there is no network from before "
                "copying began.",
                hint="Check more often (preview_every), learn more images, or turn stop_on_copies off.",
            )
        return as_kept(state)

    def report(self, *, step: int) -> dict[str, Any]:
        """JSON-able: why the network of `step` is the one that is kept, in a sentence, and all that it rests on."""
        gauge = self.gauge
        return {
            "sentence": self._sentence(step), "stopped_at": self.checks[-1]["step"] if self.copying_began else None,
            "num_steps": self.spec.num_steps, "checks": self.checks, "floor": gauge.floor, "level": LEVEL,
            "threshold": -gauge.calibration.threshold, "num_train": len(gauge.gallery), "num_held_out": gauge.calibration.num_held_out,
        }  # fmt: skip

    def _sentence(self, step: int) -> str:
        if not self.checks:
            return "It was stopped before the first check for copies."
        last, floor = self.checks[-1], self.gauge.floor
        if self.copying_began:
            return (
                f"Stopped at step {last['step']:,} of {self.spec.num_steps:,}: copying began. This is the network of step {step:,}, the last check "
                "before it."
            )
        said = f"{_counted(last)} images drawn were copies, against {_counted(floor)} unseen real ones"
        if last["is_above"]:
            return f"The last check, at step {last['step']:,}, raised an alarm that no further check could confirm: {said}. Audit what it draws."
        return f"No copying was found: at the last check, at step {last['step']:,}, {said}."


def _counted(rate: dict[str, Any]) -> str:
    return f"{rate['count']:,} of {rate['n']:,}"


def begin_watch(
    context: JobContext, spec: TrainDiffusionSpec, data: LabelledImages, *, classes: list[str], channels: int
) -> CopyWatch:
    """Calibrate on the validation images; test images decide nothing. BadInputError if these are too few to judge by."""
    with context.database.read() as session:
        learnt, held_out = _sides(session, spec, data.sources)
        numbers = look_alikes(session, [*learnt, *held_out])
    train_uint8, held_out_uint8 = (
        load_images(
            context, sources, image_size=spec.image_size, channels=channels, fit=spec.fit, what=f"{what} images"
        ).images_uint8
        if sources
        else data.images_uint8[:0]
        for sources, what in ((learnt, "training"), (held_out, "validation"))
    )
    clusters, held_out_clusters = (
        np.array([numbers[source.id] for source in sources], dtype=np.int64) for sources in (learnt, held_out)
    )
    try:
        gauge = copy_gauge(
            train_uint8=train_uint8, train_clusters=clusters, held_out_uint8=held_out_uint8, groups=group_numbers(held_out),
            known=np.isin(held_out_clusters, clusters), mirrors=tuple(mirrors_of(hflip=spec.hflip, vflip=spec.vflip)), level=LEVEL,
            seed=spec.seed,
        )  # fmt: skip
    except TooFewHeldOutError as error:
        raise BadInputError(
            f"Whether copying begins cannot be judged. {error}",
            hint="Split the dataset with a larger validation part, or turn stop_on_copies off.",
        ) from error
    context.log(
        f"Watching for copies: {spec.copy_check_images} images are drawn every {spec.preview_every:,} steps; {_counted(gauge.floor)} unseen real "
        "images lie beyond the threshold."
    )
    return CopyWatch(context, spec, len(classes), gauge)


def _sides(session: Session, spec: TrainDiffusionSpec, own: list[Source]) -> tuple[list[Source], list[Source]]:
    """Training images, those of earlier trainings too but none that is a test image by now, and unseen validation images."""
    assert spec.version_id is not None, "prepare() fills it in"
    learnt = {source.key: source for source in own}
    if spec.init_checkpoint_id is not None:
        for source in learnt_by(session, session.get_one(Checkpoint, spec.init_checkpoint_id))[0]:
            learnt.setdefault(source.key, source)
    locked = {source.key for source in real_sources(session, version_id=spec.version_id, split=Split.TEST)}
    validation = real_sources(session, version_id=spec.version_id, split=Split.VAL)
    return (
        [source for source in learnt.values() if source.key not in locked],
        [source for source in validation if source.key not in learnt],
    )
