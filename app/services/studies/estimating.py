"""What a study would take, before it is launched: the sum over its steps that are not there already."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.orm import Session

from app.core import architectures
from app.services import estimates, prepare
from app.services.datasets import splitting
from app.services.estimates import Estimate, Stand
from app.services.identity import Identity
from app.services.studies import explaining, external, launching, planning, reusing
from app.services.studies.planning import Planned
from models import Checkpoint, Classifier, DatasetVersion, JobKind, Split, SyntheticSet
from models.specs import SPEC_OF, StudySpec, TrainDiffusionSpec
from models.specs.study import PAPER_SPLIT


@dataclass(frozen=True)
class StudyEstimate:
    """num_jobs: all but the table; num_reused of them are there already. Seconds of one worker, one job after the other."""

    num_jobs: int
    num_reused: int
    seconds_low: float
    seconds_high: float
    memory_bytes: int
    disk_bytes: int
    basis: str


def estimate(session: Session, who: Identity, spec: StudySpec) -> StudyEstimate:
    """Raises what launching the study would raise; under the paper's protocol images that training knows are found at launch
    only, unless the version that it gives is there.
    """
    architectures.need_known(spec.architectures, pointer="/architectures")
    version = prepare.ready_version(session, who, spec.dataset_id, spec.version_id)
    if spec.preset == "paper":
        version, is_there = splitting.foresee(session, version, PAPER_SPLIT)
        if not is_there:
            return _on_new_version(session, who, spec, version)
    launching.check(session, who, spec, version)
    external.need_unseen(session, who, spec, version)
    spec = spec.model_copy(update={"external": external.named(session, who, spec)})
    planned = explaining.steps(session, spec, version)
    known = reusing.found(session, who, planned)
    missing = [step for step in planned if step.name not in known]
    return of_steps(session, spec, version, planned, missing)


def _on_new_version(session: Session, who: Identity, spec: StudySpec, version: DatasetVersion) -> StudyEstimate:
    """Of a version that is no row yet, so nothing that was made of it is there. Of the images to explain, the number counts."""
    launching.check(session, who, spec, version)
    num_tested = sum(counts[Split.TEST] for counts in version.counts.values())
    num_explained = min(spec.explanations.num_images, num_tested) if spec.explanations is not None else 0
    planned = planning.steps(spec, version, image_ids=range(1, num_explained + 1))
    return of_steps(session, spec, version, planned, planned)


def of_steps(
    session: Session, spec: StudySpec, version: DatasetVersion, planned: Sequence[Planned], missing: Sequence[Planned]
) -> StudyEstimate:
    """What the missing ones of the planned steps take."""
    found = [_step(session, spec, version, step) for step in missing]
    return StudyEstimate(
        num_jobs=len(planned), num_reused=len(planned) - len(missing),
        seconds_low=sum(each.seconds_low for each in found), seconds_high=sum(each.seconds_high for each in found),
        memory_bytes=max((each.memory_bytes for each in found), default=0), disk_bytes=sum(each.disk_bytes for each in found),
        basis=found[0].basis if found else "everything is there already",
    )  # fmt: skip


def _step(session: Session, spec: StudySpec, version: DatasetVersion, step: Planned) -> Estimate:
    """Of one step, with what it needs as it will be made."""
    filled = SPEC_OF[step.kind].model_validate({**step.draft, **dict.fromkeys(step.needs, 0)})
    diffusion = spec.diffusion_spec(version_id=version.id)
    needs_network = step.kind in (JobKind.SAMPLE, JobKind.AUDIT_SET)
    needs_set = step.kind != JobKind.SAMPLE and "synthetic_set_id" in step.needs
    is_of_classifier = step.kind in (JobKind.EVALUATE, JobKind.EXPLAIN)
    stand = Stand(
        version=version,
        checkpoint=_checkpoint(diffusion, version) if needs_network else None,
        synthetic_set=_synthetic_set(spec, version, size=step.cell.get(planning.DRAWN)) if needs_set else None,
        classifier=_classifier(spec, version, step) if is_of_classifier else None,
    )
    return estimates.estimate(session, filled, stand)  # type: ignore[arg-type]  # SPEC_OF holds exactly the kinds of JobSpec


def _checkpoint(diffusion: TrainDiffusionSpec, version: DatasetVersion) -> Checkpoint:
    return Checkpoint(
        classes=version.classes, channels=version.channels, image_size=diffusion.image_size, spec=diffusion.model_dump(mode="json"),
        size=0,
    )  # fmt: skip


def _synthetic_set(spec: StudySpec, version: DatasetVersion, *, size: float | None) -> SyntheticSet:
    counts = planning.synthetic_counts(spec, version, size=size)
    return SyntheticSet(
        counts=counts, num_images=sum(counts.values()), version_id=version.id, classes=version.classes, channels=version.channels,
        image_size=spec.diffusion_spec().image_size,
    )  # fmt: skip


def _classifier(spec: StudySpec, version: DatasetVersion, step: Planned) -> Classifier:
    return Classifier(
        architecture=step.cell["architecture"], input_size=spec.classifier_spec().input_size, version_id=version.id
    )
