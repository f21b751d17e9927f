"""The tables of the registry. JSON columns hold what is only ever read whole."""

from datetime import UTC, datetime
from typing import Any

from sqlalchemy import (
    JSON,
    Boolean,
    DateTime,
    Float,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    TypeDecorator,
    false,
)
from sqlalchemy import Column as C
from sqlalchemy.engine import Dialect
from typing_extensions import override


class Utc(TypeDecorator[datetime]):
    """A time that is UTC on both sides; SQLite alone would lose the zone."""

    impl = DateTime(timezone=True)
    cache_ok = True

    @override
    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


metadata = MetaData()
# With the tenant before it; SQLite keeps to no length.
_ID = String(63).with_variant(String(128), "postgresql")
_DIGEST = String(64)


def _table(name: str, *items: Any) -> Table:
    return Table(name, metadata, *items)


bases = _table(
    "bases",
    C("id", _ID, primary_key=True),
    C("digest", _DIGEST, nullable=False),
    C("body", JSON, nullable=False),
    C("create_time", Utc, nullable=False),
    # The newest quantised form.
    C("quantized_digest", _DIGEST),
)

datasets = _table(
    "datasets",
    C("id", _ID, primary_key=True),
    C("digest", _DIGEST, nullable=False),
    C("body", JSON, nullable=False),
    C("create_time", Utc, nullable=False),
)

jobs = _table(
    "jobs",
    # Grows with time, so that "newest first" needs no clock.
    C("number", Integer, primary_key=True, autoincrement=True),
    C("id", _ID, nullable=False, unique=True),
    C("request_id", String(128), unique=True),
    C("request_digest", _DIGEST, nullable=False),
    C("state", String(16), nullable=False),
    C("attempt", Integer, nullable=False),
    # Number of the last report of the current attempt that was taken: the others are repetitions.
    C("last_seq", Integer, nullable=False),
    C("last_event", Integer, nullable=False),
    # Workers lost since the last checkpoint: what moves on is not given up, however often it is interrupted.
    C("lost_in_a_row", Integer, nullable=False),
    C("attempt_time", Utc),
    C("spec", JSON, nullable=False),
    C("inputs", JSON, nullable=False),
    C("failure", JSON),
    C("progress", JSON),
    C("evaluation", JSON),
    C("checkpoint_digest", _DIGEST, nullable=False),
    C("model_version", String(160), nullable=False),
    C("create_time", Utc, nullable=False),
    C("start_time", Utc),
    C("end_time", Utc),
    C("tenant", _ID, nullable=False, server_default="default"),
    C("priority", Integer, nullable=False, server_default="0"),
    C("budget", JSON),
    # What the budgets come to: of training time and cost the smaller, and when the deadline is.
    C("max_seconds", Float),
    C("deadline", Utc),
    C("price", Float, nullable=False, server_default="0"),
    C("used_seconds", Float, nullable=False, server_default="0"),
    C("estimated_seconds", Float),
    C("micro_batches", Integer, nullable=False, server_default="1"),
    C("best_digest", _DIGEST, nullable=False, server_default=""),
    C("best_loss", Float),
    C("finishing", String(16), nullable=False, server_default=""),
    # Not before this time a job that lost its worker is started again.
    C("retry_time", Utc),
    # The controller that looks after the worker, and until when the others leave it to it.
    C("owner", String(128), nullable=False, server_default=""),
    C("lease_time", Utc),
    # Of a job that makes a version again: which, and what came of it.
    C("reproduction", JSON),
    # When the worker was last heard of, and which process it is.
    C("heard_time", Utc),
    C("worker", String(64), nullable=False, server_default=""),
    # The base that it made.
    C("derived_base", String(80), nullable=False, server_default=""),
    # Who asked for it; they do not approve what it makes.
    C("principal", String(128), nullable=False, server_default=""),
    # What is asked of jobs by the database itself, which cannot look into columns of JSON where these are encrypted.
    C("model", String(128), nullable=False, server_default=""),
    C("makes_base", String(80), nullable=False, server_default=""),
    C("reproduces", String(160), nullable=False, server_default=""),
    # With all that a look asks of jobs that wait, so that it reads no rows.
    Index("jobs_in_queue", "state", "priority", "number", "tenant", "retry_time"),
    Index("jobs_by_deadline", "state", "finishing", "deadline"),
)

checkpoints = _table(
    "checkpoints",
    C("job", _ID, ForeignKey("jobs.id"), primary_key=True),
    C("step", Integer, primary_key=True),
    C("digest", _DIGEST, nullable=False),
    C("attempt", Integer, nullable=False),
    C("evaluation_loss", Float),
    C("create_time", Utc, nullable=False),
)

plans = _table(
    "plans",
    C("number", Integer, primary_key=True, autoincrement=True),
    # Of the spec with every default filled in, and of what it works on.
    C("spec_digest", _DIGEST, nullable=False, index=True),
    C("seconds", Float, nullable=False),
    C("create_time", Utc, nullable=False),
)

