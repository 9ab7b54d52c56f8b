"""Check what a spec names before it becomes a job, and fill in what it leaves open.

A spec alone can be checked without a database; here is what takes one: whether the rows exist in the project, are
ready and fit each other. The completed spec names versions, so that a later import cannot change what a job means.
"""

from collections.abc import Collection, Sequence
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import InstrumentedAttribute, Session

from app.core import drawing, naming
from app.core.errors import BadInputError, ConflictError, NotFoundError
from app.core.submission import check_title
from app.services import checkpoints, classifiers, datasets, synthetic_sets
from app.services.identity import Identity
from app.services.rows import LARGEST_ID, owned
from models import (
    Audit,
    Checkpoint,
    Classifier,
    Dataset,
    DatasetState,
    DatasetVersion,
    Evaluation,
    Image,
    Split,
    Study,
    SyntheticSet,
    TrainOn,
    UploadedImage,
)
from models.specs import (
    NETWORK_OPTIONS,
    AskedSpec,
    AuditSpec,
    CheckDatasetSpec,
    EvaluateSpec,
    ExplainSpec,
    ImportSpec,
    SampleSpec,
    SummariseStudySpec,
    TrainClassifierSpec,
    TrainDiffusionSpec,
)
from models.specs.audit import mirrors_of

MADE: dict[str, type[Checkpoint] | type[SyntheticSet] | type[Audit] | type[Classifier] | type[Evaluation]] = {
    "checkpoint_id": Checkpoint, "synthetic_set_id": SyntheticSet, "classifier_id": Classifier, "evaluation_id": Evaluation,
    "audit_id": Audit,
}  # fmt: skip
MOST_IMAGES = 1_000_000  # of one synthetic set
MAP_HINT = "Say with class_map which class of the classifier each class of the dataset is."
COLOURS = {1: "grey", 3: "colour"}


def prepare(session: Session, who: Identity, spec: AskedSpec) -> tuple[AskedSpec, str]:
    """The spec with every gap filled, and a title for its job; raises a StudioError that says what does not fit."""
    match spec:
        case ImportSpec():
            return datasets.prepare_import(session, who, spec)
        case CheckDatasetSpec():
            version = ready_version(session, who, spec.dataset_id, spec.version_id)
            filled = spec.model_copy(update={"version_id": version.id})
            return filled, check_title(version)
        case TrainDiffusionSpec():
            return _train_diffusion(session, who, spec)
        case SampleSpec():
            return _sample(session, who, spec)
        case TrainClassifierSpec():
            return _train_classifier(session, who, spec)
        case EvaluateSpec():
            return _evaluate(session, who, spec)
        case ExplainSpec():
            return _explain(session, who, spec)
        case SummariseStudySpec():
            study = owned(session, who, Study, spec.study_id, noun="study")
            return spec, f"Table of {naming.shortened(study.name)}"
        case AuditSpec():
            return _audit(session, who, spec)


def _train_diffusion(session: Session, who: Identity, spec: TrainDiffusionSpec) -> tuple[AskedSpec, str]:
    version = ready_version(session, who, spec.dataset_id, spec.version_id)
    _need_images(version, [Split.TRAIN], "to learn from")
    if spec.init_checkpoint_id is not None:
        start = checkpoints.get(session, who, spec.init_checkpoint_id)
        _need_same_classes(version, start.classes, f"checkpoint {start.id}")
        _need_same_network(spec, version, start)
        _need_other_images(session, spec, version, start)
    name = naming.shortened(version.dataset.name)
    title = f"Diffusion on {name}: {spec.preset}, {spec.image_size} px, {spec.num_steps:,} steps"
    return spec.model_copy(update={"version_id": version.id}), title


def _need_same_network(spec: TrainDiffusionSpec, version: DatasetVersion, start: Checkpoint) -> None:
    """A training that goes on from a checkpoint needs exactly its network."""
    wanted: dict[str, Any] = {"channels": version.channels, "image_size": spec.image_size}
    had: dict[str, Any] = {"channels": start.channels, "image_size": start.image_size}
    for option in (*NETWORK_OPTIONS, "prediction"):
        wanted[option], had[option] = getattr(spec, option), start.spec.get(option, getattr(spec, option))
    differing = [
        f"{option} is {had[option]} there and {wanted[option]} here"
        for option in wanted
        if had[option] != wanted[option]
    ]
    if differing:
        raise BadInputError(
            f"Training cannot go on from checkpoint {start.id}: {'; '.join(differing)}.",
            hint="Set these options to the checkpoint's, or leave init_checkpoint_id empty.",
            errors=[{"pointer": "/init_checkpoint_id", "detail": "has another network"}],
        )


