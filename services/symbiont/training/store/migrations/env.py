"""Run by alembic: applies revisions on the connection that `migrate` hands over, within its transaction."""

from alembic import context

from symbiont.training.store import tables

connection = context.config.attributes["connection"]
# SQLite changes a column by making the table anew.
context.configure(connection=connection, target_metadata=tables.metadata, render_as_batch=True)
context.run_migrations()
