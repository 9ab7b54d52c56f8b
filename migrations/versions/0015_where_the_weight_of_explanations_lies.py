"""Where the weight of an explanation lies: on the border, in the corners, outside the body."""

import sqlalchemy as sa
from alembic import op

revision = "0015"
down_revision = "0014"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("explanation_items", sa.Column("places", sa.JSON(none_as_null=True), nullable=True))


def downgrade() -> None:
    op.drop_column("explanation_items", "places")
