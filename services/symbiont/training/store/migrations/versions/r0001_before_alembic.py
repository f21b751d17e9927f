"""What releases before alembic made: tables and columns that such a database lacks are added."""

from typing import Any

import sqlalchemy as sa
from alembic import op

from symbiont.common.errors import FailedPrecondition

revision, down_revision = "0001", None

_ID, _DIGEST, _TIME = sa.String(63), sa.String(64), sa.DateTime(timezone=True)


def _needed(name: str, kind: sa.types.TypeEngine[Any], **more: Any) -> sa.Column[Any]:
    return sa.Column(name, kind, nullable=False, **more)


_TABLES: dict[str, list[sa.schema.SchemaItem]] = {
    "bases": [
        _needed("id", _ID, primary_key=True),
        _needed("digest", _DIGEST),
        _needed("body", sa.JSON()),
        _needed("create_time", _TIME),
        sa.Column("quantized_digest", _DIGEST),
    ],
    "datasets": [
        _needed("id", _ID, primary_key=True),
        _needed("digest", _DIGEST),
        _needed("body", sa.JSON()),
        _needed("create_time", _TIME),
    ],
    "jobs": [
        _needed("number", sa.Integer(), primary_key=True, autoincrement=True),
        _needed("id", _ID, unique=True),
        sa.Column("request_id", sa.String(128), unique=True),
        _needed("request_digest", _DIGEST),
        _needed("state", sa.String(16)),
        _needed("attempt", sa.Integer()),
        _needed("last_seq", sa.Integer()),
        _needed("last_event", sa.Integer()),
        _needed("lost_in_a_row", sa.Integer()),
        sa.Column("attempt_time", _TIME),
        _needed("spec", sa.JSON()),
        _needed("inputs", sa.JSON()),
        sa.Column("failure", sa.JSON()),
        sa.Column("progress", sa.JSON()),
        sa.Column("evaluation", sa.JSON()),
        _needed("checkpoint_digest", _DIGEST),
        _needed("model_version", sa.String(160)),
        _needed("create_time", _TIME),
        sa.Column("start_time", _TIME),
        sa.Column("end_time", _TIME),
    ],
    "events": [
        sa.Column("job", _ID, sa.ForeignKey("jobs.id"), primary_key=True),
        _needed("id", sa.Integer(), primary_key=True),
        _needed("time", _TIME),
        _needed("attempt", sa.Integer()),
        _needed("kind", sa.String(32)),
        _needed("body", sa.JSON()),
    ],
    "models": [_needed("id", _ID, primary_key=True), _needed("create_time", _TIME)],
    "versions": [
        sa.Column("model", _ID, sa.ForeignKey("models.id"), primary_key=True),
        _needed("number", sa.Integer(), primary_key=True),
        _needed("bundle_digest", _DIGEST),
        _needed("base_model", _ID),
        _needed("base_digest", _DIGEST),
        _needed("tokenizer_digest", _DIGEST),
        _needed("job", _ID),
        _needed("evaluation", sa.JSON()),
        _needed("create_time", _TIME),
    ],
    "aliases": [
        sa.Column("model", _ID, sa.ForeignKey("models.id"), primary_key=True),
        _needed("alias", _ID, primary_key=True),
        _needed("number", sa.Integer()),
        _needed("revision", sa.Integer()),
        _needed("update_time", _TIME),
        sa.Column("previous", sa.Integer()),
    ],
    "releases": [
        _needed("number", sa.Integer(), primary_key=True, autoincrement=True),
        _needed("id", _ID, unique=True),
        _needed("model", _ID),
        _needed("alias", _ID),
        _needed("candidate", sa.Integer()),
        _needed("baseline", sa.Integer()),
        _needed("weight", sa.Integer()),
        _needed("shadow", sa.Boolean()),
        _needed("rules", sa.JSON()),
        _needed("state", sa.String(16)),
        _needed("end_reason", sa.String(1000)),
        _needed("create_time", _TIME),
        _needed("update_time", _TIME),
        sa.Column("end_time", _TIME),
        sa.ForeignKeyConstraint(["model", "alias"], ["aliases.model", "aliases.alias"]),
    ],
}


def upgrade() -> None:
    """Makes what is missing."""
    known = sa.inspect(op.get_bind())
    for table, items in _TABLES.items():
        if not known.has_table(table):
            op.create_table(table, *items)
            continue
        present = {column["name"] for column in known.get_columns(table)}
        for column in (item for item in items if isinstance(item, sa.Column) and item.name not in present):
            if not column.nullable:
                name = f"{table}.{column.name}"
                raise FailedPrecondition(f"the database is too old: it has no {name}, and none can be made up")
            op.add_column(table, column)
    op.create_index("jobs_by_state", "jobs", ["state", "number"], if_not_exists=True)
    op.create_index("ix_aliases_revision", "aliases", ["revision"], if_not_exists=True)
    op.create_index("releases_by_alias", "releases", ["model", "alias", "number"], if_not_exists=True)
    runs = sa.text("state = 'ACTIVE'")
    options: dict[str, Any] = {"unique": True, "sqlite_where": runs, "postgresql_where": runs, "if_not_exists": True}
    op.create_index("one_active_release", "releases", ["model", "alias"], **options)
