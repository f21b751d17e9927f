"""Indexes that answer a look of the scheduler without the rows of the jobs, however many wait."""

from alembic import op

revision, down_revision = "0004", "0003"


def upgrade() -> None:
    """Replaces the index of the queue, and adds that of deadlines."""
    op.drop_index("jobs_in_queue", table_name="jobs")
    op.create_index("jobs_in_queue", "jobs", ["state", "priority", "number", "tenant", "retry_time"])
    op.create_index("jobs_by_deadline", "jobs", ["state", "finishing", "deadline"])
