"""Evaluations may map the classes of another dataset, and may be on a synthetic set."""

import sqlalchemy as sa
from alembic import op

revision = "0007"
down_revision = "0005"
branch_labels = None
depends_on = None


def upgrade() -> None:
    with op.batch_alter_table("evaluations", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("class_map", sa.JSON(none_as_null=True), nullable=True))
        table.add_column(
            sa.Column("synthetic_set_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True)
        )
        table.create_foreign_key(
            "fk_evaluations_synthetic_set_id_synthetic_sets", "synthetic_sets", ["synthetic_set_id"], ["id"]
        )
    op.create_index("ix_evaluations_synthetic_set_id", "evaluations", ["synthetic_set_id"])


def downgrade() -> None:
    op.drop_index("ix_evaluations_synthetic_set_id", table_name="evaluations")
    with op.batch_alter_table("evaluations", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint("fk_evaluations_synthetic_set_id_synthetic_sets", type_="foreignkey")
        table.drop_column("synthetic_set_id")
        table.drop_column("class_map")
