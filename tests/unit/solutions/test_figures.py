from datetime import date, timedelta
from pathlib import Path

import pytest

from symbiont.api.training.v1.dataset_pb2 import Transform
from symbiont.client import Classification, ClassProbability, Prediction
from symbiont.common.errors import AlreadyExists, InvalidArgument
from symbiont.evaluation import Classified, estimates
from symbiont.solutions import baselines, figures
from symbiont.solutions.explanation import explanation
from symbiont.solutions.figures import Figures, Latency
from symbiont.solutions.learning import options_of
from symbiont.solutions.loading import find_recipe, shipped
from symbiont.solutions.monitoring import rules_of as prometheus_rules
from symbiont.solutions.outcomes import found_in_catalogue, outcome_of
from symbiont.solutions.page import render
from symbiont.solutions.preparing import transforms_of
from symbiont.solutions.promoting import rules_of
from symbiont.solutions.recipe import Recipe
from symbiont.solutions.recipe_evaluation import Bar, Evaluation, Gate
from symbiont.solutions.recipe_rows import DataGate
from symbiont.solutions.recipe_serving import Reject, Serving
from symbiont.solutions.rows import SolutionRow
from symbiont.solutions.running import Run, check
from symbiont.solutions.scaffold import scaffold
from symbiont.solutions.table import BEGIN, END, empty_table, write_table

from .conftest import Solution

