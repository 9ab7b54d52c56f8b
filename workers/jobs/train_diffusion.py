"""Train a diffusion network on the training split of a dataset.

The network that comes out depends on the spec and the images alone, not on when, where and how often the job was
interrupted: its file has the same bytes. So previews draw from generators of their own, and the file's metadata
names neither job nor time. A differentially private training is the exception: its noise is a secret, drawn anew for each.
"""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy.orm import Session

from app.core import naming
from models import Artifact, Checkpoint, DatasetVersion, Job, Split
from models.specs import TrainDiffusionSpec
from workers.context import JobContext, Recorder
from workers.jobs import guarantee
from workers.jobs.arrays import LabelledImages, load_images, real_sources
from workers.jobs.copy_watch import PREVIEW_BATCH, PREVIEW_GUIDANCE, PREVIEW_STEPS, CopyWatch, begin_watch
from workers.jobs.diffusion_start import identity, network_config, new_state, num_parameters, resume, seed_everything
from workers.jobs.pace import Allowance, Pace
from workers.jobs.problems import explained
from workers.jobs.sheets import publish_sheet
from workers.jobs.subsets import share_by_groups
from workers.ml import checkpoints
from workers.ml.diffusion import training
from workers.ml.diffusion.sampling import sample_images
from workers.ml.diffusion.training import Privacy, TrainingState, TrainStep
from workers.ml.seeding import derive_seed

KEPT_CHECKPOINTS = 2
MOST_POINTS = 2000  # of the loss curve
LOWER = "batch_size, image_size or block_channels, raise accumulation, or turn on gradient_checkpointing"
NOT_IN_THE_NETWORK = {
    "dataset_id",
    "version_id",
    "init_checkpoint_id",
    "preview_every",
    "previews_per_class",
    "checkpoint_every",
    "stop_on_copies",
    "copy_check_images",
    "dp_epsilon",  # the guarantee says more
    "dp_delta",
    "dp_max_grad_norm",
}


@dataclass
class Training:
    """One attempt: what is trained on what, and what was last saved."""

    context: JobContext
    spec: TrainDiffusionSpec
    dataset: str
    classes: list[str]
    manifest_sha256: str
    data: LabelledImages
    state: TrainingState
    resumed: bool
    saved_step: int | None
    privacy: Privacy | None
    watch: CopyWatch | None
    drawing: Allowance = field(default_factory=Allowance)

    @property
    def folder(self) -> Path:
        return self.context.folder / "checkpoints"


def run(context: JobContext, spec: TrainDiffusionSpec) -> Recorder:
    with explained(lower=LOWER):
        job = _begin(context, spec)
        context.on_interrupt(functools.partial(_save, job))
        if not job.resumed:
            _preview(job)
        _train(job)
        return _finish(job)


def _begin(context: JobContext, spec: TrainDiffusionSpec) -> Training:
    with context.database.read() as session:
        version = session.get_one(DatasetVersion, spec.version_id)
        dataset, classes, channels = version.dataset.name, list(version.classes), version.channels
        manifest = version.manifest_sha256
        all_sources = real_sources(session, version_id=version.id, split=Split.TRAIN)
    sources = share_by_groups(all_sources, spec.train_share)
    data = load_images(
        context, sources, image_size=spec.image_size, channels=channels, fit=spec.fit, what="training images"
    )
    watch = begin_watch(context, spec, data, classes=classes, channels=channels) if spec.stop_on_copies else None
    checkpoints.remove_leftovers(context.folder / "checkpoints")
    seed_everything(spec.seed)
    resumed = resume(context, spec, manifest)
    if resumed is not None and watch is not None:
        watch.checks = resumed[1].get("copy_checks", [])
    config = network_config(spec, channels=channels, num_classes=len(classes))
    state = resumed[0] if resumed is not None else new_state(context, spec, config)
    context.log(
        f"{len(data.labels):,} training images of {len(classes)} classes at {spec.image_size} px on {context.device}; "
        f"network of {num_parameters(state):,} parameters."
    )
    privacy = guarantee.privacy_of(spec, num_images=len(data.labels))
    if privacy is not None:
        context.log(
            f"Noise of {privacy.noise_multiplier:.3f} clips keeps epsilon at {spec.dp_epsilon:g} over all steps."
        )
    return Training(
        context, spec, dataset, classes, manifest, data, state, resumed is not None, state.step if resumed else None,
        privacy, watch,
    )  # fmt: skip


def _save(job: Training) -> None:
    """Write a checkpoint of the present step, unless it is there already."""
    if job.saved_step == job.state.step:
        return
    path = job.folder / checkpoints.checkpoint_name(job.state.step)
    checks = job.watch.checks if job.watch is not None else []
    training.save_training_state(job.state, path, {**identity(job.spec, job.manifest_sha256), "copy_checks": checks})
    checkpoints.prune(job.folder, KEPT_CHECKPOINTS)
    job.saved_step = job.state.step


