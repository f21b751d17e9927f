"""Every query of every panel of the dashboards has data, by a real Prometheus: `make observe` in small."""

from pathlib import Path

import pytest

from observe.calls import traffic
from observe.everything import observed
from observe.panels import Answer, ask, without_data
from support.dashboards import dashboards
from support.prometheus import HINT, find
from support.waiting import until_sync

SPAN_S = 60


@pytest.mark.skipif(not find("prometheus"), reason=f"prometheus is not installed; {HINT}")
@pytest.mark.timeout(600)
def test_every_query_of_every_panel_returns_data(tmp_path: Path) -> None:
    answers: dict[str, list[Answer]] = {}

    def all_have_data() -> bool:
        # What has had data is not asked again: to answer it all takes longer than to be called.
        for one in dashboards():
            if one.name not in answers or without_data(answers[one.name]):
                answers[one.name] = ask(suite.prometheus, one, SPAN_S)
        return not any(map(without_data, answers.values()))

    with observed(tmp_path) as suite, traffic(suite, rare=()):
        try:
            until_sync(all_have_data, 120)
        except AssertionError:
            assert [answer for some in answers.values() for answer in without_data(some)] == []
    assert answers.keys() == {one.name for one in dashboards()}
    assert all(answers.values())