def _need_other_images(session: Session, spec: TrainDiffusionSpec, version: DatasetVersion, start: Checkpoint) -> None:
    """A private training must not begin with weights that know its images already without any bound."""
    learnt = session.get(DatasetVersion, start.version_id) if start.version_id is not None else None
    if spec.dp_epsilon is not None and learnt is not None and learnt.dataset_id == version.dataset_id:
        raise BadInputError(
            f"Checkpoint {start.id} has learnt images of this dataset, which dp_epsilon could not undo.",
            hint="Begin with a checkpoint of other images, or leave init_checkpoint_id empty.",
            errors=[{"pointer": "/init_checkpoint_id", "detail": "has learnt images of the same dataset"}],
        )


def _sample(session: Session, who: Identity, spec: SampleSpec) -> tuple[AskedSpec, str]:
    checkpoint = checkpoints.get(session, who, spec.checkpoint_id)
    unknown = sorted(set(spec.counts or {}) - set(checkpoint.classes))
    if unknown:
        raise BadInputError(
            f"counts names {_listed(unknown)}; checkpoint {checkpoint.id} draws {_listed(checkpoint.classes)}.",
            errors=[{"pointer": f"/counts/{name}", "detail": "is not a class of the checkpoint"} for name in unknown],
        )
    counts = drawing.counts_of(spec, checkpoint.classes)
    need_as_many_blocks(spec, counts, pointer="/num_parts")
    total = sum(counts)
    if total > MOST_IMAGES:
        raise BadInputError(
            f"{total:,} images are asked for; one set holds at most {MOST_IMAGES:,}.", hint="Ask for fewer."
        )
    dataset = _learnt_by(session, checkpoint)
    name = spec.name.strip() or naming.synthetic_set(
        dataset, num_images=total, checkpoint_id=checkpoint.id, seed=spec.seed
    )
    title = f"{total:,} images of {naming.shortened(dataset)} from checkpoint {checkpoint.id}"
    return spec.model_copy(update={"name": name}), title


def _learnt_by(session: Session, checkpoint: Checkpoint) -> str:
    """The name of the dataset that the checkpoint learnt; its own name if it came with the studio."""
    if checkpoint.version_id is None:
        return checkpoint.name
    return session.get_one(DatasetVersion, checkpoint.version_id).dataset.name


def need_as_many_blocks(spec: SampleSpec, counts: Sequence[int], *, pointer: str) -> None:
    """BadInputError if a part of the sampling would have nothing to draw. counts: images of each class."""
    most = max(drawing.most_parts(counts), 1)
    if spec.num_parts > most:
        raise BadInputError(
            f"num_parts is {spec.num_parts}, but {sum(counts):,} images fill only {most} "
            f"{'block' if most == 1 else 'blocks'} of {drawing.BLOCKS[-1]} images of a class, which are drawn together.",
            hint=f"Ask for at most {most}, or for more images.",
            errors=[{"pointer": pointer, "detail": f"is at most {most} for so few images"}],
        )


def _train_classifier(session: Session, who: Identity, spec: TrainClassifierSpec) -> tuple[AskedSpec, str]:
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
    _need_classes(version.classes)
    datasets.need_no_leaks(session, version, accepted=spec.accept_leaks)
    _need_images(version, [Split.VAL], "to choose the best epoch by", each_class=False)
    if spec.train_on != TrainOn.SYNTHETIC:
        _need_images(version, [Split.TRAIN], "to learn from")
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


def _audit(session: Session, who: Identity, spec: AuditSpec) -> tuple[AskedSpec, str]:
    source = synthetic_sets.get(session, who, spec.synthetic_set_id)
    if not any(synthetic_sets.kept_counts(session, source).values()):
        raise BadInputError(
            f"Synthetic set {source.id} has no image that is not rejected.", hint="Take back some rejections first."
        )
    dataset_id, version_id = spec.dataset_id, spec.version_id
    if dataset_id is None:
        own = synthetic_sets.dataset_of(session, source)
        if own is None:
            raise BadInputError(
                f"Synthetic set {source.id} does not know the real images that were learnt: its checkpoint came with the studio.",
                hint="Name the dataset that it is to be compared with.",
                errors=[{"pointer": "/dataset_id", "detail": "is needed"}],
            )
        dataset_id, version_id = own.id, version_id or source.version_id
    version = ready_version(session, who, dataset_id, version_id)
    _need_same_classes(version, source.classes, f"synthetic set {source.id}")
    if source.channels < version.channels:
        raise BadInputError(
            f"Synthetic set {source.id} is grey, but dataset {version.dataset.name!r} has colour.",
            hint="Compare it with the dataset that its checkpoint learnt.",
        )
    _need_images(version, [Split.TRAIN], "to compare with", each_class=False)
    learnt = synthetic_sets.checkpoint_of(session, source).spec
    mirrors = (
        spec.mirrors
        if spec.mirrors is not None
        else mirrors_of(hflip=bool(learnt.get("hflip")), vflip=bool(learnt.get("vflip")))
    )
    filled = {"dataset_id": dataset_id, "version_id": version.id, "mirrors": mirrors}
    return spec.model_copy(update=filled), f"Audit of {naming.shortened(source.name)}"


