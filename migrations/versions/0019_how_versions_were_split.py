"""The layout of a version that was split anew, and of those made from it, says how; before, it said how the import had split."""

import re
from typing import Any

import sqlalchemy as sa
from alembic import op

revision = "0019"
down_revision = "0018"
branch_labels = None
depends_on = None

VERSIONS = sa.table(
    "dataset_versions", sa.column("id"), sa.column("dataset_id"), sa.column("number"), sa.column("parent_number"),
    sa.column("change"), sa.column("layout", sa.JSON),
)  # fmt: skip
SPLIT_ANEW = re.compile(
    r"Split anew (\d+) / (\d+) / (\d+) %, (in contiguous blocks|by patients and look-alikes), seed (\d+)"
)


def upgrade() -> None:
    anew: dict[tuple[int, int], dict[str, Any]] = {}
    for row in op.get_bind().execute(sa.select(VERSIONS).order_by(VERSIONS.c.dataset_id, VERSIONS.c.number)).all():
        split = _told(row.change) or anew.get((row.dataset_id, row.parent_number or 0))
        if split is not None:
            anew[row.dataset_id, row.number] = split
            mine = VERSIONS.update().where(VERSIONS.c.id == row.id)
            op.get_bind().execute(mine.values(layout={**row.layout, **split}))


def downgrade() -> None:
    """What the layout says is true for an older studio as well."""


def _told(change: str) -> dict[str, Any] | None:
    """What the change in words says of a split; None for any other change."""
    found = SPLIT_ANEW.fullmatch(change)
    if found is None:
        return None
    train, val, test = (int(found[place]) for place in (1, 2, 3))
    by = "blocks" if found[4] == "in contiguous blocks" else "units"
    percent = {"train": train, "val": val, "test": test}
    return {"seed": int(found[5]), "percent": percent, "split_by": by, "split_anew": True}
