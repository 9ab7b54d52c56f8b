"""How long a job will take and how much room it needs, before it starts.

The work is counted (costs.py) and divided by the speed that a worker measured of itself. Once jobs of the same kind
have ended on this machine, their own speed takes the place of the guess. The answer is a range, and says what it rests on.
"""

import math
import statistics
from collections.abc import Iterable
from dataclasses import dataclass, replace

from sqlalchemy import select
from sqlalchemy.orm import Session

from app.core import drawing
from app.services import costs
from app.services.audit_costs import AuditSize, audit_core_s
from app.services.costs import ADAM_EMA_BYTES, Cost
from models import (
    Checkpoint,
    Classifier,
    Dataset,
    DatasetVersion,
    Job,
    JobKind,
    JobState,
    Queue,
    Split,
    SyntheticSet,
    TrainOn,
    Upload,
    Worker,
    db_now,
)
from models.specs import (
    SPEC_OF,
    AuditSpec,
    CheckDatasetSpec,
    EvaluateSpec,
    ExplainSpec,
    ImportSpec,
    JobSpec,
    SamplePartSpec,
    SampleSpec,
    Sampling,
    SummariseStudySpec,
    TrainClassifierSpec,
    TrainDiffusionSpec,
)

SPREAD_GUESSED = 2.0  # a guess may be wrong by so much either way
SPREAD_MEASURED = 1.35
MOST_FINISHED = 7  # jobs that a measurement is taken from
ASSUMED_GFLOPS = 40.0  # one core of a common CPU, when no worker has said how fast it is
EFFICIENCY = 0.8  # share of the measured speed that whole networks reach: 0.87 measured for UNets, 1.1 for a ResNet-18
GPU_PASS_S = 0.006  # a small network's pass on a GPU takes as long as starting its kernels does
ALIKE = 4.0  # steps whose work differs by no more than this factor run at a like speed
PRIVATE_SLOWER = 2.4  # DP-SGD's steps, measured with the preset small at 32 px
PROCESS_BYTES = 700_000_000  # torch itself
START_S = 5.0  # loading libraries, decoding images
FILES_PER_S = 150.0
CHECK_BYTES_PER_IMAGE = 12_000  # tiles as floats, three times
CHECK_PASSES = 24  # of a look for copies in training: 12 steps, with and without the class
WORKER_ALIVE_S = 60
PLANTED_KINDS = 12  # six alterations, mild and moderate
LIKE = {JobKind.SAMPLE: (JobKind.SAMPLE, JobKind.SAMPLE_PART)}  # kinds whose speed tells of this one; else its own
AUDITED_BY = ("tf_efficientnet_lite0",)  # whose weights are always here; a second one may be


@dataclass(frozen=True)
class Estimate:
    """seconds_low and seconds_high span what is likely; basis says in words where the figures come from."""

    seconds_low: float
    seconds_high: float
    memory_bytes: int
    disk_bytes: int
    basis: str


@dataclass(frozen=True)
class Work:
    """What a job amounts to.

    macs: multiply-adds in all. steps: in the unit of the job's own rate. passes: runs of a network that must wait for
    each other. Bytes in memory and on disk. known: whether the architecture was counted, not assumed. core_s: seconds of one
    core that no network takes.
    """

    macs: float
    steps: float
    passes: float
    memory_bytes: int
    disk_bytes: int
    known: bool = True
    core_s: float = 0


@dataclass(frozen=True)
class Stand:
    """Rows that do not exist yet, as they will be: they stand for what the spec of a later job names."""

    version: DatasetVersion | None = (
        None  # where its id is named; it may be that of the version whose images are dealt anew
    )
    checkpoint: Checkpoint | None = None
    synthetic_set: SyntheticSet | None = None
    classifier: Classifier | None = None


NOTHING = Stand()


