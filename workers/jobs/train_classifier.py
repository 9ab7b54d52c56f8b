"""Train a classifier on real, synthetic or both kinds of images; the best epoch is chosen on real validation images.

Real images are reduced to the resolution of the synthetic ones before they are enlarged for the network, so that an arm
trained on real images has no detail that the other cannot have.
"""

import functools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.core.errors import BadInputError
from app.core.images import Fit
from models import Artifact, Classifier, DatasetVersion, Job, Split, TrainOn
from models.specs import TrainClassifierSpec
from workers.context import JobContext, Recorder
from workers.jobs.arrays import (
    LabelledImages,
    Source,
    join,
    load_images,
    real_sources,
    synthetic_sources,
)
from workers.jobs.diffusion_start import newest_checkpoint
from workers.jobs.pace import Allowance, Pace
from workers.jobs.problems import explained
from workers.jobs.subsets import at_most_per_class, first_share, share_by_groups
from workers.ml import checkpoints
from workers.ml.classification import prediction, training
from workers.ml.classification.batches import num_batches
from workers.ml.classification.networks import build_classifier
from workers.ml.classification.state import (
    ClassifierState,
    EpochRecord,
    StepRecord,
    load_classifier_state,
    new_classifier_state,
    save_classifier_state,
)
from workers.ml.seeding import numpy_generator

MOST_POINTS = 2000
NOT_IN_THE_NETWORK = {"dataset_id", "version_id", "synthetic_set_id", "name", "accept_leaks"}


@dataclass
class Training:
    """One attempt. mid_epoch: the state cannot be saved between the steps of an epoch."""

    context: JobContext
    spec: TrainClassifierSpec
    classes: list[str]
    train: LabelledImages
    val: LabelledImages
    state: ClassifierState
    saved_epoch: int
    saving: Allowance
    mid_epoch: bool = False

    @property
    def folder(self) -> Path:
        return self.context.folder / "checkpoints"


def run(context: JobContext, spec: TrainClassifierSpec) -> Recorder:
    with explained(lower="batch_size or input_size"):
        job = _begin(context, spec)
        context.on_interrupt(functools.partial(_save, job))
        _train(job)
        return _finish(job)


def _begin(context: JobContext, spec: TrainClassifierSpec) -> Training:
    with context.database.read() as session:
        version = session.get_one(DatasetVersion, spec.version_id)
        classes, channels = list(version.classes), version.channels
        val = real_sources(session, version_id=version.id, split=Split.VAL)
        lots = _lots(session, spec)
    load = functools.partial(_load, context, spec, channels)
    train = join([load(sources, what) for what, sources in lots.items()])
    checkpoints.remove_leftovers(context.folder / "checkpoints")
    state = _resume(context, spec, len(train.labels)) or _new_state(
        context, spec, channels=channels, num_classes=len(classes)
    )
    used = " and ".join(f"{len(sources):,} {what}" for what, sources in lots.items())
    context.log(f"Learning from {used}; {len(val):,} real validation images. Weights: {state.built.source}.")
    return Training(context, spec, classes, train, load(val, "validation images"), state, state.epoch, Allowance())


def _lots(session: Session, spec: TrainClassifierSpec) -> dict[str, list[Source]]:
    """{what: the images to learn from}."""
    lots: dict[str, list[Source]] = {}
    if spec.train_on != TrainOn.SYNTHETIC:
        assert spec.version_id is not None, "prepare() fills it in"
        real = real_sources(session, version_id=spec.version_id, split=Split.TRAIN)
        lots["real images"] = share_by_groups(real, spec.train_share)
    if spec.train_on != TrainOn.REAL:
        assert spec.synthetic_set_id is not None, "the spec's own check"
        synthetic = synthetic_sources(session, set_id=spec.synthetic_set_id)
        lots["synthetic images"] = first_share(synthetic, spec.synthetic_share)
    chosen = {}
    for what, sources in lots.items():
        chosen[what] = at_most_per_class(sources, spec.images_per_class, rng=numpy_generator("subset", what, spec.seed))
    return chosen


def _load(
    context: JobContext, spec: TrainClassifierSpec, channels: int, sources: list[Source], what: str
) -> LabelledImages:
    return load_images(context, sources, image_size=image_size_of(spec), channels=channels, fit=fit_of(spec), what=what)


def image_size_of(spec: TrainClassifierSpec) -> int:
    return spec.image_size or spec.input_size


def fit_of(spec: TrainClassifierSpec) -> Fit:
    return spec.fit or "pad"


def _new_state(context: JobContext, spec: TrainClassifierSpec, *, channels: int, num_classes: int) -> ClassifierState:
    weights = context.settings.weights_dir
    context.report(0, message=f"Building {spec.architecture}")
    built = build_classifier(
        architecture=spec.architecture, num_classes=num_classes, channels=channels, pretrained=spec.pretrained,
        weights_dir=str(weights) if weights else None, seed=spec.seed,
    )  # fmt: skip
    return new_classifier_state(built=built, weight_decay=spec.weight_decay, seed=spec.seed, device=context.device)


def _resume(context: JobContext, spec: TrainClassifierSpec, num_images: int) -> ClassifierState | None:
    path = newest_checkpoint(context)
    if path is None:
        return None
    state, extra = load_classifier_state(path, weight_decay=spec.weight_decay, device=context.device)
    if extra != _extra(spec):
        raise BadInputError(
            f"The checkpoint {path.name} was written for other options than this job's.",
            hint="Ask for a new job with the same settings.",
        )
    steps = spec.steps_per_epoch or num_batches(num_images=num_images, batch_size=spec.batch_size)
    context.resumed_from(state.epoch * steps)
    return state


