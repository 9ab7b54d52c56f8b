"""Releases of synthetic sets that a person answers for, against the gate's lights."""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0013"
down_revision = "0012"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.create_table(
        "releases",
        sa.Column("id", BIG, nullable=False),
        sa.Column("project_id", BIG, nullable=False),
        sa.Column("synthetic_set_id", BIG, nullable=False),
        sa.Column("audit_id", BIG, nullable=True),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("reason", sa.String(length=2000), nullable=False),
        sa.Column("lights", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("withdrawn_by", sa.String(length=200), nullable=True),
        sa.Column("withdrawn_at", models.base.Timestamp(), nullable=True),
        sa.Column("created_at", models.base.Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_releases_project_id_projects")),
        sa.ForeignKeyConstraint(
            ["synthetic_set_id"],
            ["synthetic_sets.id"],
            name=op.f("fk_releases_synthetic_set_id_synthetic_sets"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["audit_id"], ["audits.id"], name=op.f("fk_releases_audit_id_audits"), ondelete="SET NULL"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_releases")),
        sqlite_autoincrement=True,
    )
    for column in ("project_id", "synthetic_set_id", "audit_id"):
        op.create_index(op.f(f"ix_releases_{column}"), "releases", [column])


def downgrade() -> None:
    op.drop_table("releases")
