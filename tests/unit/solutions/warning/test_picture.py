"""The picture of a replay shows every count, surge and alarm."""

import xml.etree.ElementTree as ET

from symbiont.solutions.recipe_serving import Chart
from symbiont.solutions.warning.picture import draw
from symbiont.solutions.warning.replay import Surge, alarms_of, with_surges

CHART = Chart(label="negative", weight=0.5, sigmas=4, least=4, cool_down=5, warm_up=10)
SVG = "{http://www.w3.org/2000/svg}"


def test_a_strip_for_each_topic_with_its_surges_and_alarms() -> None:
    surges = [Surge("a", 20, 3, 12.0), Surge("欧元", 30, 3, 12.0)]
    counts = with_surges({"a": [2.0] * 60, "欧元": [1.0] * 60}, surges)
    assert sum(map(len, alarms_of(counts, CHART).values())) == 2
    root = ET.fromstring(draw(counts, surges, CHART, "Bad <news>"))
    texts = [one.text for one in root.iter(f"{SVG}text")]
    assert {"a", "欧元"} <= set(texts)
    # One is the legend's.
    assert sum(one.get("class") == "alarm" for one in root.iter(f"{SVG}path")) == 2 + 1
    boxes = list(root.iter(f"{SVG}rect"))
    assert sum(one.get("fill") == "var(--a)" for one in boxes) == 120 + 1
    assert sum(one.get("fill") == "var(--g)" for one in boxes) == 2 + 1
    assert len(list(root.iter(f"{SVG}polyline"))) == 4


def test_counts_of_nothing_are_drawn() -> None:
    assert draw({"a": [0.0] * 5}, [], CHART, "Nothing").startswith("<svg")
