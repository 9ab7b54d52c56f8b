"""Check and complete what is asked of a classifier's training."""

from sqlalchemy.orm import Session

from app.core import architectures, naming
from app.core.errors import BadInputError
from app.services import datasets, synthetic_sets
from app.services.identity import Identity
from app.services.prepare.needs import COLOURS, listed, need_classes, need_images, need_same_classes, ready_version
from models import DatasetVersion, Split, SyntheticSet, TrainOn
from models.specs import TrainClassifierSpec


def train_classifier(session: Session, who: Identity, spec: TrainClassifierSpec) -> tuple[TrainClassifierSpec, str]:
    architectures.need_known([spec.architecture], pointer="/architecture")
    source = _synthetic_source(session, who, spec)
    dataset_id, version_id = spec.dataset_id, spec.version_id
    if dataset_id is None:
        own = synthetic_sets.dataset_of(session, source) if source is not None else None
        if source is None or own is None:
            raise BadInputError(
                "dataset_id is not given, and the synthetic set does not know one: its checkpoint came with the studio.",
                hint="Name the dataset whose real images choose the best epoch.",
                errors=[{"pointer": "/dataset_id", "detail": "is needed"}],
            )
        dataset_id, version_id = own.id, version_id or source.version_id
    version = ready_version(session, who, dataset_id, version_id)
    need_images_to_classify(session, version, spec)
    if source is not None:
        _need_fitting_set(session, version, source)
    image_size = spec.image_size or (source.image_size if source is not None else spec.input_size)
    fit = spec.fit or (_fit_of(session, source) if source is not None else "pad")
    dataset, learnt = version.dataset.name, _learnt(spec)
    name = spec.name.strip() or naming.classifier(
        dataset, architecture=spec.architecture, learnt=learnt, seed=spec.seed
    )
    filled = {"dataset_id": dataset_id, "version_id": version.id, "image_size": image_size, "fit": fit, "name": name}
    title = f"Classifier on {naming.shortened(dataset)}: {spec.architecture}, {learnt}"
    return spec.model_copy(update=filled), title


def need_images_to_classify(session: Session, version: DatasetVersion, spec: TrainClassifierSpec) -> None:
    """BadInputError or ConflictError if the version, which may not be written down yet, lacks images, or leaks."""
    need_classes(version.classes)
    datasets.need_no_leaks(session, version, accepted=spec.accept_leaks)
    need_images(version, [Split.VAL], "to choose the best epoch by", each_class=False)
    if spec.train_on != TrainOn.SYNTHETIC:
        need_images(version, [Split.TRAIN], "to learn from")


def _synthetic_source(session: Session, who: Identity, spec: TrainClassifierSpec) -> SyntheticSet | None:
    return synthetic_sets.get(session, who, spec.synthetic_set_id) if spec.synthetic_set_id is not None else None


def _need_fitting_set(session: Session, version: DatasetVersion, source: SyntheticSet) -> None:
    need_same_classes(version, source.classes, f"synthetic set {source.id}")
    if source.channels != version.channels:
        raise BadInputError(
            f"Synthetic set {source.id} is {COLOURS[source.channels]}, but dataset {version.dataset.name!r} is "
            f"{COLOURS[version.channels]}.",
            hint="Use a set whose checkpoint was trained on this dataset.",
        )
    empty = [name for name, number in synthetic_sets.kept_counts(session, source).items() if not number]
    if len(empty) > len(source.classes) - 2:
        raise BadInputError(
            f"Synthetic set {source.id} has no image left of {listed(empty)}; a classifier needs images of two classes.",
            hint="Take back some rejections, or draw more images.",
        )


def _fit_of(session: Session, source: SyntheticSet) -> str:
    """How the training images of the set's checkpoint were made square."""
    return str(synthetic_sets.checkpoint_of(session, source).spec.get("fit", "pad"))


def _learnt(spec: TrainClassifierSpec) -> str:
    real, synthetic = "real images", f"synthetic set {spec.synthetic_set_id}"
    return {TrainOn.REAL: real, TrainOn.SYNTHETIC: synthetic, TrainOn.BOTH: f"{real} and {synthetic}"}[spec.train_on]
