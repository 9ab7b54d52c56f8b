"""A study may be another one, run again."""

import sqlalchemy as sa
from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
KEY = "fk_studies_reproduces_id_studies"


def upgrade() -> None:
    with op.batch_alter_table("studies", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("reproduces_id", BIG, nullable=True))
        table.create_foreign_key(KEY, "studies", ["reproduces_id"], ["id"], ondelete="SET NULL")
    op.create_index("ix_studies_reproduces_id", "studies", ["reproduces_id"])


def downgrade() -> None:
    op.drop_index("ix_studies_reproduces_id", table_name="studies")
    with op.batch_alter_table("studies", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint(KEY, type_="foreignkey")
        table.drop_column("reproduces_id")