def _extra(spec: TrainClassifierSpec) -> dict[str, Any]:
    return {"spec": json.loads(spec.model_dump_json())}


def _save(job: Training) -> None:
    """Write a checkpoint after an epoch; in the midst of one there is nothing to save."""
    if job.mid_epoch or job.saved_epoch == job.state.epoch:
        return
    with job.saving:
        path = job.folder / checkpoints.checkpoint_name(job.state.epoch)
        save_classifier_state(path, state=job.state, extra=_extra(job.spec))
        checkpoints.prune(job.folder, 2)
    job.saved_epoch = job.state.epoch


def _train(job: Training) -> None:
    context, pace = job.context, None
    for record in _records(job):
        job.mid_epoch = isinstance(record, StepRecord)
        if isinstance(record, StepRecord):
            pace = pace or Pace(record.done - 1)
            _note_step(job, record, pace.tick(record.done))
        else:
            _note_epoch(job, record)
            if job.saving.is_affordable and record.epoch < record.num_epochs:
                _save(job)
            context.check()
        if context.should_stop and job.state.epoch:
            context.log(
                f"Stopped after epoch {job.state.epoch} of {job.spec.epochs}, as asked; the best so far is kept."
            )
            return


def _note_step(job: Training, record: StepRecord, rate: float) -> None:
    if record.done % max(1, record.total // MOST_POINTS) == 0:
        job.context.metric(record.done, loss=record.loss, lr=record.lr, images_per_s=rate * record.num_images)
    message = (
        f"Epoch {record.epoch} of {job.spec.epochs}, loss {record.loss:.3f}, {rate * record.num_images:.0f} images/s"
    )
    job.context.report(record.done, record.total, message=message, rate=rate, unit="steps")


def _note_epoch(job: Training, record: EpochRecord) -> None:
    job.context.metric(
        record.epoch,
        train_loss=record.train_loss,
        val_loss=record.val_loss,
        val_accuracy=record.val_accuracy,
        val_balanced_accuracy=record.val_balanced_accuracy,
    )
    job.context.log(
        f"Epoch {record.epoch} of {record.num_epochs}: loss {record.train_loss:.3f}, on real validation images loss "
        f"{record.val_loss:.3f} and balanced accuracy {record.val_balanced_accuracy:.3f}."
    )


def _records(job: Training) -> Iterator[StepRecord | EpochRecord]:
    spec = job.spec
    return training.train_classifier(
        state=job.state,
        images_uint8=job.train.images_uint8,
        labels=job.train.labels,
        val_images_uint8=job.val.images_uint8,
        val_labels=job.val.labels,
        num_epochs=spec.epochs,
        batch_size=spec.batch_size,
        lr=spec.lr,
        label_smoothing=spec.label_smoothing,
        augment=spec.augment,
        hflip=spec.hflip,
        vflip=spec.vflip,
        input_size=spec.input_size,
        class_balanced=spec.class_balanced,
        steps_per_epoch=spec.steps_per_epoch,
        precision=_precision(spec.precision, job.context.device),
    )


def _precision(wanted: str, device: str) -> str:
    if wanted == "bf16" and device == "cpu":
        raise ValueError("precision bf16 is for CUDA devices; choose auto or fp32 on a CPU.")
    if wanted == "auto":
        return "fp32" if device == "cpu" else "bf16"
    return wanted


def _finish(job: Training) -> Recorder:
    state, spec = job.state, job.spec
    path = job.context.folder / "network.safetensors"
    sha256 = prediction.export_classifier(
        path, built=state.built, tensors=state.best_tensors, classes=job.classes, input_size=spec.input_size,
        image_size=image_size_of(spec), metadata=_metadata(spec),
    )  # fmt: skip
    stored = job.context.storage.put(path)
    assert stored.sha256 == sha256, f"{path} changed while it was copied"
    return functools.partial(_record, job, stored.sha256, stored.size)


def _metadata(spec: TrainClassifierSpec) -> dict[str, Any]:
    """What goes into the network's file, beside what it needs: nothing that differs between two makings."""
    return {"fit": fit_of(spec), "spec": spec.model_dump(mode="json", exclude=NOT_IN_THE_NETWORK)}


def _record(job: Training, sha256: str, size: int, session: Session, row: Job) -> dict[str, Any]:
    spec, state = job.spec, job.state
    assert state.best is not None, "an epoch has ended"
    classifier = Classifier(
        project_id=row.project_id, job_id=row.id, version_id=spec.version_id, synthetic_set_id=spec.synthetic_set_id,
        name=spec.name, architecture=spec.architecture, train_on=spec.train_on, weights_source=state.built.source[:300],
        image_size=image_size_of(spec), input_size=spec.input_size, channels=state.built.channels, classes=job.classes,
        num_train_images=len(job.train.labels), best_epoch=state.best.epoch,
        val_balanced_accuracy=state.best.val_balanced_accuracy,
        num_parameters=int(sum(np.prod(p.shape) for p in state.built.network.parameters())), size=size, sha256=sha256,
        spec=spec.model_dump(mode="json"),
    )  # fmt: skip
    session.add(classifier)
    session.add(
        Artifact(
            job_id=row.id, role="classifier", index=0, name="network.safetensors",
            media_type="application/octet-stream", size=size, sha256=sha256, data={"epoch": state.best.epoch},
        )
    )  # fmt: skip
    session.flush()
    return {"classifier_id": classifier.id}
