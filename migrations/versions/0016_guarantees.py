"""What a differentially private training promises stands with its checkpoint."""

import sqlalchemy as sa
from alembic import op

revision = "0016"
down_revision = "0010"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("checkpoints", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("guarantee", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    with op.batch_alter_table("checkpoints", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_column("guarantee")
