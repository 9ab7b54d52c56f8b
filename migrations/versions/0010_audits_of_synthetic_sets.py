"""Audits of synthetic sets with their pairs; a set may be another one without its copies."""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0010"
down_revision = "0009"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    with op.batch_alter_table("synthetic_sets", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.add_column(sa.Column("filtered_from_id", BIG, nullable=True))
        table.create_foreign_key(
            "fk_synthetic_sets_filtered_from_id_synthetic_sets", "synthetic_sets", ["filtered_from_id"], ["id"]
        )
    op.create_index("ix_synthetic_sets_filtered_from_id", "synthetic_sets", ["filtered_from_id"])
    op.create_table(
        "audits",
        sa.Column("id", BIG, nullable=False),
        sa.Column("project_id", BIG, nullable=False),
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("synthetic_set_id", BIG, nullable=False),
        sa.Column("version_id", BIG, nullable=False),
        sa.Column("filtered_set_id", BIG, nullable=True),
        sa.Column("classes", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("num_images", sa.Integer(), nullable=False),
        sa.Column("num_flagged", sa.Integer(), nullable=True),
        sa.Column("report", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("lights", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("spec", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("created_at", models.base.Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_audits_project_id_projects")),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_audits_job_id_jobs")),
        sa.ForeignKeyConstraint(
            ["synthetic_set_id"],
            ["synthetic_sets.id"],
            name=op.f("fk_audits_synthetic_set_id_synthetic_sets"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_versions.id"], name=op.f("fk_audits_version_id_dataset_versions")
        ),
        sa.ForeignKeyConstraint(
            ["filtered_set_id"],
            ["synthetic_sets.id"],
            name=op.f("fk_audits_filtered_set_id_synthetic_sets"),
            ondelete="SET NULL",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audits")),
        sqlite_autoincrement=True,
    )
    for column in ("project_id", "job_id", "synthetic_set_id", "version_id", "filtered_set_id"):
        op.create_index(op.f(f"ix_audits_{column}"), "audits", [column])
    op.create_table(
        "audit_pairs",
        sa.Column("id", BIG, nullable=False),
        sa.Column("audit_id", BIG, nullable=False),
        sa.Column("synthetic_image_id", BIG, nullable=False),
        sa.Column("image_id", BIG, nullable=False),
        sa.Column("space", sa.String(length=100), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("similarity", sa.Double(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.Column("threshold", sa.Double(), nullable=False),
        sa.Column("flagged", sa.Boolean(), nullable=False),
        sa.Column("created_at", models.base.Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(
            ["audit_id"], ["audits.id"], name=op.f("fk_audit_pairs_audit_id_audits"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(
            ["synthetic_image_id"],
            ["synthetic_images.id"],
            name=op.f("fk_audit_pairs_synthetic_image_id_synthetic_images"),
            ondelete="CASCADE",
        ),
        sa.ForeignKeyConstraint(["image_id"], ["images.id"], name=op.f("fk_audit_pairs_image_id_images")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_pairs")),
        sqlite_autoincrement=True,
    )
    for column in ("audit_id", "synthetic_image_id", "image_id"):
        op.create_index(op.f(f"ix_audit_pairs_{column}"), "audit_pairs", [column])


def downgrade() -> None:
    op.drop_table("audit_pairs")
    op.drop_table("audits")
    op.drop_index("ix_synthetic_sets_filtered_from_id", table_name="synthetic_sets")
    with op.batch_alter_table("synthetic_sets", table_kwargs={"sqlite_autoincrement": True}) as table:
        table.drop_constraint("fk_synthetic_sets_filtered_from_id_synthetic_sets", type_="foreignkey")
        table.drop_column("filtered_from_id")
