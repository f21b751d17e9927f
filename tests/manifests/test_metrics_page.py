"""The page of all metrics: it names those that the code has, with their types and labels, and no others."""

import re
from pathlib import Path

from support.promql import HOSTS, labels_of, registries
from symbiont.engine.metrics import METRICS, PROCESS_BYTES

PAGE = (Path(__file__).parents[2] / "deploy/METRICS.md").read_text()
ENDINGS = {"counter": "_total", "info": "_info"}
Line = tuple[str, frozenset[str]]


def in_code() -> dict[str, Line]:
    found: dict[str, Line] = {}
    for registry in registries():
        for collector in list(registry._collector_to_names):
            for family in collector.collect():
                if family.name.startswith("symbiont"):
                    labels = frozenset(labels_of(collector, family) - {"le"})
                    found[family.name + ENDINGS.get(family.type, "")] = family.type, labels
    kinds = {name: kind for name, kind, _ in METRICS.values()} | {PROCESS_BYTES: "gauge"}
    return found | {name: (kinds[name], frozenset(labels)) for name, labels in HOSTS.items()}


def test_the_page_and_the_code_have_the_same_metrics() -> None:
    rows = re.findall(r"^\| `(symbiont_\w+)` \| (\w+) \| ([^|]*) \| ([^|]+) \| [A-Z0-9][^|]+\. \|$", PAGE, re.MULTILINE)
    on_page: dict[str, Line] = {name: (kind, frozenset(re.findall(r"\w+", labels))) for name, kind, labels, _ in rows}
    assert len(on_page) == len(rows)
    assert on_page == in_code()


def test_every_line_of_a_table_of_metrics_is_read() -> None:
    tables = PAGE.partition("## Every service")[2]
    names = re.findall(r"^\| `(symbiont_\w+)`", tables, re.MULTILINE)
    assert sorted(names) == sorted(in_code())


def test_no_metric_has_a_label_that_prometheus_puts_there_itself() -> None:
    """It would be stored as `exported_job`, and an alert that names `job` would say which part was scraped."""
    taken = {name: labels & {"job", "instance", "namespace", "pod"} for name, (_, labels) in in_code().items()}
    assert not [name for name, labels in taken.items() if labels]
