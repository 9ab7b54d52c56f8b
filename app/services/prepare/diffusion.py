"""Check and complete what is asked of a diffusion training."""

from typing import Any

from sqlalchemy.orm import Session

from app.core import naming
from app.core.errors import BadInputError
from app.services import checkpoints
from app.services.identity import Identity
from app.services.prepare.needs import need_images, need_same_classes, ready_version
from models import Checkpoint, DatasetVersion, Split
from models.specs import MIN_HELD_OUT_TO_STOP, NETWORK_OPTIONS, TrainDiffusionSpec


def train_diffusion(session: Session, who: Identity, spec: TrainDiffusionSpec) -> tuple[TrainDiffusionSpec, str]:
    version = ready_version(session, who, spec.dataset_id, spec.version_id)
    need_images_to_draw_like(version, spec)
    if spec.init_checkpoint_id is not None:
        start = checkpoints.get(session, who, spec.init_checkpoint_id)
        need_same_classes(version, start.classes, f"checkpoint {start.id}")
        _need_same_network(spec, version, start)
        _need_other_images(session, spec, version, start)
    name = naming.shortened(version.dataset.name)
    title = f"Diffusion on {name}: {spec.preset}, {spec.image_size} px, {spec.num_steps:,} steps"
    return spec.model_copy(update={"version_id": version.id}), title


def need_images_to_draw_like(version: DatasetVersion, spec: TrainDiffusionSpec) -> None:
    """BadInputError if the version, which may not be written down yet, has too few images for the training."""
    need_images(version, [Split.TRAIN], "to learn from")
    if spec.stop_on_copies:
        _need_held_out(version)


def _need_held_out(version: DatasetVersion) -> None:
    """BadInputError if copies could not be told from chance: too few real images that nobody trains on."""
    number = sum(counts.get(Split.VAL, 0) for counts in version.counts.values())
    if number < MIN_HELD_OUT_TO_STOP:
        raise BadInputError(
            f"The val split of dataset {version.dataset.name!r} has {number} images; to stop on copies at least {MIN_HELD_OUT_TO_STOP} are needed "
            "that nobody trains on. Test images stay locked.",
            hint="Split the dataset with a larger validation part, or turn stop_on_copies off.",
            errors=[{"pointer": "/stop_on_copies", "detail": f"needs {MIN_HELD_OUT_TO_STOP} validation images"}],
        )


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
