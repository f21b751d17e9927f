import json
from pathlib import Path

import pytest

from symbiont.solutions import loading
from symbiont.solutions.loading import RecipeError, find_recipe, load_recipe, shipped
from symbiont.solutions.recipe import json_schema

from .conftest import Solution


def said(solution: Solution) -> str:
    with pytest.raises(RecipeError) as caught:
        solution.load()
    return str(caught.value)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("title: Reviews", "titel: Reviews", ["solution.yaml:2: titel: there is no such key: did you mean title?"]),
        ("title: Reviews\n", "", ["title: it is missing: add it"]),
        ("language: mixed", "language: latin", ["solution.yaml:4: language:", "'en', 'zh' or 'mixed'", "not 'latin'"]),
        ("slices: [language]", "slices: lang", ["solution.yaml:11: data.slices: it is a list: write [lang]"]),
        ("map: {good: good,", "map: {yes: good,", ["data.label.map", 'without quotes are no names: write "yes"']),
        ("{file: train.csv}", "{fil: train.csv}", ["solution.yaml:6: data.train.0.fil: there is no such key"]),
        ("solution: reviews", "solution: My Reviews", ["solution.yaml:1: solution:", "not 'My Reviews'"]),
        ("summary: Says", "summary: a: b: Says", ["solution.yaml:3: this is not YAML", "quote texts"]),
        ("title: Reviews", "title: Reviews\ntitle: Again", ["solution.yaml:3: title stands here twice"]),
        (
            "  slices:",
            "  split: {by: group}\n  slices:",
            ["solution.yaml:5: data: `test` and `split` exclude each other"],
        ),
        (
            "  test: [{file: test.csv}]\n",
            "  split: {by: time}\n",
            ["a split by time needs the column: add `time: COLUMN`"],
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_line_and_a_remedy(
    solution: Solution, old: str, new: str, words: list[str]
) -> None:
    solution.change(old, new)
    found = said(solution)
    for word in words:
        assert word in found, found


def test_all_problems_are_said_at_once(solution: Solution) -> None:
    solution.change("title: Reviews", "titel: Reviews")
    solution.change("column: label", "colum: label")
    assert len(said(solution).splitlines()) == 4
    assert "data.label.colum: there is no such key: did you mean column?" in said(solution)


@pytest.mark.parametrize(
    ("more", "problem"),
    [
        (
            "evaluation: {deletion_test: 8}\ntask: {head: multi-label}",
            "`evaluation.deletion_test` is of classification",
        ),
        ("serving: {hand_over: {below: 0.5}}\ntask: {head: score}", "`serving.hand_over` is of classification"),
        ("serving: {hand_over: {below: 1.5}}", "serving.hand_over.below: input should be less than or equal to 1"),
        (
            "serving: {release: {weight: 10}, catalogue: {id: a, source: {file: a.csv}, key: k, text: t}}",
            "`serving.release` does not go with `serving.catalogue`, which one version embeds at a time: leave it out",
        ),
        ("serving: {reasons: letter}", "serving.reasons: input should be 'word' or 'sentence'"),
    ],
)
def test_what_does_not_go_together_is_refused(solution: Solution, more: str, problem: str) -> None:
    solution.change("solution: reviews\n", f"solution: reviews\n{more}\n")
    assert problem in said(solution)


def test_a_recommendation_is_not_released_bit_by_bit(solution: Solution) -> None:
    rated = (
        "recommendation: {ratings: {file: r}, items: {file: i}, user: u, item: i, rating: r, time: t, text: x}\n"
        "serving: {release: {shadow: true}}\n"
    )
    solution.recipe(f"solution: x\ntitle: x\nsummary: x\n{rated}")
    assert "`serving.release` does not go with `recommendation`" in said(solution)


def test_words_go_with_tags(solution: Solution) -> None:
    solution.change("    column: label\n", "    column: label\n    words: text\n")
    assert "`words` goes with `kind: entities`" in said(solution)


def test_rows_come_from_one_section(solution: Solution) -> None:
    solution.recipe("solution: x\ntitle: x\nsummary: x\n")
    assert "say where rows come from" in said(solution)


def test_a_place_that_has_no_line_of_its_own_gets_that_of_its_section(solution: Solution) -> None:
    located = solution.load()
    assert located.at("data", "label", "map") == f"{solution.path}:10: data.label.map"
    assert located.at("gate", "clean").startswith(f"{solution.path}:1:")


def test_a_recipe_is_found_by_id_folder_and_file(solution: Solution) -> None:
    assert find_recipe(str(solution.folder)).recipe == find_recipe(str(solution.path)).recipe
    assert find_recipe("financial-sentiment").recipe.solution == "financial-sentiment"
    with pytest.raises(RecipeError, match=r"there are .*financial-sentiment"):
        find_recipe("nothing-of-the-kind")


@pytest.mark.parametrize("name", shipped())
def test_what_ships_is_right_and_is_called_what_its_folder_is(name: str) -> None:
    path = shipped()[name]
    recipe = load_recipe(path).recipe
    assert recipe.solution == name
    assert (path.parent / "README.md").is_file()
    schema = path.read_text(encoding="utf-8").splitlines()[0].rpartition("=")[2]
    assert (path.parent / schema).resolve() == (Path(loading.__file__).parent / "schema.json").resolve()


def test_the_published_schema_is_that_of_the_code() -> None:
    published = json.loads((Path(loading.__file__).parent / "schema.json").read_text(encoding="utf-8"))
    assert published == json_schema()


def test_numbers_are_names(solution: Solution) -> None:
    solution.change("map: {good: good, bad: bad}", "map: {1: good, 0: bad}\n    drop: [2]")
    label = solution.load().recipe.data.label  # type: ignore[union-attr]
    assert (label.map, label.drop) == ({"1": "good", "0": "bad"}, ("2",))