ROWS = [SolutionRow(f"text {i}", label="ab"[i % 2], slices={"side": "lr"[i // 2 % 2]}) for i in range(40)]


def said(label: str, probability: float = 0.9) -> Prediction:
    other = "b" if label == "a" else "a"
    classes = (ClassProbability(label, probability), ClassProbability(other, 1 - probability))
    return Prediction(Classification(classes, classes[0]), False)


def recipe_of(solution: Solution, **changes: object) -> Recipe:
    return solution.load().recipe.model_copy(update=changes)


def test_answers_are_judged_with_intervals_and_by_slices(solution: Solution) -> None:
    recipe = recipe_of(solution)
    outcome = outcome_of(recipe, ROWS, [said("a")] * 40)
    measured = {one.metric: one.estimate for one in figures.measure(recipe, outcome)}
    assert measured["accuracy"].value == 0.5
    assert measured["accuracy"].low < 0.5 < measured["accuracy"].high
    assert {(row.slice, row.value, row.rows) for row in figures.slices_of(outcome)} == {
        ("side", "l", 20), ("side", "r", 20),
    }  # fmt: skip


def test_what_no_label_reaches_is_rejected(solution: Solution) -> None:
    recipe = recipe_of(solution, serving=Serving(reject=Reject(label="oos", below=0.6)))
    rows = [*ROWS[:20], *(SolutionRow(f"other {i}", label="oos", slices={"side": "l"}) for i in range(10))]
    predictions = [
        said(str(row.label)) if row.label != "oos" else said("a", 0.55 if i % 2 else 0.95) for i, row in enumerate(rows)
    ]
    measured = {
        one.metric: one.estimate.value for one in figures.measure(recipe, outcome_of(recipe, rows, predictions))
    }
    assert measured[figures.IN_SCOPE] == 1
    assert measured[figures.OUT_OF_SCOPE] == 0.5


def test_an_answer_of_a_catalogue_counts_once_however_many_texts_it_has() -> None:
    rows = [SolutionRow("q", label="a"), SolutionRow("r", label="b"), SolutionRow("s", label="c")]
    outcome = found_in_catalogue(rows, [["a", "b"], ["a", "a", "a", "b"], ["a", "b"]], 30)
    assert [outcome.ranks.of(place)[0, 0] for place in range(3)] == [1, 2, 30]


def test_what_a_small_catalogue_does_not_find_is_behind_every_cut() -> None:
    rows = [SolutionRow("q", label="typo"), SolutionRow("r", label="a")]
    found = estimates(found_in_catalogue(rows, [["a", "b"], ["b", "a"]], 8))
    assert found["recall_at_10"].value == 0.5


def test_bars_are_held_missed_or_not_judged(solution: Solution) -> None:
    bars = (
        Bar(metric="accuracy", at_least=0.9),
        Bar(metric="accuracy", at_least=0.99),
        Bar(metric="accuracy", above_baseline=0.3, baseline="majority"),
        Bar(metric="accuracy", above_baseline=1.5, baseline="majority", relative=True),
        Bar(metric="accuracy", above_baseline=0.1, baseline="vader"),
        Bar(metric="log_loss", above_baseline=0.0, baseline="majority"),
    )
    recipe = recipe_of(solution, evaluation=Evaluation(bars=bars))
    right = outcome_of(recipe, ROWS, [said(str(row.label)) for row in ROWS[:38]] + [said("a"), said("a")])
    majority = figures.beside(recipe, "majority", right, baselines.baseline("majority", recipe, ROWS, ROWS))
    found = figures.judge_bars(recipe, figures.measure(recipe, right), [majority])
    assert [bar.held for bar in found] == [True, False, True, False, None, True]


@pytest.mark.parametrize("relative", [False, True])
def test_as_good_as_a_baseline_is_not_better(solution: Solution, relative: bool) -> None:
    bars = tuple(
        Bar(metric=metric, above_baseline=0.0, baseline="majority", relative=relative)
        for metric in ("accuracy", "log_loss")
    )
    recipe = recipe_of(solution, evaluation=Evaluation(bars=bars))
    majority = baselines.baseline("majority", recipe, ROWS, ROWS)
    beside = figures.beside(recipe, "majority", majority, majority)
    assert [bar.held for bar in figures.judge_bars(recipe, beside.measured, [beside])] == [False, False]


def test_baselines_learn_what_there_is_to_learn(solution: Solution) -> None:
    recipe = recipe_of(solution)
    train = [
        SolutionRow(f"{word} card {i}", label=label)
        for i in range(20)
        for word, label in (("great", "good"), ("糟糕", "bad"))
    ]
    test = [SolutionRow("great service", label="good"), SolutionRow("服务糟糕", label="bad")]
    measured = {
        m.metric: m.estimate.value for m in figures.measure(recipe, baselines.baseline("tfidf", recipe, train, test))
    }
    assert measured["accuracy"] == 1


def test_trees_learn_from_fields_alone(solution: Solution) -> None:
    solution.change("slices: [language]", "fields: {n: number, k: category}")
    recipe = solution.load().recipe
    rows = [
        SolutionRow("same", label="good" if i % 10 > 4 else "bad", fields={"n": float(i % 10), "k": "x"})
        for i in range(200)
    ]
    found = baselines.baseline(
        "trees", recipe, rows, [*rows[:10], SolutionRow("same", label="bad", fields={"k": "new"})]
    )
    assert figures.measure(recipe, found)[0].estimate.value >= 10 / 11


def test_trees_take_dates_as_numbers_and_any_number_of_categories(solution: Solution) -> None:
    solution.change("slices: [language]", "fields: {day: date, k: category}")
    recipe = solution.load().recipe
    days = [(date(2024, 1, 1) + timedelta(day)).isoformat() for day in range(400)]
    rows = [
        SolutionRow("same", label="late" if place >= 200 else "early", fields={"day": day, "k": f"k{place}"})
        for place, day in enumerate(days)
    ]
    # Days between and beyond those that were learnt, at a time of the day, and none at all.
    test = [
        SolutionRow("same", label=label, fields={"day": day, "k": "new"})
        for day, label in ((f"{days[3]}T10:00:00+08:00", "early"), ("2030-01-01", "late"))
    ]
    found = baselines.baseline("trees", recipe, rows, [*test, SolutionRow("same", label="late")])
    assert isinstance(found, Classified)
    assert [found.labels[place] for place in found.answered[:2]] == ["early", "late"]


def test_baselines_decide_by_costs_too() -> None:
    recipe = find_recipe("credit-risk").recipe
    rows = [SolutionRow(f"text {i}", label="bad" if i % 4 == 0 else "good") for i in range(40)]
    measured = {
        m.metric: m.estimate.value for m in figures.measure(recipe, baselines.baseline("majority", recipe, rows, rows))
    }
    # A quarter is bad, and missing one costs five times what a good one refused does: all are refused.
    assert measured["accuracy"] == 0.25
    assert measured["mean_cost"] == 0.75


@pytest.mark.parametrize(
    ("name", "texts"),
    [
        ("vader", ["what a great profit", "a horrible loss", "the table"]),
        ("snownlp", ["非常满意，很好", "太差了，糟糕透顶"]),
    ],
)
def test_lexicons_say_sides(solution: Solution, name: str, texts: list[str]) -> None:
    labels = ["positive", "negative", "neutral"][: len(texts)]
    rows = [SolutionRow(text, label=label) for text, label in zip(texts, labels, strict=True)]
    found = baselines.baseline(name, recipe_of(solution), rows, rows)  # type: ignore[arg-type]
    assert figures.measure(recipe_of(solution), found)[0].estimate.value == 1
    with pytest.raises(InvalidArgument, match="negative, neutral and positive"):
        baselines.baseline(name, recipe_of(solution), ROWS, ROWS)  # type: ignore[arg-type]


def test_the_nearest_sentence_answers() -> None:
    recipe = find_recipe("reading-answers").recipe
    row = SolutionRow("谁喜欢茶？", "王先生喜欢茶。李先生不来。", [{"start": 0, "text": "王先生喜欢茶"}])
    assert figures.measure(recipe, baselines.baseline("overlap", recipe, [], [row]))[0].estimate.value > 0.9


def figures_with(**changes: object) -> Figures:
    values = {
        "solution": "s", "title": "T & <b>", "version": "models/s/versions/2", "bundle_digest": "ab", "base": "bases/x",
        "method": "lora", "sample": False, "uploaded": 10, "learnt": 9, "judged": 40, "seconds": 12.0,
        "primary": "accuracy", "latency": Latency(p50_ms=1.5, p99_ms=3, calls=5),
    }  # fmt: skip
    return Figures.model_validate(values | changes)


def measured_figures(solution: Solution, **changes: object) -> Figures:
    recipe = recipe_of(solution)
    outcome = outcome_of(recipe, ROWS, [said(str(row.label)) for row in ROWS])
    majority = figures.beside(recipe, "majority", outcome, baselines.baseline("majority", recipe, ROWS, ROWS))
    return figures_with(measured=figures.measure(recipe, outcome), baselines=(majority,), **changes)


def test_the_page_says_what_is_known_and_escapes_it(solution: Solution) -> None:
    page = render(measured_figures(solution))
    assert "T &amp; &lt;b&gt;" in page
    assert "100.0 %" in page
    assert "quick look" not in page
    assert "quick look" in render(measured_figures(solution, sample=True))


def test_the_table_is_put_in_its_place_and_only_by_whole_runs(solution: Solution, tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{empty_table(['accuracy'])}\nafter\n")
    assert "not yet run" in readme.read_text()
    write_table(readme, measured_figures(solution))
    text = readme.read_text()
    assert "not yet run" not in text
    assert text.startswith(f"before\n{BEGIN}\n")
    assert text.endswith(f"{END}\nafter\n")
    assert "| accuracy | 100.0 %" in text
    assert "majority 50.0 %" in text
    write_table(readme, measured_figures(solution))
    assert readme.read_text() == text
    with pytest.raises(InvalidArgument, match="--rows"):
        write_table(readme, measured_figures(solution, sample=True))
    readme.write_text("no place")
    with pytest.raises(InvalidArgument, match="has no lines"):
        write_table(readme, measured_figures(solution))


def test_what_is_begun_is_right_from_the_start(tmp_path: Path) -> None:
    made = scaffold("complaints", tmp_path)
    located = find_recipe(str(made))
    sides = check(Run(located, made / "data", tmp_path / "out"))
    assert len(sides.train) == 48
    mixed = scaffold("mixed", tmp_path, "mixed")
    both = check(Run(find_recipe(str(mixed)), mixed / "data", tmp_path / "out"))
    assert {row.slices["language"] for row in both.test} == {"en", "zh"}
    assert find_recipe(str(mixed)).recipe.base.id == "e5-small"
    assert {row.label for row in sides.test} == {"complaint", "question"}
    with pytest.raises(AlreadyExists, match="take another name"):
        scaffold("complaints", tmp_path)
    with pytest.raises(InvalidArgument, match="beginning with a letter"):
        scaffold("My Complaints", tmp_path)


def test_the_data_gate_is_done_in_order() -> None:
    gate = DataGate(anonymize=("email", "id-card"), drop_suspects=0.1, balance="down")
    made = transforms_of(gate, "rows")
    assert [one.WhichOneof("transform") for one in made] == [
        "clean",
        "deduplicate",
        "anonymize",
        "drop_suspects",
        "balance",
    ]
    assert made[1].deduplicate.against == "datasets/rows"
    assert made[2] != Transform()
    assert transforms_of(DataGate(clean=False, deduplicate=None), "rows") == []


def test_rules_of_a_gate_are_the_service_s() -> None:
    rules = rules_of(Gate(metric="macro_f1", not_worse=0.0, max_ece=0.1, floor={"accuracy": 0.8}))
    assert [rule.WhichOneof("rule") for rule in rules] == ["not_worse", "calibration_limit", "floor"]
    assert (rules[0].not_worse.metric, rules[2].floor.metric, rules[2].floor.value) == ("macro_f1", "accuracy", 0.8)


def test_a_bound_of_zero_is_one() -> None:
    recipe = find_recipe("credit-risk").recipe
    task = recipe.task.model_copy(update={"head": "score", "minimum": 0.0, "maximum": 5.0})
    options = options_of(recipe.model_copy(update={"task": task}))
    assert (options["minimum"], options["maximum"]) == (0.0, 5.0)


@pytest.mark.parametrize("name", shipped())
def test_what_ships_can_be_explained_and_trained(name: str) -> None:
    recipe = find_recipe(name).recipe
    words = dict(explanation(recipe))
    assert {"base", "training", "head", "serves as", "watched"} <= words.keys()
    assert options_of(recipe)["head"] == recipe.task.head
    assert baselines.problems(recipe) == []
    assert f'model="{recipe.model}"' in str(prometheus_rules(recipe))
