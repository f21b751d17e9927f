"""The chart, by itself and against Prometheus's own engine on the same counts."""

import random
import subprocess
from pathlib import Path

import pytest
import yaml

from support.prometheus import HINT, find
from symbiont.solutions.recipe_serving import Chart
from symbiont.solutions.warning.chart import ControlChart
from symbiont.solutions.warning.replay import alarms_of
from symbiont.solutions.warning.rules import ALARM, AVERAGE, LIMIT, METRIC, chart_group, seconds_of

CHART = Chart(label="negative", window="1d", weight=0.5, memory=0.05, sigmas=4, least=4, cool_down=5, warm_up=10)


def poisson(mean: float, windows: int, seed: int) -> list[float]:
    """Counts with a mean; by Knuth, for the tests bring no scipy."""
    chance, counts = random.Random(seed), []
    for _ in range(windows):
        product, count = chance.random(), 0
        while product > 2.718281828459045**-mean:
            product *= chance.random()
            count += 1
        counts.append(float(count))
    return counts


def test_a_surge_alarms_in_its_first_windows_and_then_is_quiet_for_a_while() -> None:
    alarms = alarms_of({"a": [2.0] * 20 + [12.0] * 4 + [2.0] * 10}, CHART)["a"]
    assert alarms == [20]
    again = alarms_of({"a": [2.0] * 20 + [12.0] * 8}, CHART)["a"]
    assert again == [20, 26]


def test_nothing_alarms_while_it_warms_up_or_below_the_least() -> None:
    assert alarms_of({"a": [1.0] * 5 + [20.0]}, CHART)["a"] == []
    assert alarms_of({"a": [0.0] * 30 + [3.0] * 5}, CHART)["a"] == []


def test_a_surge_does_not_become_usual_at_once() -> None:
    chart, still = ControlChart(CHART), ControlChart(CHART)
    for _ in range(30):
        chart.add(2.0)
        still.add(2.0)
    chart.add(1000.0)
    # The limit moves as if the count had been the most that is usual: 2 and four deviations of 1.4.
    assert chart.add(2.0).limit < still.add(2.0).limit + 0.6


@pytest.mark.parametrize("mean", [0.3, 2.0, 8.0, 40.0])
def test_chance_alone_alarms_less_than_once_per_topic_and_90_windows(mean: float) -> None:
    topics, windows = 40, 400
    alarms = alarms_of({f"t{i}": poisson(mean, windows, i) for i in range(topics)}, CHART)
    assert sum(map(len, alarms.values())) * 90 / (topics * windows) <= 1


@pytest.mark.parametrize("mean", [1.0, 4.0, 20.0])
def test_a_surge_of_twice_the_usual_and_more_is_found_within_three_windows(mean: float) -> None:
    found = 0
    for seed in range(30):
        counts = poisson(mean, 64, seed)
        for window in range(60, 64):
            counts[window] += max(3 * mean, 8.0)
        found += any(60 <= alarm <= 63 for alarm in alarms_of({"a": counts}, CHART)["a"])
    assert found == 30


def samples(counts: list[float]) -> str:
    """The counter after each window, for promtool: 0 at first."""
    total, values = 0.0, ["0"]
    for count in counts:
        total += count
        values.append(f"{total:g}")
    return " ".join(values)


def expected(name: str, values: list[float | None]) -> list[dict[str, object]]:
    """Tests that a series has these values, window by window; None where it has none."""
    labels = '{solution="s", topic="a"}'
    return [
        {
            # promtool compares every digit.
            "expr": f"abs({name} - {value or 0!r}) < bool 1e-9",
            "eval_time": f"{(window + 1) * 1440}m",
            "exp_samples": [] if value is None else [{"labels": labels, "value": 1}],
        }
        for window, value in enumerate(values)
    ]


def promtool(folder: Path, counts: list[float], chart: Chart, tests: list[dict[str, object]]) -> str:
    """Has promtool judge the rules on counts; returns what it says is wrong."""
    program = find("promtool")
    assert program, HINT
    # Windows begin at 0, at which a counter is 0 and the group is judged for the first time: one window of nothing.
    (folder / "rules.yml").write_text(yaml.safe_dump({"groups": [chart_group("s", chart)]}))
    series = [{"series": f'{METRIC}{{solution="s", topic="a", label="negative"}}', "values": samples(counts)}]
    case = {"interval": "1d", "input_series": series, "promql_expr_test": tests}
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1d", "tests": [case]}
    (folder / "test.yml").write_text(yaml.safe_dump(whole))
    done = subprocess.run([program, "test", "rules", "test.yml"], cwd=folder, capture_output=True, text=True)
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("seed", range(3))
def test_prometheus_says_what_the_chart_says(tmp_path: Path, seed: int) -> None:
    chart = CHART
    counts = poisson(3.0, 60, seed)
    for window in (30, 31, 32, 45, 46):
        counts[window] += 15
    control = ControlChart(chart)
    control.add(0.0)
    judged = [control.add(count) for count in counts]
    assert sum(one.alarm for one in judged) >= 2
    tests = [
        *expected(AVERAGE, [one.average for one in judged]),
        *expected(LIMIT, [one.limit for one in judged]),
        *expected(ALARM, [1.0 if one.alarm else None for one in judged]),
    ]
    assert promtool(tmp_path, counts, chart, tests) == ""
    # And it is not that nothing was compared.
    wrong = expected(AVERAGE, [judged[0].average + 1])
    assert "FAILED" in promtool(tmp_path, counts, chart, wrong)


def test_a_restart_of_what_counts_is_no_surge(tmp_path: Path) -> None:
    """The counter falls to what was counted since; the rules take that as the window's count."""
    chart = CHART
    values = "0 3 6 9 2 4"
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [chart_group("s", chart)]}))
    series = [{"series": f'{METRIC}{{solution="s", topic="a", label="negative"}}', "values": values}]
    tests = [
        {
            "expr": "symbiont:topic_rows:window",
            "eval_time": f"{1440 * window}m",
            "exp_samples": [{"labels": 'symbiont:topic_rows:window{solution="s", topic="a"}', "value": count}],
        }
        for window, count in enumerate([0, 3, 3, 3, 2, 2])
    ]
    case = {"interval": "1d", "input_series": series, "promql_expr_test": tests}
    whole = {"rule_files": ["rules.yml"], "evaluation_interval": "1d", "tests": [case]}
    (tmp_path / "test.yml").write_text(yaml.safe_dump(whole))
    program = find("promtool")
    assert program, HINT
    done = subprocess.run([program, "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def test_durations() -> None:
    assert [seconds_of(text) for text in ("90s", "5m", "6h", "1d")] == [90, 300, 21600, 86400]
    with pytest.raises(ValueError, match="say it as 1d"):
        seconds_of("1 day")