def estimate(session: Session, spec: JobSpec, stand: Stand = NOTHING) -> Estimate:
    """The estimate for a spec, whether or not what it names exists yet."""
    work = _work(session, spec, stand)
    if isinstance(spec, ImportSpec | CheckDatasetSpec | SummariseStudySpec):
        seconds = START_S + work.steps / FILES_PER_S
        return _between(seconds, SPREAD_GUESSED, work, f"{work.steps:,.0f} files at about {FILES_PER_S:.0f} a second")
    if isinstance(spec, AuditSpec):  # of many phases, whose rates differ
        return _from_finished_audits(session, work) or _from_the_worker(session, work)
    found = _from_finished_jobs(session, spec, work) or _from_the_worker(session, work)
    return _at_the_same_time(session, spec, found) if isinstance(spec, SampleSpec) else found


def _at_the_same_time(session: Session, spec: SampleSpec, alone: Estimate) -> Estimate:
    """Of a sampling in parts, if every GPU worker that is alive now takes one whenever it has none."""
    if spec.num_parts == 1:
        return alone
    alive = session.scalars(select(Worker.queues).where(Worker.seen_at > db_now(-WORKER_ALIVE_S)))
    workers = max(sum(Queue.GPU in queues for queues in alive), 1)
    share = math.ceil(spec.num_parts / workers) / spec.num_parts
    basis = f"{alone.basis}; {spec.num_parts} parts on {workers} GPU {'worker' if workers == 1 else 'workers'}, if they are free"
    return replace(alone, seconds_low=alone.seconds_low * share, seconds_high=alone.seconds_high * share, basis=basis)


def _between(seconds: float, spread: float, work: Work, basis: str) -> Estimate:
    return Estimate(seconds / spread, seconds * spread, work.memory_bytes, work.disk_bytes, basis)


def _from_the_worker(session: Session, work: Work) -> Estimate:
    """From the speed that the fastest worker alive has measured of itself."""
    seconds, device = _counted_s(session, work)
    basis = f"counted work on {device}" + ("" if work.known else "; this architecture counts as a ResNet-50")
    return _between(START_S + seconds, SPREAD_GUESSED, work, basis)


def _counted_s(session: Session, work: Work) -> tuple[float, str]:
    """(seconds, device) at the speed of the fastest worker alive, or of a common CPU."""
    alive = select(Worker).where(Worker.seen_at > db_now(-WORKER_ALIVE_S), Worker.gflops > 0)
    worker = session.scalar(alive.order_by(Worker.gflops.desc()).limit(1))
    gflops, device = (worker.gflops, worker.device) if worker is not None else (ASSUMED_GFLOPS, "a common CPU")
    seconds = work.macs / (gflops * 1e9 / 2 * EFFICIENCY)
    if device.startswith("cuda"):
        seconds = max(seconds, work.passes * GPU_PASS_S)
    return seconds + work.core_s, device


def _from_finished_audits(session: Session, work: Work) -> Estimate | None:
    """From how long the last audits took, beside what was counted for them."""
    query = select(Job).where(Job.kind == JobKind.AUDIT_SET, Job.state == JobState.SUCCEEDED)
    jobs = session.scalars(query.order_by(Job.id.desc()).limit(MOST_FINISHED)).all()
    ratios = [ratio for ratio in (_taken_to_counted(session, job) for job in jobs) if ratio is not None]
    if not ratios:
        return None
    seconds = START_S + _counted_s(session, work)[0] * statistics.median(ratios)
    basis = f"counted work, at the pace of {len(ratios)} finished {'audit' if len(ratios) == 1 else 'audits'}"
    return _between(seconds, SPREAD_MEASURED, work, basis)


def _taken_to_counted(session: Session, job: Job) -> float | None:
    """How many times longer a finished audit took than was counted; None if it was too short to tell, or is of an older form."""
    if job.started_at is None or job.finished_at is None:
        return None
    try:
        spec = AuditSpec.model_validate(job.spec)
    except ValueError:
        return None
    taken = (job.finished_at - job.started_at).total_seconds() - START_S
    counted = _counted_s(session, _work(session, spec))[0]
    return taken / counted if taken > 0 and counted > 0 else None


