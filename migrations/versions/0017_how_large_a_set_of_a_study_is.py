"""Each step that draws or audits says how large its synthetic set is: before, a study had one, of its largest size."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0017"
down_revision = "0016"
branch_labels = None
depends_on = None

STUDIES = sa.table("studies", sa.column("id"), sa.column("spec", sa.JSON))
STEPS = sa.table("study_steps", sa.column("study_id"), sa.column("name"), sa.column("cell", sa.JSON))


def upgrade() -> None:
    for study_id, spec in op.get_bind().execute(sa.select(STUDIES.c.id, STUDIES.c.spec)).all():
        _write(study_id, {"drawn": max(spec["sizes"])})


def downgrade() -> None:
    for (study_id,) in op.get_bind().execute(sa.select(STUDIES.c.id)).all():
        _write(study_id, {})


def _write(study_id: int, cell: dict[str, Any]) -> None:
    mine = (STEPS.c.study_id == study_id) & STEPS.c.name.in_(["samples", "audit"])
    op.get_bind().execute(STEPS.update().where(mine).values(cell=cell))