def _synthetic_source(session: Session, who: Identity, spec: TrainClassifierSpec) -> SyntheticSet | None:
    return synthetic_sets.get(session, who, spec.synthetic_set_id) if spec.synthetic_set_id is not None else None


def _need_fitting_set(session: Session, version: DatasetVersion, source: SyntheticSet) -> None:
    _need_same_classes(version, source.classes, f"synthetic set {source.id}")
    if source.channels != version.channels:
        raise BadInputError(
            f"Synthetic set {source.id} is {COLOURS[source.channels]}, but dataset {version.dataset.name!r} is "
            f"{COLOURS[version.channels]}.",
            hint="Use a set whose checkpoint was trained on this dataset.",
        )
    empty = [name for name, number in synthetic_sets.kept_counts(session, source).items() if not number]
    if len(empty) > len(source.classes) - 2:
        raise BadInputError(
            f"Synthetic set {source.id} has no image left of {_listed(empty)}; a classifier needs images of two classes.",
            hint="Take back some rejections, or draw more images.",
        )


def _fit_of(session: Session, source: SyntheticSet) -> str:
    """How the training images of the set's checkpoint were made square."""
    return str(synthetic_sets.checkpoint_of(session, source).spec.get("fit", "pad"))


def _learnt(spec: TrainClassifierSpec) -> str:
    real, synthetic = "real images", f"synthetic set {spec.synthetic_set_id}"
    return {TrainOn.REAL: real, TrainOn.SYNTHETIC: synthetic, TrainOn.BOTH: f"{real} and {synthetic}"}[spec.train_on]


def _evaluate(session: Session, who: Identity, spec: EvaluateSpec) -> tuple[AskedSpec, str]:
    classifier = classifiers.get(session, who, spec.classifier_id)
    what = f"classifier {classifier.id} ({classifier.architecture})"
    if spec.synthetic_set_id is not None:
        return _evaluate_on_synthetic(session, who, spec, classifier, what)
    dataset_id, version_id = spec.dataset_id, spec.version_id
    if dataset_id is None:
        own = session.get_one(DatasetVersion, classifier.version_id)
        dataset_id, version_id = own.dataset_id, version_id or own.id
    version = ready_version(session, who, dataset_id, version_id)
    need_comparable(
        version, classifier.classes, classifier.channels, class_map=spec.class_map, what=f"classifier {classifier.id}"
    )
    _need_images(
        version, list(Split) if spec.split == "all" else [Split(spec.split)], "to test on", each_class=False,
        classes=spec.class_map,
    )  # fmt: skip
    title = f"Test of {what} on {naming.shortened(version.dataset.name)}, {part(spec.split)}"
    return spec.model_copy(update={"dataset_id": dataset_id, "version_id": version.id}), title


def part(split: str) -> str:
    """How a part of a dataset is called."""
    return "all images" if split == "all" else f"{split} split"


def _evaluate_on_synthetic(
    session: Session, who: Identity, spec: EvaluateSpec, classifier: Classifier, what: str
) -> tuple[AskedSpec, str]:
    assert spec.synthetic_set_id is not None
    source = synthetic_sets.get(session, who, spec.synthetic_set_id)
    if list(source.classes) != list(classifier.classes):
        raise BadInputError(
            f"Synthetic set {source.id} has the classes {_listed(source.classes)}, but classifier {classifier.id} has "
            f"{_listed(classifier.classes)}.",
            hint="Both must have the same classes in the same order.",
        )
    if source.channels > classifier.channels:
        raise BadInputError(
            f"Classifier {classifier.id} learnt grey images, but synthetic set {source.id} has colour.",
            hint="Test it on a grey set.",
        )
    return spec, f"Test of {what} on synthetic set {source.id}"


def need_comparable(
    version: DatasetVersion, classes: Sequence[str], channels: int, *, class_map: dict[str, str] | None, what: str
) -> None:
    """BadInputError unless networks that tell `classes` apart can be tested on the version."""
    if class_map is None:
        _need_same_classes(version, classes, what, hint=MAP_HINT)
    else:
        _need_fitting_map(class_map, version, classes, what)
    if version.channels > channels:
        raise BadInputError(
            f"{what} learnt grey images, but dataset {version.dataset.name!r} has colour.",
            hint="Test it on grey images, or train a classifier on colour images.",
        )