def _train(job: Training) -> None:
    context, spec = job.context, job.spec
    pace = Pace(job.state.step)
    every = max(1, spec.num_steps // MOST_POINTS)
    losses: list[float] = []
    if _copying_began(job):  # an interruption came before or while it was noticed
        return
    for step in _steps(job):
        rate = pace.tick(step.done)
        losses.append(step.loss)
        if step.done % every == 0:
            _note(context, step, float(np.mean(losses)), rate * step.num_images)
            losses.clear()
        if _copying_began(job):
            context.report(step.done, step.total, message="Copying began")
            return
        if step.done % spec.checkpoint_every == 0 and step.done < step.total:
            _save(job)
        if step.done % spec.preview_every == 0 and step.done < step.total and job.drawing.is_affordable:
            _preview(job)
        message = f"Loss {step.loss:.4f}, {rate * step.num_images:.0f} images/s"
        context.report(step.done, step.total, message=message, rate=rate, unit="steps")
        if context.should_stop:
            context.log(f"Stopped at step {step.done:,} of {step.total:,}, as asked.")
            return


def _copying_began(job: Training) -> bool:
    """Check for copies where that is due; whether it is time to stop."""
    if job.watch is None:
        return False
    if job.watch.is_due(job.state.step):
        job.watch.check(job.state)
    return job.watch.copying_began


def _steps(job: Training) -> Iterator[TrainStep]:
    spec = job.spec
    return training.train_diffusion(
        state=job.state,
        images_uint8=job.data.images_uint8,
        labels=job.data.labels,
        num_steps=spec.num_steps,
        batch_size=spec.batch_size,
        lr=spec.lr,
        warmup_steps=spec.warmup_steps,
        weight_decay=spec.weight_decay,
        ema_decay=spec.ema_decay,
        prediction=spec.prediction,
        label_dropout=spec.label_dropout,
        min_snr_gamma=spec.min_snr_gamma,
        hflip=spec.hflip,
        vflip=spec.vflip,
        class_balanced=spec.class_balanced,
        precision=spec.precision,
        accumulation=spec.accumulation,
        gradient_checkpointing=spec.gradient_checkpointing,
        seed=spec.seed,
        privacy=job.privacy,
    )


def _note(context: JobContext, step: TrainStep, loss: float, images_per_s: float) -> None:
    context.metric(step.done, loss=loss, lr=step.lr, grad_norm=step.grad_norm, images_per_s=images_per_s)


def _preview(job: Training) -> None:
    """Draw every class from the same noise as ever, by the averaged weights; one sheet, a row for each class."""
    columns, num_classes = job.spec.previews_per_class, len(job.classes)
    with job.drawing:
        batches = sample_images(
            denoiser=training.denoiser_of(job.state),
            labels=np.repeat(np.arange(num_classes), columns),
            indices=np.arange(num_classes * columns),
            seed=derive_seed("preview", job.spec.seed),
            guidance=PREVIEW_GUIDANCE,
            sampler="dpm++",
            num_steps=PREVIEW_STEPS,
            batch_size=PREVIEW_BATCH,
            device=job.context.device,
        )
        images = np.concatenate([batch.images_uint8 for batch in batches])
        publish_sheet(job.context, images, step=job.state.step, classes=job.classes, columns=columns)


def _finish(job: Training) -> Recorder:
    if job.watch is not None:
        if job.watch.copying_began:
            job.state = job.watch.last_without(job.state)
        job.context.log(job.watch.report(step=job.state.step)["sentence"])
    _preview(job)
    path = job.context.folder / "network.safetensors"
    sha256 = training.export_denoiser(path, state=job.state, metadata=_metadata(job))
    stored = job.context.storage.put(path)
    assert stored.sha256 == sha256, f"{path} changed while it was copied"
    return functools.partial(_record, job, stored.sha256, stored.size)


def _metadata(job: Training) -> dict[str, Any]:
    """What goes into the network's file: how it was made, and nothing that differs between two makings."""
    promised = _guarantee(job)
    return {
        **({"guarantee": promised} if promised is not None else {}),
        "classes": job.classes,
        "manifest_sha256": job.manifest_sha256,
        "spec": job.spec.model_dump(mode="json", exclude=NOT_IN_THE_NETWORK),
    }


def _guarantee(job: Training) -> dict[str, Any] | None:
    if job.privacy is None:
        return None
    return guarantee.guarantee(job.spec, job.privacy, num_images=len(job.data.labels), num_steps=job.state.step)


def _record(job: Training, sha256: str, size: int, session: Session, row: Job) -> dict[str, Any]:
    spec, state = job.spec, job.state
    checkpoint = Checkpoint(
        project_id=row.project_id, job_id=row.id, version_id=spec.version_id,
        name=naming.checkpoint(job.dataset, preset=spec.preset, image_size=spec.image_size, num_steps=state.step),
        image_size=spec.image_size, channels=state.config.channels, classes=job.classes, num_steps=state.step,
        num_parameters=num_parameters(state), size=size, sha256=sha256, spec=spec.model_dump(mode="json"),
        guarantee=_guarantee(job),
        copy_watch=job.watch.report(step=state.step) if job.watch is not None else None,
    )  # fmt: skip
    session.add(checkpoint)
    session.add(
        Artifact(
            job_id=row.id, role="checkpoint", index=0, name="network.safetensors",
            media_type="application/octet-stream", size=size, sha256=sha256, data={"step": state.step},
        )
    )  # fmt: skip
    session.flush()
    return {"checkpoint_id": checkpoint.id}
