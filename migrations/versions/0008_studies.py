"""Studies with their steps; jobs may need that others have ended, however they did."""

import sqlalchemy as sa
from alembic import op

import models.base

revision = "0008"
down_revision = "0007"
branch_labels = None
depends_on = None

BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    op.add_column("job_needs", sa.Column("is_soft", sa.Boolean(), server_default=sa.false(), nullable=False))
    op.create_table(
        "studies",
        sa.Column("id", BIG, nullable=False),
        sa.Column("project_id", BIG, nullable=False),
        sa.Column("version_id", BIG, nullable=False),
        sa.Column("name", sa.String(length=300), nullable=False),
        sa.Column("created_by", sa.String(length=200), nullable=False),
        sa.Column("spec", sa.JSON(none_as_null=True), nullable=False),
        sa.Column("answer", sa.JSON(none_as_null=True), nullable=True),
        sa.Column("answer_job_id", BIG, nullable=True),
        sa.Column("created_at", models.base.Timestamp(), nullable=False),
        sa.ForeignKeyConstraint(["project_id"], ["projects.id"], name=op.f("fk_studies_project_id_projects")),
        sa.ForeignKeyConstraint(
            ["version_id"], ["dataset_versions.id"], name=op.f("fk_studies_version_id_dataset_versions")
        ),
        sa.ForeignKeyConstraint(["answer_job_id"], ["jobs.id"], name=op.f("fk_studies_answer_job_id_jobs")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_studies")),
        sqlite_autoincrement=True,
    )
    for column in ("project_id", "version_id", "answer_job_id"):
        op.create_index(op.f(f"ix_studies_{column}"), "studies", [column])
    op.create_table(
        "study_steps",
        sa.Column("study_id", BIG, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("job_id", BIG, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("is_reused", sa.Boolean(), nullable=False),
        sa.Column("cell", sa.JSON(none_as_null=True), nullable=False),
        sa.ForeignKeyConstraint(
            ["study_id"], ["studies.id"], name=op.f("fk_study_steps_study_id_studies"), ondelete="CASCADE"
        ),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_study_steps_job_id_jobs")),
        sa.PrimaryKeyConstraint("study_id", "name", name=op.f("pk_study_steps")),
    )
    op.create_index(op.f("ix_study_steps_job_id"), "study_steps", ["job_id"])


def downgrade() -> None:
    op.drop_table("study_steps")
    op.drop_table("studies")
    op.drop_column("job_needs", "is_soft")