def _need_fitting_map(class_map: dict[str, str], version: DatasetVersion, classes: Sequence[str], what: str) -> None:
    """BadInputError unless the map leads from classes of the version to at least two of `classes`."""
    for names, known, owner in (
        (class_map.keys(), version.classes, f"dataset {version.dataset.name!r}"),
        (class_map.values(), classes, what),
    ):
        unknown = sorted(set(names) - set(known))
        if unknown:
            raise BadInputError(
                f"class_map names {_listed(unknown)}; {owner} has {_listed(known)}.",
                errors=[{"pointer": "/class_map", "detail": f"{unknown[0]!r} is not a class of {owner}"}],
            )
    if len(set(class_map.values())) < 2:
        raise BadInputError(
            "class_map leads to fewer than two classes of the classifier.",
            hint="Map at least two classes, or there is nothing to tell apart.",
            errors=[{"pointer": "/class_map", "detail": "needs two classes of the classifier"}],
        )


def _explain(session: Session, who: Identity, spec: ExplainSpec) -> tuple[AskedSpec, str]:
    classifier = classifiers.get(session, who, spec.classifier_id)
    image_ids = list(dict.fromkeys(spec.image_ids))
    uploaded_ids = list(dict.fromkeys(spec.uploaded_image_ids))
    of_datasets = select(Image.id).join(DatasetVersion).join(Dataset, Dataset.id == DatasetVersion.dataset_id)
    _need_rows(session, of_datasets.where(Dataset.project_id == who.project_id), Image.id, image_ids, "image")
    uploads = select(UploadedImage.id).where(UploadedImage.project_id == who.project_id)
    _need_rows(session, uploads, UploadedImage.id, uploaded_ids, "uploaded image")
    number = len(image_ids) + len(uploaded_ids)
    title = (
        f"LIME of {number} image{'s' if number > 1 else ''} with classifier {classifier.id} ({classifier.architecture})"
    )
    return spec.model_copy(update={"image_ids": image_ids, "uploaded_image_ids": uploaded_ids}), title


def _need_rows(session: Session, query: Any, key: InstrumentedAttribute[int], ids: list[int], noun: str) -> None:
    """NotFoundError unless `query` (of the project's ids) holds every id."""
    found = set(session.scalars(query.where(key.in_([i for i in ids if 0 < i <= LARGEST_ID]))))
    missing = [i for i in ids if i not in found]
    if missing:
        raise NotFoundError(f"There is no {noun} {missing[0]}.", hint="It may have been deleted with its dataset.")


def ready_version(session: Session, who: Identity, dataset_id: int, version_id: int | None) -> DatasetVersion:
    """Version `version_id` of the dataset, or its current one; ConflictError unless the dataset is ready."""
    dataset = owned(session, who, Dataset, dataset_id, noun="dataset")
    if dataset.state != DatasetState.READY:
        raise ConflictError(
            f"Dataset {dataset.name!r} is {dataset.state}, not ready.",
            hint="Wait until its import has ended." if dataset.state == DatasetState.IMPORTING else "Import it again.",
        )
    if version_id is None:
        current = datasets.current_version(session, dataset)
        if current is None:
            raise ConflictError(f"Dataset {dataset.name!r} has no images yet.", hint="Import it again.")
        return current
    version = session.get(DatasetVersion, version_id) if 0 < version_id <= LARGEST_ID else None
    if version is None or version.dataset_id != dataset.id:
        raise NotFoundError(f"Dataset {dataset.name!r} has no version {version_id}.")
    return version


def _need_images(
    version: DatasetVersion,
    splits: Sequence[Split],
    purpose: str,
    *,
    each_class: bool = True,
    classes: Collection[str] | None = None,
) -> None:
    """BadInputError if the splits have no image (of some class, where `each_class`) of `classes`, all if not given."""
    names = [name for name in version.classes if classes is None or name in classes]
    empty = [name for name in names if not any(version.counts.get(name, {}).get(split, 0) for split in splits)]
    if empty and (each_class or len(empty) == len(names)):
        raise BadInputError(
            f"The {' and '.join(splits)} split of dataset {version.dataset.name!r} has no image of {_listed(empty)} {purpose}.",
            hint="Import it again with another split, or without these classes.",
        )


def _need_classes(classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise BadInputError(
            f"The dataset has the single class {_listed(classes)}; a classifier needs at least two.",
            hint="Import a folder that holds one folder for each class.",
        )


def _need_same_classes(
    version: DatasetVersion,
    classes: Sequence[str],
    owner: str,
    *,
    hint: str = "Both must have the same classes in the same order.",
) -> None:
    if list(version.classes) != list(classes):
        raise BadInputError(
            f"Dataset {version.dataset.name!r} has the classes {_listed(version.classes)}, but {owner} has {_listed(classes)}.",
            hint=hint,
        )


def _listed(names: Sequence[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:10])
    return f"{shown} and {len(names) - 10} more" if len(names) > 10 else shown
