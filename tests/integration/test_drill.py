"""The drill in small: `make drill` kills in thirty trainings what is killed here in one."""

from pathlib import Path

import pytest

from drill.drill import Drill


@pytest.mark.timeout(600)
def test_what_is_killed_ends_as_if_nothing_had_happened(tmp_path: Path) -> None:
    drill = Drill(tmp_path, seed=0, epochs=8)
    try:
        drill.start(undisturbed=1)
        outcome = drill.run("both")
        print(outcome)
        assert outcome.problems == []
    finally:
        drill.stop()
