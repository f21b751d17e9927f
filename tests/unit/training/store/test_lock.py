"""An SQLite database has one controller."""

from pathlib import Path

import pytest

from symbiont.common.errors import FailedPrecondition
from symbiont.training.store.lock import ControllerLock


def test_a_second_controller_is_refused_until_the_first_is_gone(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.db"
    first = ControllerLock(url)
    with pytest.raises(FailedPrecondition, match="SQLite takes one; for several, set database_url to a PostgreSQL"):
        ControllerLock(url)
    first.release()
    ControllerLock(url).release()


def test_postgresql_needs_no_lock() -> None:
    for _ in range(2):
        ControllerLock("postgresql://app@/postgres").release()
