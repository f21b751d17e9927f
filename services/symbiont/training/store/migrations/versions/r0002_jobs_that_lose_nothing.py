"""Tenants, priorities, budgets, pauses, leases, checkpoints on record, plans."""

from typing import Any

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0002", "0001"

_ID, _DIGEST, _TIME = sa.String(63), sa.String(64), sa.DateTime(timezone=True)


def _column(name: str, kind: sa.types.TypeEngine[Any], default: str) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, server_default=default)


def upgrade() -> None:
    """Jobs get their new columns, filled with what an old job had: no limits, and nobody who looks after it."""
    columns = [
        _column("tenant", _ID, "default"),
        _column("priority", sa.Integer(), "0"),
        sa.Column("budget", sa.JSON()),
        sa.Column("max_seconds", sa.Float()),
        sa.Column("deadline", _TIME),
        _column("price", sa.Float(), "0"),
        _column("used_seconds", sa.Float(), "0"),
        sa.Column("estimated_seconds", sa.Float()),
        _column("micro_batches", sa.Integer(), "1"),
        _column("best_digest", _DIGEST, ""),
        sa.Column("best_loss", sa.Float()),
        _column("finishing", sa.String(16), ""),
        sa.Column("retry_time", _TIME),
        _column("owner", sa.String(128), ""),
        sa.Column("lease_time", _TIME),
        sa.Column("heard_time", _TIME),
        _column("worker", sa.String(64), ""),
    ]
    for column in columns:
        op.add_column("jobs", column)
    op.drop_index("jobs_by_state", "jobs")
    op.create_index("jobs_in_queue", "jobs", ["state", "priority", "number"])
    op.create_table(
        "checkpoints",
        sa.Column("job", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
        sa.Column("step", sa.Integer(), primary_key=True),
        sa.Column("digest", _DIGEST, nullable=False),
        sa.Column("attempt", sa.Integer(), nullable=False),
        sa.Column("evaluation_loss", sa.Float()),
        sa.Column("create_time", _TIME, nullable=False),
    )
    op.create_table(
        "plans",
        sa.Column("number", sa.Integer(), primary_key=True, autoincrement=True),
        sa.Column("spec_digest", _DIGEST, nullable=False),
        sa.Column("seconds", sa.Float(), nullable=False),
        sa.Column("create_time", _TIME, nullable=False),
    )
    op.create_index("ix_plans_spec_digest", "plans", ["spec_digest"])
