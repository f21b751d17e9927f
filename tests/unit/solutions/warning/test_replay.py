import pytest
from prometheus_client import CollectorRegistry, generate_latest

from symbiont.solutions.reading import Record
from symbiont.solutions.recipe_rows import Source
from symbiont.solutions.recipe_serving import Chart, Replay
from symbiont.solutions.warning import counting
from symbiont.solutions.warning.counting import OTHER, TopicCounter
from symbiont.solutions.warning.replay import (
    Surge,
    daily_counts,
    dated_rows,
    judge,
    plan_surges,
    together,
    with_surges,
)

CHART = Chart(label="negative", weight=0.5, sigmas=4, least=4, cool_down=5, warm_up=10)
REPLAY = Replay(source=Source(file="x.csv"), text="heads", topic="pair", time="day", separator=", ")
FLAT = {"a": [2.0] * 60, "b": [1.0] * 60}


def record(**columns: str) -> Record:
    return Record(columns, "x.csv", 7)


def test_a_cell_with_several_texts_gives_a_row_for_each() -> None:
    rows = dated_rows(REPLAY, [record(pair="EURUSD", day="2023-01-02", heads="up, down, ")])
    assert rows == [("EURUSD", "2023-01-02", "up"), ("EURUSD", "2023-01-02", "down")]


@pytest.mark.parametrize("columns", [{"pair": "a", "day": "yesterday", "heads": "x"}, {"pair": "a", "heads": "x"}])
def test_rows_without_a_day_are_refused(columns: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"x.csv, row 7: topic, time \(ISO 8601\) or text"):
        dated_rows(REPLAY, [record(**columns)])


def test_days_without_rows_count_nothing() -> None:
    rows = [("a", "2023-01-01", "negative"), ("a", "2023-01-01", "positive"), ("b", "2023-01-04", "negative")]
    assert daily_counts(rows, "negative") == {"a": [1, 0, 0, 0], "b": [1]}
    # The first row begins a topic, whatever its label.
    assert daily_counts([*rows, ("b", "2023-01-02", "positive")], "negative")["b"] == [0, 0, 1]
    assert daily_counts([], "negative") == {}


def test_surges_that_are_put_in_are_found_and_counted() -> None:
    planned = plan_surges(FLAT, CHART, 3)
    assert len(planned) == 6
    assert plan_surges(FLAT, CHART, 3) == planned
    found = judge(with_surges(FLAT, planned), planned, CHART)
    assert (found.surges, found.found, found.false_alarms) == (6, 6, 0)
    assert (found.precision, found.recall, found.per_topic_90) == (1, 1, 0)
    assert max(found.delays) <= 3
    # What is not told of is an alarm of nothing.
    blind = judge(with_surges(FLAT, planned), [], CHART)
    assert (blind.false_alarms, blind.precision) == (6, 0)
    assert blind.per_topic_90 == pytest.approx(6 * 90 / 120)


def test_a_late_alarm_finds_nothing() -> None:
    counts = {"a": [2.0] * 20 + [2.0] * 5 + [30.0] * 3 + [2.0] * 10}
    found = judge(counts, [Surge("a", 20, 3, 5.0)], CHART)
    assert (found.found, found.false_alarms, found.recall) == (0, 1, 0)


def test_a_topic_is_shown_before_its_first_row_counts() -> None:
    registry = CollectorRegistry()
    counter = TopicCounter(registry, "s", ["negative"])
    counter.know("a")
    line = 'symbiont_solution_rows_total{label="negative",solution="s",topic="a"}'
    assert f"{line} 0.0" in generate_latest(registry).decode()
    counter.count("a", "negative")
    assert f"{line} 1.0" in generate_latest(registry).decode()


def test_topics_are_a_closed_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "MOST_TOPICS", 2)
    counter = TopicCounter(CollectorRegistry(), "s", ["negative"])
    assert [counter.know(topic) for topic in ("a", "b", "c", "a", "d")] == ["a", "b", OTHER, "a", OTHER]


def test_several_replays_are_one_figure() -> None:
    plans = [plan_surges(FLAT, CHART, 3, seed) for seed in range(4)]
    blind = judge(with_surges(FLAT, plans[0]), [], CHART)
    found = together([*(judge(with_surges(FLAT, planned), planned, CHART) for planned in plans), blind])
    assert (found.replays, found.surges, found.found, found.false_alarms) == (5, 24, 24, 6)
    assert len(found.delays) == 24
    assert found.per_topic_90 == pytest.approx(blind.per_topic_90 / 5)


def test_a_surge_that_begins_in_the_quiet_after_an_alarm_is_counted_apart() -> None:
    counts = {"a": [2.0] * 20 + [30.0] + [2.0] + [30.0] * 3 + [2.0] * 30}
    found = judge(counts, [Surge("a", 22, 3, 28.0), Surge("a", 45, 3, 0.0)], CHART)
    assert (found.found, found.quiet, found.false_alarms) == (0, 1, 1)
    assert together([found, found]).quiet == 2


def test_a_surge_has_so_many_rows_at_least() -> None:
    assert {surge.extra for surge in plan_surges({"a": [0.1] * 40}, CHART, 1)} == {2 * CHART.least}
    assert {surge.extra for surge in plan_surges({"a": [0.1] * 40}, CHART, 1, least=5)} == {5}
