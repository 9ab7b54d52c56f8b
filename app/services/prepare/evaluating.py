"""Check and complete what is asked of a classifier's test."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.core import naming
from app.core.errors import BadInputError
from app.services import classifiers, synthetic_sets
from app.services.identity import Identity
from app.services.prepare.needs import listed, need_images, need_same_classes, ready_version
from models import Classifier, DatasetVersion, Split
from models.specs import EvaluateSpec

MAP_HINT = "Say with class_map which class of the classifier each class of the dataset is."


def evaluate(session: Session, who: Identity, spec: EvaluateSpec) -> tuple[EvaluateSpec, str]:
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
    need_images(
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
) -> tuple[EvaluateSpec, str]:
    assert spec.synthetic_set_id is not None
    source = synthetic_sets.get(session, who, spec.synthetic_set_id)
    if list(source.classes) != list(classifier.classes):
        raise BadInputError(
            f"Synthetic set {source.id} has the classes {listed(source.classes)}, but classifier {classifier.id} has "
            f"{listed(classifier.classes)}.",
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
        need_same_classes(version, classes, what, hint=MAP_HINT)
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
                f"class_map names {listed(unknown)}; {owner} has {listed(known)}.",
                errors=[{"pointer": "/class_map", "detail": f"{unknown[0]!r} is not a class of {owner}"}],
            )
    if len(set(class_map.values())) < 2:
        raise BadInputError(
            "class_map leads to fewer than two classes of the classifier.",
            hint="Map at least two classes, or there is nothing to tell apart.",
            errors=[{"pointer": "/class_map", "detail": "needs two classes of the classifier"}],
        )
