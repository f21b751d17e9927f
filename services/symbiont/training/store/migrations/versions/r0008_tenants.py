"""Resources of tenants, and who asked for a job."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0008", "0007"

# All ids before which a tenant may stand.
_IDS = {
    "datasets": ["id"],
    "jobs": ["id", "tenant"],
    "checkpoints": ["job"],
    "events": ["job"],
    "tracked": ["job"],
    "models": ["id"],
    "versions": ["model", "base_model", "job"],
    "aliases": ["model", "alias"],
    "policies": ["model", "alias", "evaluation_dataset"],
    "decisions": ["model", "alias"],
    "releases": ["id", "model", "alias"],
    "bases": ["id"],
}


def upgrade() -> None:
    """Makes room for the tenant in ids, where a database keeps to their length, and adds who asked for a job."""
    op.add_column("jobs", sa.Column("principal", sa.String(128), nullable=False, server_default=""))
    if op.get_bind().dialect.name == "postgresql":
        for table, columns in _IDS.items():
            for column in columns:
                op.alter_column(table, column, type_=sa.String(128))
