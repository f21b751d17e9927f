from pathlib import Path

import numpy as np
import pytest

from symbiont.evaluation import estimates
from symbiont.solutions.loading import RecipeError, load_recipe
from symbiont.solutions.recipe_rows import Recommendation
from symbiont.solutions.recommending import ranking
from symbiont.solutions.recommending.pairs import Rating, held_pairs, histories_of, read_histories, training_pairs

RECIPE = """\
solution: films
title: Films
summary: Recommends films.
recommendation:
  ratings: {file: ratings.csv}
  items: {file: movies.csv}
  user: userId
  item: movieId
  rating: rating
  time: timestamp
  text: "{title}: {genres}"
  test_fraction: 0.5
  history: 2
task: {head: embedding}
evaluation: {baselines: [popularity, als]}
"""
TEXTS = {"1": "war", "2": "love", "3": "space", "4": "war again"}
RATINGS = [
    Rating("u", "1", 5, 1), Rating("u", "2", 4, 2), Rating("u", "3", 1, 3), Rating("v", "2", 5, 4),
    Rating("u", "4", 5, 5), Rating("v", "3", 5, 6), Rating("u", "1", 5, 7), Rating("w", "1", 5, 8),
]  # fmt: skip


@pytest.fixture
def recipe(tmp_path: Path) -> Recommendation:
    (tmp_path / "solution.yaml").write_text(RECIPE)
    found = load_recipe(tmp_path / "solution.yaml").recipe.recommendation
    assert found
    return found


def test_what_is_learnt_is_older_than_what_judges(recipe: Recommendation) -> None:
    found = histories_of(recipe, TEXTS, RATINGS)
    assert found.before == {"u": ["1", "2"], "v": ["2"]}
    # Nobody is recommended what he knows, and of whom nothing is known nothing is asked.
    assert found.after == {"u": {"4"}, "v": {"3"}}
    assert found.counts == {"1": 1, "2": 2}
    assert found.query("u", 2) == "love | war"
    assert [(row.text, row.pair) for row in training_pairs(found, recipe)] == [("war", "love")]
    assert [(row.text, row.pair) for row in held_pairs(found, recipe)] == [
        ("love | war", "war again"),
        ("love", "space"),
    ]


def test_of_each_user_the_latest_are_learnt_where_the_recipe_says_so(recipe: Recommendation) -> None:
    recipe = recipe.model_copy(update={"cut": "user", "test_fraction": 0.01})
    found = histories_of(recipe, TEXTS, RATINGS)
    pairs = [
        [(row.text, row.pair) for row in training_pairs(found, recipe.model_copy(update={"latest": n}))] for n in (1, 2)
    ]
    every = [(row.text, row.pair) for row in training_pairs(found, recipe)]
    assert pairs == [
        [("war again | love", "war"), ("love", "space")],
        [("love | war", "war again"), ("war again | love", "war"), ("love", "space")],
    ]
    assert len(every) == 4


def test_each_user_may_have_a_cut_of_his_own(recipe: Recommendation) -> None:
    found = histories_of(recipe.model_copy(update={"cut": "user", "test_fraction": 0.4}), TEXTS, RATINGS)
    assert found.before == {"u": ["1", "2"], "v": ["2"], "w": ["1"]}
    assert found.after == {"u": {"4"}, "v": {"3"}}


def test_ranks_leave_out_what_is_known_and_take_no_ties_for_found(recipe: Recommendation) -> None:
    found = histories_of(recipe, TEXTS, RATINGS)
    scores = np.array([[9, 8, 7, 1.0], [0, 9, 1, 0.5]])
    outcome = ranking.outcome_of(found, scores)
    # Of u, 1 to 3 are known; of v only 2.
    assert outcome.ranks.values[:, 0].tolist() == [1, 1]
    alike = ranking.outcome_of(found, np.zeros((2, 4)))
    assert alike.ranks.values[:, 0].tolist() == [1, 3]
    assert estimates(outcome)["ndcg_at_10"].value == 1


def test_popularity_orders_by_counts_and_texts_by_both(recipe: Recommendation) -> None:
    found = histories_of(recipe, TEXTS, RATINGS)
    assert ranking.popularity(found)[0].argsort()[::-1].tolist() == [1, 0, 2, 3]
    cosines = np.array([[0.0, 0.1, 0.0, 0.9], [0.0, 0.0, 0.9, 0.0]])
    assert ranking.by_texts(found, cosines, 0.0).argmax(axis=1).tolist() == [3, 2]
    assert ranking.by_texts(found, cosines, 10.0).argmax(axis=1).tolist() == [1, 1]


def test_als_finds_what_neighbours_liked() -> None:
    texts = {str(i): f"item {i}" for i in range(8)}
    ratings = [
        Rating(f"{side}{n}", str(item), 5, item)
        for side, items in (("a", range(4)), ("b", range(4, 8)))
        for n in range(12)
        for item in items
        if not (n == 0 and item in (3, 7))
    ]
    ratings += [Rating("a0", "3", 5, 99), Rating("b0", "7", 5, 99)]
    values = {
        "ratings": {"file": "r"},
        "items": {"file": "i"},
        "user": "u",
        "item": "i",
        "rating": "r",
        "time": "t",
        "text": "t",
    }
    recipe = Recommendation.model_validate(values | {"test_fraction": 2 / len(ratings)})
    found = histories_of(recipe, texts, ratings)
    assert ranking.outcome_of(found, ranking.als(found)).ranks.values[:, 0].tolist() == [1, 1]


def test_files_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "solution.yaml"
    path.write_text(RECIPE)
    with pytest.raises(RecipeError, match=r"recommendation\.items: .*movies\.csv does not exist"):
        read_histories(load_recipe(path), tmp_path)
    (tmp_path / "movies.csv").write_text("movieId,title,genres\n1,Heat,Crime\n2,Up,Family\n")
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating\n1,1,5\n")
    with pytest.raises(RecipeError, match=r"ratings\.csv has no column 'timestamp'"):
        read_histories(load_recipe(path), tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,1\n2,2,5,9\n")
    with pytest.raises(RecipeError, match="nobody with a history likes anything later"):
        read_histories(load_recipe(path), tmp_path)
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,1,5,1\n1,2,5,9\n")
    assert read_histories(load_recipe(path), tmp_path).after == {"1": {"2"}}
