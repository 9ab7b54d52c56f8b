"""Check and complete what is asked of an audit of synthetic images."""

from sqlalchemy.orm import Session

from app.core import naming
from app.core.errors import BadInputError
from app.services import synthetic_sets
from app.services.identity import Identity
from app.services.prepare.needs import need_images, need_same_classes, ready_version
from models import Split
from models.specs import AuditSpec
from models.specs.audit import mirrors_of


def audit(session: Session, who: Identity, spec: AuditSpec) -> tuple[AuditSpec, str]:
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
    need_same_classes(version, source.classes, f"synthetic set {source.id}")
    if source.channels < version.channels:
        raise BadInputError(
            f"Synthetic set {source.id} is grey, but dataset {version.dataset.name!r} has colour.",
            hint="Compare it with the dataset that its checkpoint learnt.",
        )
    need_images(version, [Split.TRAIN], "to compare with", each_class=False)
    learnt = synthetic_sets.checkpoint_of(session, source).spec
    mirrors = (
        spec.mirrors
        if spec.mirrors is not None
        else mirrors_of(hflip=bool(learnt.get("hflip")), vflip=bool(learnt.get("vflip")))
    )
    filled = {"dataset_id": dataset_id, "version_id": version.id, "mirrors": mirrors}
    return spec.model_copy(update=filled), f"Audit of {naming.shortened(source.name)}"
