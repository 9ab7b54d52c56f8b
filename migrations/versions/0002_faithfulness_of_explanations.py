"""Faithfulness and stability of explanations.

Rows that are there already keep NULL: they were not measured. SQLite adds and drops such columns in place; a copied
table would lose its AUTOINCREMENT.
"""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("explanation_items", sa.Column("faithfulness", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("explanation_items", sa.Column("stability", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("explanation_items", "stability")
    op.drop_column("explanation_items", "faithfulness")
