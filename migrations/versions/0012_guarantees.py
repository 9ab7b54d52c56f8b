"""What a differentially private training promises stands with its checkpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0012"
down_revision = "0011"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("checkpoints", sa.Column("guarantee", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("checkpoints", "guarantee")
