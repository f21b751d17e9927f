"""Gates of aliases and what was decided, reports of versions, versions that are made again."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0005", "0004"

_ID, _DIGEST, _NAME = sa.String(63), sa.String(64), sa.String(128)
_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Aliases have no gate before somebody sets one, and versions that are there have no report."""
    op.add_column("versions", sa.Column("evaluation_digest", _DIGEST, nullable=False, server_default=""))
    op.add_column("jobs", sa.Column("reproduction", sa.JSON()))
    op.create_table(
        "policies",
        sa.Column("model", _ID, primary_key=True),
        sa.Column("alias", _ID, primary_key=True),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("evaluation_dataset", _ID, nullable=False),
        sa.Column("revision", sa.Integer(), nullable=False),
        sa.Column("principal", _NAME, nullable=False),
        sa.Column("update_time", _TIME, nullable=False),
    )
    op.create_table(
        "decisions",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("model", _ID, nullable=False),
        sa.Column("alias", _ID, nullable=False),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("incumbent", sa.Integer(), nullable=False),
        sa.Column("principal", _NAME, nullable=False),
        sa.Column("policy_revision", sa.Integer(), nullable=False),
        sa.Column("passed", sa.Boolean(), nullable=False),
        sa.Column("evaluation_digest", _DIGEST, nullable=False),
        sa.Column("body", sa.JSON(), nullable=False),
        sa.Column("time", _TIME, nullable=False),
    )
    op.create_index("decisions_by_alias", "decisions", ["model", "alias", "version", "number"])
