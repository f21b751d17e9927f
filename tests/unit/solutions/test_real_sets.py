"""What ships against the real files: SYMBIONT_TEST_DATA=FOLDER, with a folder for each set in it."""

import os
from pathlib import Path

import pytest
from bench_solutions import FOLDERS, STANDS_IN, as_reports

from symbiont.evaluation import estimates
from symbiont.solutions.loading import find_recipe, shipped
from symbiont.solutions.recommending import ranking
from symbiont.solutions.recommending.pairs import read_histories
from symbiont.solutions.running import Run, check

DATA = os.environ.get("SYMBIONT_TEST_DATA", "")
real = pytest.mark.skipif(not DATA, reason="SYMBIONT_TEST_DATA names no folder")
pytestmark = pytest.mark.timeout(900)


def test_every_solution_has_a_set() -> None:
    assert FOLDERS.keys() == shipped().keys()


@real
@pytest.mark.parametrize("name", FOLDERS)
def test_the_files_are_as_the_recipe_says(name: str, tmp_path: Path) -> None:
    folder = Path(DATA) / FOLDERS[name]
    if name == STANDS_IN:
        folder = as_reports(folder, tmp_path)
    sides = check(Run(find_recipe(name), folder, tmp_path))
    assert len(sides.train) >= 400
    assert len(sides.test) >= 100


@pytest.mark.slow
@real
def test_als_recommends_better_than_popularity() -> None:
    histories = read_histories(find_recipe("film-recommendation"), Path(DATA) / FOLDERS["film-recommendation"])
    popular, factors = (
        estimates(ranking.outcome_of(histories, scores))["ndcg_at_10"]
        for scores in (ranking.popularity(histories), ranking.als(histories))
    )
    assert factors.low > popular.high
