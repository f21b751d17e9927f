"""Columns of JSON may be encrypted: what is looked for in them stands beside them, and texts of people in them."""

import sqlalchemy as sa
from alembic import op

revision, down_revision = "0009", "0008"

_LENGTHS = {"model": 128, "makes_base": 80, "reproduces": 160}


def upgrade() -> None:
    """Adds the columns, and fills them in from what is there, which is plain."""
    for name, length in _LENGTHS.items():
        op.add_column("jobs", sa.Column(name, sa.String(length), nullable=False, server_default=""))
    op.add_column("releases", sa.Column("ended", sa.JSON()))
    jobs = sa.table("jobs", *(sa.column(name) for name in ("id", *_LENGTHS)), _json("spec"), _json("reproduction"))
    bind = op.get_bind()
    for row in bind.execute(sa.select(jobs.c.id, jobs.c.spec, jobs.c.reproduction)).mappings().all():
        values = {
            "model": row["spec"].get("model") or "",
            "makes_base": row["spec"].get("derived_base") or "",
            "reproduces": (row["reproduction"] or {}).get("model_version") or "",
        }
        bind.execute(sa.update(jobs).where(jobs.c.id == row["id"]).values(values))


def _json(name: str) -> sa.ColumnClause[object]:
    return sa.column(name, sa.JSON())
