"""Check and complete what is asked of a sampling."""

from collections.abc import Sequence

from sqlalchemy.orm import Session

from app.core import drawing, naming
from app.core.errors import BadInputError
from app.services import checkpoints
from app.services.identity import Identity
from app.services.prepare.needs import listed
from app.services.rows import owned
from models import Checkpoint, DatasetVersion, SyntheticSet
from models.specs import SampleSpec
from models.specs.sampling import DRAWN_WITH

MOST_IMAGES = 1_000_000  # of one synthetic set
RECIPE = ("checkpoint_id", "seed", *DRAWN_WITH)  # what decides how image k of a class looks


def sample(session: Session, who: Identity, spec: SampleSpec) -> tuple[SampleSpec, str]:
    checkpoint = checkpoints.get(session, who, spec.checkpoint_id)
    unknown = sorted(set(spec.counts or {}) - set(checkpoint.classes))
    if unknown:
        raise BadInputError(
            f"counts names {listed(unknown)}; checkpoint {checkpoint.id} draws {listed(checkpoint.classes)}.",
            errors=[{"pointer": f"/counts/{name}", "detail": "is not a class of the checkpoint"} for name in unknown],
        )
    if spec.synthetic_set_id is not None:
        _need_the_same_recipe(spec, owned(session, who, SyntheticSet, spec.synthetic_set_id, noun="synthetic set"))
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


def _need_the_same_recipe(spec: SampleSpec, continued: SyntheticSet) -> None:
    """BadInputError unless the set holds the very images that this sampling would draw."""
    had, asked = continued.spec, spec.model_dump(mode="json")
    other = [name for name in RECIPE if had.get(name) != asked[name]]
    if other:
        differ = ", ".join(f"{name} is {had.get(name)} there and {asked[name]} here" for name in other)
        raise BadInputError(
            f"Synthetic set {continued.id} cannot be continued, since its images are others: {differ}.",
            hint="Ask for the options of that set, or leave synthetic_set_id out.",
            errors=[{"pointer": "/synthetic_set_id", "detail": f"differs in {', '.join(other)}"}],
        )


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