def _from_finished_jobs(session: Session, spec: JobSpec, work: Work) -> Estimate | None:
    """From what the last finished jobs of this kind made of their work; those with steps of like size, if there are any."""
    kinds = LIKE.get(spec.kind, (spec.kind,))
    query = select(Job).where(Job.kind.in_(kinds), Job.state == JobState.SUCCEEDED, Job.rate > 0)
    jobs = session.scalars(query.order_by(Job.id.desc()).limit(MOST_FINISHED)).all()
    speeds = [speed for speed in (_speed_of(session, job) for job in jobs) if speed is not None]
    if not speeds:
        return None
    per_step = work.macs / max(work.steps, 1)
    alike = [speed for speed, macs in speeds if per_step / ALIKE <= macs <= per_step * ALIKE]
    used = alike or [speed for speed, _ in speeds]
    basis = f"the speed of {len(used)} finished {'job' if len(used) == 1 else 'jobs'} of this kind"
    seconds = START_S + work.macs / statistics.median(used)
    return _between(seconds, SPREAD_MEASURED if alike else SPREAD_GUESSED, work, basis)


def _speed_of(session: Session, job: Job) -> tuple[float, float] | None:
    """(multiply-adds a second, multiply-adds a step) of a finished job; None if its spec is of an older form."""
    try:
        spec = SPEC_OF[job.kind].model_validate(job.spec)
    except ValueError:
        return None
    work = _work(session, spec)  # type: ignore[arg-type]  # SPEC_OF holds exactly the kinds of JobSpec
    if not (work.steps and work.macs and job.rate):
        return None
    return work.macs / work.steps * job.rate, work.macs / work.steps


def _work(session: Session, spec: JobSpec, stand: Stand = NOTHING) -> Work:
    match spec:
        case ImportSpec():
            return _import_work(session, spec)
        case CheckDatasetSpec():
            return _check_work(session, spec)
        case TrainDiffusionSpec():
            return _diffusion_work(session, spec, stand)
        case SampleSpec() | SamplePartSpec():
            return _sample_work(session, spec, stand)
        case TrainClassifierSpec():
            return _classifier_work(session, spec, stand)
        case EvaluateSpec():
            return _evaluate_work(session, spec, stand)
        case ExplainSpec():
            return _explain_work(session, spec, stand)
        case SummariseStudySpec():
            return Work(0, 1, 0, 300_000_000, 0)
        case AuditSpec():
            return _audit_work(session, spec, stand)


def _import_work(session: Session, spec: ImportSpec) -> Work:
    upload = session.get(Upload, spec.upload_id)
    files, size = (upload.num_files, upload.num_bytes) if upload is not None else (0, 0)
    return Work(0, files, 0, 200_000_000, 2 * size)


def _check_work(session: Session, spec: CheckDatasetSpec) -> Work:
    version = _version(session, spec.dataset_id, spec.version_id)
    number = version.num_images if version is not None else 0
    return Work(0, number, 0, 400_000_000 + number * CHECK_BYTES_PER_IMAGE, 0)


def _version(
    session: Session, dataset_id: int | None, version_id: int | None, stand: Stand = NOTHING
) -> DatasetVersion | None:
    if stand.version is not None and stand.version.id == version_id:
        return stand.version
    if version_id is not None:
        return session.get(DatasetVersion, version_id)
    query = select(DatasetVersion).join(Dataset, Dataset.id == DatasetVersion.dataset_id)
    return session.scalar(query.where(Dataset.id == dataset_id, DatasetVersion.number == Dataset.current_number))


def _num_images(version: DatasetVersion | None, split: Split) -> int:
    return sum(numbers.get(split, 0) for numbers in version.counts.values()) if version is not None else 1000