events = _table(
    "events",
    C("job", _ID, ForeignKey("jobs.id"), primary_key=True),
    C("id", Integer, primary_key=True),
    C("time", Utc, nullable=False),
    C("attempt", Integer, nullable=False),
    C("kind", String(32), nullable=False),
    C("body", JSON, nullable=False),
)

# Jobs that a tracker has still something to hear of; a row goes when its job has ended and all is told.
tracked = _table(
    "tracked",
    C("tracker", String(32), primary_key=True),
    # No foreign key: rows are added under the registry's lock, where no lock of a job may be waited for.
    C("job", _ID, primary_key=True),
    # Its last event that was told.
    C("event", Integer, nullable=False),
    # The controller that tells it, and until when the others leave it to it.
    C("owner", String(128), nullable=False),
    C("lease_time", Utc),
)

# The number of the newest job that each tracker has, or had, a row for.
trackers = _table("trackers", C("name", String(32), primary_key=True), C("number", Integer, nullable=False))

models = _table("models", C("id", _ID, primary_key=True), C("create_time", Utc, nullable=False))

versions = _table(
    "versions",
    C("model", _ID, ForeignKey("models.id"), primary_key=True),
    C("number", Integer, primary_key=True),
    C("bundle_digest", _DIGEST, nullable=False),
    C("base_model", _ID, nullable=False),
    C("base_digest", _DIGEST, nullable=False),
    C("tokenizer_digest", _DIGEST, nullable=False),
    C("job", _ID, nullable=False),
    C("evaluation", JSON, nullable=False),
    C("create_time", Utc, nullable=False),
    C("evaluation_digest", _DIGEST, nullable=False, server_default=""),
    C("trained_on_erased", Boolean, nullable=False, server_default=false()),
)

erasures = _table(
    "erasures",
    C("number", Integer, primary_key=True, autoincrement=True),
    # Of whose rows it was; never the name itself.
    C("subject_digest", _DIGEST, nullable=False, index=True),
    # What stands in the place of what, and what has still to be removed.
    C("body", JSON, nullable=False),
    C("create_time", Utc, nullable=False),
)

aliases = _table(
    "aliases",
    C("model", _ID, ForeignKey("models.id"), primary_key=True),
    C("alias", _ID, primary_key=True),
    C("number", Integer, nullable=False),
    # Grows with every change of any alias: a watcher asks for what is newer than what it has.
    C("revision", Integer, nullable=False, index=True),
    C("update_time", Utc, nullable=False),
    # The version before.
    C("previous", Integer),
)

# The gate of an alias, which need not exist yet.
policies = _table(
    "policies",
    C("model", _ID, primary_key=True),
    C("alias", _ID, primary_key=True),
    C("body", JSON, nullable=False),
    C("evaluation_dataset", _ID, nullable=False),
    # Grows with every change of any policy.
    C("revision", Integer, nullable=False),
    C("principal", String(128), nullable=False),
    C("update_time", Utc, nullable=False),
)

# What was decided on aliases; rows are never changed.
decisions = _table(
    "decisions",
    C("number", Integer, primary_key=True, autoincrement=True),
    C("model", _ID, nullable=False),
    C("alias", _ID, nullable=False),
    C("kind", String(16), nullable=False),
    C("version", Integer, nullable=False),
    C("incumbent", Integer, nullable=False),
    C("principal", String(128), nullable=False),
    C("policy_revision", Integer, nullable=False),
    C("passed", Boolean, nullable=False),
    C("evaluation_digest", _DIGEST, nullable=False),
    C("body", JSON, nullable=False),
    C("time", Utc, nullable=False),
    Index("decisions_by_alias", "model", "alias", "version", "number"),
)

releases = _table(
    "releases",
    # Grows with time, so that "newest first" needs no clock.
    C("number", Integer, primary_key=True, autoincrement=True),
    C("id", _ID, nullable=False, unique=True),
    C("model", _ID, nullable=False),
    C("alias", _ID, nullable=False),
    C("candidate", Integer, nullable=False),
    C("baseline", Integer, nullable=False),
    C("weight", Integer, nullable=False),
    C("shadow", Boolean, nullable=False),
    C("rules", JSON, nullable=False),
    C("state", String(16), nullable=False),
    # Of releases that ended before there was `ended`.
    C("end_reason", String(1000), nullable=False),
    # Why, in the words of whoever ended it.
    C("ended", JSON),
    C("create_time", Utc, nullable=False),
    C("update_time", Utc, nullable=False),
    C("end_time", Utc),
    ForeignKeyConstraint(["model", "alias"], ["aliases.model", "aliases.alias"]),
    Index("releases_by_alias", "model", "alias", "number"),
)
# Whatever two callers do at once, an alias has one release that runs.
Index(
    "one_active_release",
    releases.c.model,
    releases.c.alias,
    unique=True,
    sqlite_where=releases.c.state == "ACTIVE",
    postgresql_where=releases.c.state == "ACTIVE",
)
