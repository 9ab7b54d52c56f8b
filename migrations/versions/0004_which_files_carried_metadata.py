"""Images remember whether their file carried EXIF and the like; of those that are there already nobody knows.

SQLite adds and drops such a column in place; a copied table would lose its AUTOINCREMENT.
"""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("images", sa.Column("metadata_kinds", sa.String(length=60), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("images", "metadata_kinds")