def _diffusion_work(session: Session, spec: TrainDiffusionSpec, stand: Stand) -> Work:
    version = _version(session, spec.dataset_id, spec.version_id, stand)
    channels, num_classes = (version.channels, len(version.classes)) if version is not None else (1, 4)
    cost = costs.unet(spec, channels=channels, num_classes=num_classes)
    passes = 4 if spec.gradient_checkpointing else 3  # a backward pass costs two forward passes
    pixels = _num_images(version, Split.TRAIN) * spec.image_size**2 * channels
    memory = PROCESS_BYTES + pixels + cost.parameters * ADAM_EMA_BYTES + _activation_bytes(spec, cost)
    slower = 1.0
    if spec.dp_epsilon is not None:  # a gradient for each image
        slower, memory = PRIVATE_SLOWER, memory + cost.parameters * 4 * spec.batch_size // spec.accumulation
    checkpoint = cost.parameters * 16
    checks = -(-spec.num_steps // spec.preview_every) * CHECK_PASSES if spec.stop_on_copies else 0
    return Work(
        macs=cost.macs * (passes * slower * spec.batch_size * spec.num_steps + checks * spec.copy_check_images),
        steps=spec.num_steps,
        passes=passes * spec.accumulation * spec.num_steps + checks,
        memory_bytes=memory,
        disk_bytes=3 * checkpoint + pixels,
    )


def _activation_bytes(spec: TrainDiffusionSpec, cost: Cost) -> int:
    kept = cost.activations * spec.batch_size / spec.accumulation
    return round(kept * (1.5 if spec.gradient_checkpointing else 4))


def _sample_work(session: Session, spec: Sampling, stand: Stand) -> Work:
    checkpoint = stand.checkpoint or session.get(Checkpoint, spec.checkpoint_id)
    if checkpoint is None:
        return Work(0, 0, 0, PROCESS_BYTES, 0)
    total = sum(drawing.counts_of(spec, checkpoint.classes))
    trained = _trained_with(checkpoint)
    cost = costs.unet(trained, channels=checkpoint.channels, num_classes=len(checkpoint.classes))
    guided = spec.guidance_stop - spec.guidance_start if spec.guidance > 1 else 0
    calls = spec.num_steps * (1 + guided) * (2 if spec.sampler == "heun" else 1)
    memory = PROCESS_BYTES + checkpoint.size + round(cost.activations * min(spec.batch_size, 64))
    pixels = checkpoint.image_size**2 * checkpoint.channels
    return Work(
        macs=cost.macs * calls * total,
        steps=total,
        passes=calls * total / 64,
        memory_bytes=memory,
        disk_bytes=round(total * (pixels * 0.8 + 1000)),
    )


def _trained_with(checkpoint: Checkpoint) -> TrainDiffusionSpec:
    """The spec a checkpoint was trained with; one that names no network counts as the preset of its size."""
    try:
        return TrainDiffusionSpec.model_validate(checkpoint.spec)
    except ValueError:
        return TrainDiffusionSpec.model_validate(
            {"dataset_id": 1, "preset": "tiny", "image_size": checkpoint.image_size // 8 * 8 or 8}
        )


def _classifier_work(session: Session, spec: TrainClassifierSpec, stand: Stand) -> Work:
    source = stand.synthetic_set or _named_set(session, spec.synthetic_set_id)
    version_id = spec.version_id or (source.version_id if source is not None and spec.dataset_id is None else None)
    version = _version(session, spec.dataset_id, version_id, stand)
    number = _num_train_images(spec, version, source)
    cost = costs.cnn(spec.architecture, input_size=spec.input_size)
    each = spec.steps_per_epoch or max(1, number // spec.batch_size)
    seen = spec.steps_per_epoch * spec.batch_size if spec.steps_per_epoch is not None else number
    each_epoch = 3 * seen + _num_images(version, Split.VAL)
    steps = spec.epochs * each
    macs = cost.macs * each_epoch * spec.epochs * costs.cnn_slowdown(spec.architecture)
    memory = PROCESS_BYTES + cost.parameters * 24 + round(cost.activations * 8 * spec.batch_size)
    known = costs.is_known_cnn(spec.architecture)
    return Work(macs, steps, 3 * steps, memory, cost.parameters * 20, known)


def _named_set(session: Session, set_id: int | None) -> SyntheticSet | None:
    return session.get(SyntheticSet, set_id) if set_id is not None else None


def _num_train_images(spec: TrainClassifierSpec, version: DatasetVersion | None, source: SyntheticSet | None) -> int:
    number = 0
    if spec.train_on != TrainOn.SYNTHETIC:
        number += _capped(
            version.counts.values() if version else [], spec.images_per_class, Split.TRAIN, spec.train_share
        )
    if source is not None:
        drawn = [round(n * spec.synthetic_share) for n in source.counts.values()]
        number += sum(min(n, spec.images_per_class or n) for n in drawn)
    return max(number, 1)


def _capped(counts: Iterable[dict[str, int]], most: int | None, split: Split, share: float) -> int:
    numbers = [round(of_class.get(split, 0) * share) for of_class in counts]
    return sum(min(n, most or n) for n in numbers)


def _evaluate_work(session: Session, spec: EvaluateSpec, stand: Stand) -> Work:
    classifier = stand.classifier or session.get(Classifier, spec.classifier_id)
    if classifier is None:
        return Work(0, 0, 0, PROCESS_BYTES, 0)
    version_id = spec.version_id or (classifier.version_id if spec.dataset_id is None else None)
    source = stand.synthetic_set or _named_set(session, spec.synthetic_set_id)
    version = _version(session, spec.dataset_id, version_id, stand)
    splits = list(Split) if spec.split == "all" else [Split(spec.split)]
    number = source.num_images if source is not None else sum(_num_images(version, split) for split in splits)
    return _prediction_work(classifier, number, number, spec.batch_size)


def _explain_work(session: Session, spec: ExplainSpec, stand: Stand) -> Work:
    classifier = stand.classifier or session.get(Classifier, spec.classifier_id)
    if classifier is None:
        return Work(0, 0, 0, PROCESS_BYTES, 0)
    images = len(spec.image_ids) + len(spec.uploaded_image_ids)
    curves = 2 * (spec.num_segments + 1)  # deletion and insertion, superpixel by superpixel
    copies = spec.num_samples * len(spec.seeds) + curves
    return _prediction_work(classifier, images * copies, images, spec.batch_size)


def _audit_work(session: Session, spec: AuditSpec, stand: Stand) -> Work:
    """Features of all images and the attack on the network, counted; comparing and searching, in seconds of one core."""
    source = stand.synthetic_set or _named_set(session, spec.synthetic_set_id)
    if source is None:
        return Work(0, 0, 0, PROCESS_BYTES, 0)
    version = _version(session, spec.dataset_id, spec.version_id or source.version_id, stand)
    real = [_num_images(version, split) for split in (Split.TRAIN, Split.VAL)]
    images, some = sum(real) + source.num_images, [min(number, spec.most_images) for number in real]
    networks = [costs.cnn(name, input_size=224) for name in spec.extractors or AUDITED_BY]
    macs = images * sum(network.macs for network in networks) * costs.cnn_slowdown(AUDITED_BY[0])
    attacked = sum(some) if spec.membership else 0
    checkpoint = stand.checkpoint or session.get(Checkpoint, source.checkpoint_id)
    passes = images / spec.batch_size * len(networks)
    if checkpoint is not None and attacked:
        unet = costs.unet(_trained_with(checkpoint), channels=checkpoint.channels, num_classes=len(checkpoint.classes))
        calls = len(spec.timesteps) * spec.num_draws
        macs += unet.macs * attacked * calls
        passes += calls * attacked / spec.batch_size
    activations = max(network.activations for network in networks) * 4 * spec.batch_size
    distances = 8 * max(*some, min(source.num_images, spec.most_images)) ** 2 * 3
    memory = PROCESS_BYTES + round(max(activations, distances)) + images * 1280 * 4
    size = AuditSize(
        synthetic=source.num_images, train=real[0], held_out=real[1], most=spec.most_images, planted=spec.num_planted * PLANTED_KINDS, side=source.image_size,
        channels=source.channels, num_classes=len(source.classes), num_extractors=len(networks), num_similar=spec.num_similar,
        has_mirrors=spec.mirrors is None or bool(spec.mirrors),
    )  # fmt: skip
    return Work(macs, images * len(networks) + attacked, passes, memory, 10_000_000, core_s=audit_core_s(size))


def _prediction_work(classifier: Classifier, predictions: int, steps: int, batch_size: int) -> Work:
    cost = costs.cnn(classifier.architecture, input_size=classifier.input_size)
    memory = PROCESS_BYTES + cost.parameters * 4 + round(cost.activations * 4 * batch_size)
    macs = cost.macs * predictions * costs.cnn_slowdown(classifier.architecture)
    passes, known = predictions / batch_size, costs.is_known_cnn(classifier.architecture)
    return Work(macs, steps, passes, memory, 200_000 * steps, known)
