"""Brings the tables of a database up to those of this release, by alembic.

A revision is a file in `versions/`. After a change of `tables.py`, write the next one: `test_migrations` fails until
the revisions make what the tables say.
"""

from pathlib import Path

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from alembic.script.revision import ResolutionError
from alembic.util import CommandError
from sqlalchemy import Connection, inspect

from symbiont.common.errors import FailedPrecondition
from symbiont.training.store import tables

FOLDER = Path(__file__).parent
REVISIONS = "alembic_version"


def migrate(db: Connection) -> None:
    """Makes the tables, or changes those of an older release, within the caller's transaction.

    Raises:
        FailedPrecondition: the database is of a newer release, or of one from before there was anything to keep.
    """
    config = configuration(db)
    head = ScriptDirectory.from_config(config).get_current_head()
    context = MigrationContext.configure(db)
    if context.get_current_revision() == head:
        return
    if not inspect(db).get_table_names():
        # Every revision from the first on would come to the same, and takes a while.
        tables.metadata.create_all(db)
        command.stamp(config, "head")
        return
    try:
        command.upgrade(config, "head")
    except (CommandError, ResolutionError) as exc:
        raise FailedPrecondition(
            f"the database is of a newer release ({context.get_current_revision()}): run that one, or restore a backup",
            reason="DATABASE_TOO_NEW",
        ) from exc


def configuration(db: Connection) -> Config:
    """Returns alembic's settings for a connection."""
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.attributes["connection"] = db
    return config
