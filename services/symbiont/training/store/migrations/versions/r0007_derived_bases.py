"""Jobs that make a base."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0007", "0006"


def upgrade() -> None:
    """Adds the name of the base that a job made."""
    op.add_column("jobs", sa.Column("derived_base", sa.String(80), nullable=False, server_default=""))
