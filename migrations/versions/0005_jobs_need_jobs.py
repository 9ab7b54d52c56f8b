"""Jobs may need the results of others, and know which other job would give the same result."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("jobs", sa.Column("step_key", sa.String(length=64), nullable=True))
    op.create_index("ix_jobs_step_key", "jobs", ["step_key"])
    op.create_table(
        "job_needs",
        sa.Column("job_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.Column("option", sa.String(length=60), nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("needs_id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), nullable=False),
        sa.ForeignKeyConstraint(["job_id"], ["jobs.id"], name=op.f("fk_job_needs_job_id_jobs"), ondelete="CASCADE"),
        sa.ForeignKeyConstraint(["needs_id"], ["jobs.id"], name=op.f("fk_job_needs_needs_id_jobs"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("job_id", "option", "position", name=op.f("pk_job_needs")),
    )
    op.create_index("ix_job_needs_needs_id", "job_needs", ["needs_id"])


def downgrade() -> None:
    op.drop_table("job_needs")
    op.drop_index("ix_jobs_step_key", table_name="jobs")
    op.drop_column("jobs", "step_key")
