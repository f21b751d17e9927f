"""What was erased, and which versions had learnt it."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0006", "0005"


def upgrade() -> None:
    """Nothing was erased before."""
    op.add_column("versions", sa.Column("trained_on_erased", sa.Boolean(), nullable=False, server_default=sa.false()))
    op.create_table(
        "erasures",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("subject_digest", sa.String(64), nullable=False, index=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("create_time", sa.DateTime(timezone=True), nullable=False),
    )
