"""Versions that change, fingerprints, duplicates, openings of the test set.

Revision 0003, after 0002.
"""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table(
        "fingerprints",
        sa.Column("stored_sha256", sa.String(length=64), nullable=False),
        sa.Column("perceptual_hash", sa.String(length=16), nullable=False),
        sa.Column("mirrored_hash", sa.String(length=16), nullable=False),
        sa.Column("tile", sa.String(length=1400), nullable=False),
        sa.Column("facts", sa.JSON(none_as_null=True), nullable=False),
        sa.PrimaryKeyConstraint("stored_sha256", name=op.f("pk_fingerprints")),
    )
    op.create_table(
        "duplicate_pairs",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("dataset_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("first_sha256", sa.String(length=64), nullable=False),
        sa.Column("second_sha256", sa.String(length=64), nullable=False),
        sa.Column("mirrored", sa.Boolean(), nullable=False),
        sa.Column("distance", sa.Integer(), nullable=False),
        sa.Column("agreement", sa.Double(), nullable=False),
        sa.Column("is_distinct", sa.Boolean(), nullable=False),
        sa.Column("created_at", models.base.Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(
            ["dataset_id"], ["datasets.id"], name=op.f("fk_duplicate_pairs_dataset_id_datasets"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_duplicate_pairs")),
        sa.UniqueConstraint(
            "dataset_id",
            "first_sha256",
            "second_sha256",
            name=op.f("uq_duplicate_pairs_dataset_id_first_sha256_second_sha256"),
        ),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_duplicate_pairs_dataset_id"), "duplicate_pairs", ["dataset_id"], unique=False)

    op.create_table(
        "openings",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("version_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("kind", sa.String(length=20), nullable=False),
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("user_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=True),
        sa.Column("num_images", sa.Integer(), nullable=False),
        sa.Column("reason", sa.String(), nullable=False),
        sa.Column("created_at", models.base.Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_openings_job_id_jobs")),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_openings_user_id_users")),
        sa.ForeignKeyConstraint(
            ["version_id"],
            ["dataset_versions.id"],
            name=op.f("fk_openings_version_id_dataset_versions"),
            ondelete="CASCADE",
        ),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_openings")),
        sqlite_autoincrement=True,
    )
    op.create_index(op.f("ix_openings_job_id"), "openings", ["job_id"], unique=False)
    op.create_index(op.f("ix_openings_version_id"), "openings", ["version_id"], unique=False)

    op.add_column("dataset_versions", sa.Column("parent_number", sa.Integer(), nullable=True))
    op.add_column("dataset_versions", sa.Column("change", sa.String(), server_default="", nullable=False))
    op.add_column("dataset_versions", sa.Column("leaks", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("dataset_versions", sa.Column("health", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("dataset_versions", sa.Column("card", sa.JSON(none_as_null=True), nullable=True))
    op.add_column("dataset_versions", sa.Column("unlocked_at", models.base.Timestamp(), nullable=True))

    op.add_column("datasets", sa.Column("current_number", sa.Integer(), server_default="1", nullable=False))

    op.add_column("evaluations", sa.Column("leaks", sa.JSON(none_as_null=True), nullable=True))

    op.add_column("images", sa.Column("series", sa.String(length=200), nullable=True))
    op.add_column("images", sa.Column("position", sa.Double(), nullable=True))
    op.add_column("images", sa.Column("cluster", sa.Integer(), nullable=True))
    op.add_column("images", sa.Column("conversion", sa.String(), server_default="", nullable=False))


def downgrade() -> None:
    op.drop_column("images", "conversion")
    op.drop_column("images", "cluster")
    op.drop_column("images", "position")
    op.drop_column("images", "series")

    op.drop_column("evaluations", "leaks")

    op.drop_column("datasets", "current_number")

    op.drop_column("dataset_versions", "unlocked_at")
    op.drop_column("dataset_versions", "card")
    op.drop_column("dataset_versions", "health")
    op.drop_column("dataset_versions", "leaks")
    op.drop_column("dataset_versions", "change")
    op.drop_column("dataset_versions", "parent_number")

    op.drop_index(op.f("ix_openings_version_id"), table_name="openings")
    op.drop_index(op.f("ix_openings_job_id"), table_name="openings")

    op.drop_table("openings")
    op.drop_index(op.f("ix_duplicate_pairs_dataset_id"), table_name="duplicate_pairs")

    op.drop_table("duplicate_pairs")
    op.drop_table("fingerprints")
