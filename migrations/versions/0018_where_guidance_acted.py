"""Samplings, synthetic sets and studies of before say that guidance acted on the whole way from noise to image."""

from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0018"
down_revision = "0017"
branch_labels = None
depends_on = None

BEFORE = {"guidance": 1.5, "guidance_start": 0.0, "guidance_stop": 1.0}  # what was not said, meant
NEW = ("guidance_start", "guidance_stop")
JOBS = sa.table("jobs", sa.column("id"), sa.column("kind"), sa.column("spec", sa.JSON))
SETS = sa.table("synthetic_sets", sa.column("id"), sa.column("spec", sa.JSON))
STUDIES = sa.table("studies", sa.column("id"), sa.column("spec", sa.JSON))


def upgrade() -> None:
    _change(lambda options: {**BEFORE, **options})


def downgrade() -> None:
    _change(lambda options: {name: value for name, value in options.items() if name not in NEW})


def _change(changed: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
    draws = JOBS.c.kind.in_(["sample", "sample_part"])
    for table, which in ((JOBS, draws), (SETS, sa.true())):
        for row_id, spec in op.get_bind().execute(sa.select(table.c.id, table.c.spec).where(which)).all():
            _write(table, row_id, changed(spec))
    for row_id, spec in op.get_bind().execute(sa.select(STUDIES.c.id, STUDIES.c.spec)).all():
        _write(STUDIES, row_id, {**spec, "sampling": changed(spec.get("sampling") or {})})


def _write(table: sa.TableClause, row_id: int, spec: dict[str, Any]) -> None:
    op.get_bind().execute(table.update().where(table.c.id == row_id).values(spec=spec))
