import re

import pytest

from symbiont.common.errors import InvalidArgument
from symbiont.evaluation.words import EN, ZH, phrases_for
from symbiont.evaluation.words.metrics import METRICS
from symbiont.evaluation.words.reports import REPORTS
from symbiont.evaluation.words.verdicts import VERDICTS

CHINESE = re.compile(r"[\u4e00-\u9fff]")


@pytest.mark.parametrize("key", [*REPORTS, *VERDICTS])
def test_both_languages_say_the_same(key: str) -> None:
    english, chinese = (REPORTS | VERDICTS)[key]
    assert not CHINESE.search(english)
    parts = [set(re.findall(r"{(\w+)}", text)) for text in (english, chinese)]
    assert parts[0] == parts[1]


def test_no_key_is_there_twice() -> None:
    assert not set(REPORTS) & set(VERDICTS)


def test_numbers() -> None:
    assert EN.number("accuracy", 0.934) == "93.4%"
    assert EN.number("mae", 0.5) == "0.500"
    assert EN.difference("accuracy", -0.0301) == "-3.0 points"
    assert ZH.difference("accuracy", 0.02) == "+2.0 个百分点"
    assert EN.difference("accuracy", -0.00001) == "0.0 points"
    assert EN.difference("r2", 0.1) == "+0.100"
    assert [EN.of_100(value) for value in (0.934, 0.996, 1.0, 0.0, 0.004)] == ["93", "99.6", "100", "0", "0.4"]
    assert EN.metric("unheard_of") == "unheard_of"
    assert set(METRICS) >= {"accuracy", "f1", "ndcg_at_10"}


def test_a_long_list_is_cut() -> None:
    assert EN.join(["a", "b", "c"], 2) == "a; b; and 1 more"


def test_languages() -> None:
    assert phrases_for("zh") is ZH
    with pytest.raises(InvalidArgument, match="'de'"):
        phrases_for("de")
