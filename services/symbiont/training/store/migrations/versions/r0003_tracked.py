"""What experiment trackers have heard of which jobs."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0003", "0002"


def upgrade() -> None:
    """Jobs that have ended before are not tracked: a tracker begins with those that are open when it first looks."""
    op.create_table(
        "tracked",
        sa.Column("tracker", sa.String(32), primary_key=True),
        sa.Column("job", sa.String(63), primary_key=True),
        sa.Column("event", sa.Integer(), nullable=False),
        sa.Column("owner", sa.String(128), nullable=False),
        sa.Column("lease_time", sa.DateTime(timezone=True)),
    )
    op.create_table(
        "trackers",
        sa.Column("name", sa.String(32), primary_key=True),
        sa.Column("number", sa.Integer(), nullable=False),
    )
