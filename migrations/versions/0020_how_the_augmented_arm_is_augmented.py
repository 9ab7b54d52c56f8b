"""Studies of before say that their augmented arm was augmented strongly, and those from before explanations that they have none."""

import sqlalchemy as sa
from alembic import op

revision = "0020"
down_revision = "0019"
branch_labels = None
depends_on = None

BEFORE = {"augmentation": "strong", "explanations": None}  # what was not said, meant
STUDIES = sa.table("studies", sa.column("id"), sa.column("spec", sa.JSON))


def upgrade() -> None:
    for row_id, spec in op.get_bind().execute(sa.select(STUDIES.c.id, STUDIES.c.spec)).all():
        _write(row_id, {**BEFORE, **spec})


def downgrade() -> None:
    for row_id, spec in op.get_bind().execute(sa.select(STUDIES.c.id, STUDIES.c.spec)).all():
        _write(row_id, {name: value for name, value in spec.items() if name != "augmentation"})


def _write(row_id: int, spec: dict[str, object]) -> None:
    op.get_bind().execute(STUDIES.update().where(STUDIES.c.id == row_id).values(spec=spec))
