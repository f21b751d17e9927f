"""The control chart as recording rules: what `ControlChart` computes, window by window, in PromQL.

A rule that reads what it recorded a window ago is how Prometheus remembers: `last_over_time` reaches over the five
minutes after which a value is stale. The group is judged once a window, its rules in order.
"""

import re
from typing import Any

from symbiont.solutions.recipe_serving import Chart

# Told by `counting`; labels are solution, topic and label.
METRIC = "symbiont_solution_rows_total"
ALERT = "SymbiontTopicSurges"
WINDOW, AVERAGE, USUAL = "symbiont:topic_rows:window", "symbiont:topic_rows:average", "symbiont:topic_rows:usual"
LIMIT, WINDOWS, ALARM = "symbiont:topic_rows:limit", "symbiont:topic_rows:windows", "symbiont:topic_alarm:begins"
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_DURATION = re.compile(r"([0-9]+)([smhd])")


def seconds_of(duration: str) -> int:
    """Returns the seconds of `1d`."""
    found = _DURATION.fullmatch(duration)
    if found is None:
        raise ValueError(f"{duration!r} is no duration: say it as 1d, 6h or 30m")
    return int(found[1]) * _UNITS[found[2]]


def chart_group(solution: str, chart: Chart) -> dict[str, Any]:
    """Returns the group of rules of a solution's chart."""
    named = f'{{solution="{solution}"}}'
    return {
        "name": f"symbiont-chart-{solution}",
        "interval": chart.window,
        "rules": [*_recorded(solution, chart, named), _alert(chart, named)],
    }


def _recorded(solution: str, chart: Chart, named: str) -> list[dict[str, Any]]:
    before = f"[{2 * seconds_of(chart.window)}s]"
    counted = f'sum by (solution, topic) ({METRIC}{{solution="{solution}", label="{chart.label}"}}'
    # Exact, unlike increase(); after a restart of what counts, what it has counted since.
    window = f"({counted}) - {counted} offset {chart.window})) >= 0 or {counted})"
    last = {name: f"last_over_time({name}{named}{before})" for name in (AVERAGE, USUAL, WINDOWS)}
    usual = f"({last[USUAL]} or {WINDOW}{named})"
    spread = f"{chart.sigmas:g} * sqrt(clamp_min({usual}, 1)"
    most = f"({usual} + {spread}))"
    clipped = f"(({WINDOW}{named} < {most}) or {most})"
    kept = f"max_over_time({ALARM}{named}[{_kept(chart)}s])"
    over = f"{AVERAGE}{named} > {LIMIT}{named} and {WINDOW}{named} >= {chart.least:g}"
    ready = f"{WINDOWS}{named} > {chart.warm_up}"
    rules = [
        (WINDOW, window),
        (WINDOWS, f"({last[WINDOWS]} + 1) or ({WINDOW}{named} * 0 + 1)"),
        (AVERAGE, f"({_mixed(f'{WINDOW}{named}', last[AVERAGE], chart.weight)}) or {WINDOW}{named}"),
        (LIMIT, f"{usual} + {spread} * {chart.weight / (2 - chart.weight):.12g})"),
        (ALARM, _alarm(over, ready, kept, chart)),
        (USUAL, _mixed(clipped, usual, chart.memory)),
    ]
    return [{"record": name, "expr": expression} for name, expression in rules]


def _mixed(new: str, old: str, weight: float) -> str:
    return f"{weight:g} * {new} + {1 - weight:.12g} * {old}"


def _alarm(over: str, ready: str, kept: str, chart: Chart) -> str:
    found = f"({over} and {ready})"
    return f"({found} unless {kept}) * 0 + 1" if chart.cool_down else f"{found} * 0 + 1"


def _kept(chart: Chart) -> int:
    """Returns the seconds after an alarm in which there is no other: to before the window after the last of them."""
    window = seconds_of(chart.window)
    return chart.cool_down * window + window // 2


def _alert(chart: Chart, named: str) -> dict[str, Any]:
    return {
        "alert": ALERT,
        "expr": f"{ALARM}{named} == 1",
        "labels": {"severity": "warning"},
        "annotations": {
            "summary": f"{{{{ $labels.topic }}}} has more rows that are {chart.label} than is usual of it.",
            "runbook_url": f"services/symbiont/solutions/README.md#{ALERT.lower()}",
        },
    }
