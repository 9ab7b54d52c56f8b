"""What a study does not show, said of this one: seeds, one diffusion training, patients, test images, and what failed."""

from collections.abc import Iterator

from sqlalchemy.orm import Session

from app.services.studies.looking import Progress
from app.services.studies.reporting.document import Data
from app.services.studies.reporting.measured import Baselines
from app.services.studies.reporting.patients import patients_of
from app.services.studies.reporting.results import title_of
from app.services.studies.reporting.seen import seen_of
from app.services.studies.reporting.values import Figure
from app.services.studies.reporting.words import listed, number
from models import DatasetVersion, JobState, Split, Study
from models.specs import StudySpec
from models.specs.study import SIZED

FEW_SEEDS, FEW_IMAGES = 3, 50


def limits(
    session: Session,
    study: Study,
    spec: StudySpec,
    version: DatasetVersion,
    so_far: Progress,
    data: Data,
    baselines: Baselines,
) -> list[str]:
    return [
        *_of_progress(so_far), *_of_seeds(spec), *_of_patients(session, spec, version), *_of_images(version), *_of_leaks(study), *_of_shortcuts(data, baselines),
        *_of_reach(spec),
    ]  # fmt: skip


def _of_progress(so_far: Progress) -> Iterator[str]:
    if not so_far.is_finished:
        yield "The study is still running: figures may change, and further ones may come."
    failed = [each for each in so_far.steps if each.job.state in (JobState.FAILED, JobState.CANCELLED)]
    if failed:
        yield (
            f"{number(len(failed), 'job')} of {len(so_far.steps):,} failed or were cancelled, so rows rest on fewer seeds than planned; "
            "each stands with its reason in the table and among the jobs."
        )


def _of_seeds(spec: StudySpec) -> Iterator[str]:
    yield (
        f"Each figure is a mean over {number(len(spec.seeds), 'seed')} of the classifier. Intervals say how far other test images, or groups of them, could "
        "move it, not other seeds, whose spread stands beside it."
    )
    if len(spec.seeds) < FEW_SEEDS:
        yield f"Fewer than {FEW_SEEDS} seeds say little of how much the training itself varies."
    if any(arm in SIZED for arm in spec.arms):
        yield (
            "There is one diffusion training and one drawing: another diffusion seed would give other images, and that spread is in no "
            "interval. Launch the study again with another diffusion.seed to see it."
        )


def _of_patients(session: Session, spec: StudySpec, version: DatasetVersion) -> Iterator[str]:
    unknown = [each for each in patients_of(session, spec, version) if each.unknown]
    if unknown:
        told = listed([f"{each.unknown:,} of {each.images:,} of {each.name}" for each in unknown])
        yield (
            f"Patients are not known for {told}: these images count as independent, but for copies and look-alikes that were found. If several "
            "are of one patient, the intervals and p-values of their tables are too narrow and too small, and patients may stand in several splits without "
            "anybody knowing."
        )


def _of_images(version: DatasetVersion) -> Iterator[str]:
    few = {
        name: splits.get(Split.TEST, 0)
        for name, splits in version.counts.items()
        if splits.get(Split.TEST, 0) < FEW_IMAGES
    }
    if few:
        told = ", ".join(f"{name} {count}" for name, count in few.items())
        yield f"Few test images of some classes ({told}): intervals are wide, and a difference that is there may not show."


def _of_leaks(study: Study) -> Iterator[str]:
    tables = [(title_of(table), seen_of(table["rows"])) for table in (study.answer or {}).get("tables", [])]
    told = [f"{seen} ({title})" for title, seen in tables if seen]
    if told:
        yield (
            f"Training had seen some of the tested images, as was accepted: {'; '.join(told)}, at most, over classifiers. These rows are marked as "
            "leaking; their figures measure memory, too."
        )


def _of_shortcuts(data: Data, baselines: Baselines) -> Iterator[str]:
    if data.missing:
        yield data.missing
    best = max(
        (row for row in baselines.rows if row[2].value is not None), key=lambda row: row[2].value or 0, default=None
    )
    if best is not None:
        yield (
            f"A model that sees only {best[0]} ({best[1]}) reaches a balanced accuracy of {_value(best[2])}. What classifiers learn beyond that "
            "is all that can be said of anatomy; the rest may be scanner, staining, site or crop."
        )


def _value(figure: Figure) -> str:
    return "–" if figure.value is None else f"{figure.value:.3f}"


def _of_reach(spec: StudySpec) -> Iterator[str]:
    yield "“Not significantly different” is no proof of equality; the interval says which differences remain possible."
    if not spec.external:
        yield "No other dataset was tested: nothing is known of other hospitals, scanners or populations."
    yield f"All arms see images of {spec.diffusion_spec().image_size} px. Nothing is shown for other resolutions."
    yield (
        "The audit finds copies that resemble training images by pixels or features, and one attack on the network. Passing it does not make "
        "the images anonymous."
    )
    yield "Research only. Nothing here is a diagnosis or a medical device."
