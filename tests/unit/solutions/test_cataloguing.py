import pytest

from symbiont.evaluation import estimates
from symbiont.solutions import baselines
from symbiont.solutions.cataloguing import entries_of, key_of, rows_of
from symbiont.solutions.loading import Located, RecipeError
from symbiont.solutions.rows import SolutionRow
from symbiont.solutions.running import Run, check

from .conftest import Solution

MATCHING = """\
solution: matching
title: Matching
summary: Finds what answers.
data:
  train: [{file: train.csv}]
  test: [{file: test.csv}]
task: {head: embedding}
serving: {catalogue: {id: answers, source: {file: train.csv}, key: label, text: text}}
"""


def matching(solution: Solution, keys: list[str]) -> Located:
    solution.recipe(MATCHING)
    solution.table("train", [(f"text {place}", key, "en") for place, key in enumerate(keys)])
    return solution.load()


def ids(located: Located, solution: Solution) -> list[str]:
    source = located.recipe.serving.catalogue
    assert source is not None
    return [entry for entry, _ in entries_of(located, source, solution.folder)]


def test_ids_give_their_keys_back_whatever_these_hold(solution: Solution) -> None:
    keys = ["a", "a", "a#2", "faq#1", "faq#2", "faq#1", "#", "##"]
    found = ids(matching(solution, keys), solution)
    assert [key_of(entry) for entry in found] == keys
    assert len(set(found)) == len(found)
    assert found[:2] == ["a", "a#2"]


def test_a_baseline_is_judged_by_whole_keys(solution: Solution) -> None:
    located = matching(solution, ["faq#1", "faq#2", "faq#3"])
    entries = [(entry, text) for entry, text in zip(ids(located, solution), ("one", "two", "three"), strict=True)]
    wrong = [SolutionRow("one", label="faq#2"), SolutionRow("two", label="faq#3")]
    found = baselines.baseline("tfidf", located.recipe, rows_of(entries), wrong)
    assert estimates(found)["recall_at_1"].value == 0


def test_rows_to_judge_by_name_entries(solution: Solution) -> None:
    located = matching(solution, ["a", "b", "a", "b"])
    solution.table("test", [("x", "a", "en"), ("y", "typo", "en")])
    with pytest.raises(
        RecipeError, match=r"yaml:8: serving.catalogue.key: test.csv, row 3: no entry has the key 'typo'"
    ):
        check(Run(located, solution.folder, solution.folder / "out"))
    solution.change("serving: {", "serving: {reject: {label: typo, below: 0.5}, ")
    assert len(check(Run(solution.load(), solution.folder, solution.folder / "out")).test) == 2
