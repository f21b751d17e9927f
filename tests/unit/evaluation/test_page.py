import re
from dataclasses import replace
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pytest

from support.outcomes import EVERY, classified, scored
from symbiont.common.errors import InvalidArgument
from symbiont.evaluation import Costs, Gate, MinimumGain, Origin, Report, Sampling, Speed, make_report, render_page
from symbiont.evaluation.outcomes import Outcome
from symbiont.evaluation.page.html import Html, element, join

FEW = Sampling(60)
NASTY = '"><script>alert(1)</script>&amp;'


def parsed(html: str) -> ElementTree.Element:
    """Well-formed, and with nothing in it that runs or is fetched."""
    doctype, _, rest = html.partition("\n")
    assert doctype == "<!DOCTYPE html>"
    root = ElementTree.fromstring(rest)
    names = {part.tag.rpartition("}")[2] for part in root.iter()}
    assert names.isdisjoint({"script", "link", "img", "iframe", "object", "form", "a", "use", "image"})
    for part in root.iter():
        for name, value in part.attrib.items():
            assert not name.startswith("on")
            assert "url(" not in value
            assert name not in ("href", "src")
    assert "http" not in html.replace("http://www.w3.org/2000/svg", "").replace("http-equiv", "")
    return root


def text_of(root: ElementTree.Element) -> str:
    """What a reader sees: nothing of the styles of the page and of its pictures."""
    for parent in root.iter():
        for style in [child for child in parent if str(child.tag).endswith("style")]:
            parent.remove(style)
    return " ".join(" ".join(part.itertext()) for part in root.iter("main"))


@pytest.mark.parametrize("language", ["en", "zh"])
@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
def test_every_kind_has_a_page(outcome: Outcome, language: str) -> None:
    report = make_report(outcome, outcome.take(np.arange(50)), gate=Gate(rules=(MinimumGain(),)), sampling=FEW)
    html = render_page(report, language=language)
    root = parsed(html)
    assert root.get("lang") == {"en": "en", "zh": "zh-CN"}[language]
    assert "secret" not in html
    assert "{" not in text_of(root)
    assert not re.search(r"\bnan\b|\binf\b|None", text_of(root))
    for picture in root.iter("{http://www.w3.org/2000/svg}svg"):
        assert len(picture.get("aria-label", "")) > 20


@pytest.mark.parametrize("outcome", EVERY.values(), ids=EVERY)
@pytest.mark.parametrize("rows", [0, 1, 2])
def test_few_rows_have_a_page(outcome: Outcome, rows: int) -> None:
    parsed(render_page(make_report(outcome.take(np.arange(rows)), sampling=FEW)))


def test_the_headline_is_in_plain_words() -> None:
    outcome = classified(400)
    truth = outcome.logits.argmax(axis=1)
    truth[:28] = (truth[:28] + 1) % 3
    report = make_report(replace(outcome, truth=truth), sampling=Sampling(500))
    text = text_of(parsed(render_page(report)))
    assert re.search(r"Of 100 texts, about 93 get the right answer; with 95% certainty between 9\d and 9\d\.", text)
    assert re.search(r"每 100 条文本中，约 93 条得到正确答案", render_page(report, language="zh"))


def test_few_errors_are_not_none() -> None:
    outcome = classified(400)
    truth = outcome.logits.argmax(axis=1)
    truth[0] = (truth[0] + 1) % 3
    assert "about 99.8 get" in render_page(make_report(replace(outcome, truth=truth), sampling=FEW))


def test_whatever_names_hold_is_text() -> None:
    outcome = replace(classified(200), labels=(NASTY, "b\x00\x1b", "c\ud800"))
    origin = Origin(model=NASTY, version=NASTY, base=NASTY, training_dataset=NASTY)
    rows = replace(outcome.rows, slices=(replace(outcome.rows.slices[0], name=NASTY, values=(NASTY, "b", "c")),))
    report = make_report(replace(outcome, rows=rows), origin=origin, sampling=FEW)
    html = render_page(report, texts={row.row: NASTY for row in report.hardest})
    root = parsed(html)
    assert NASTY in text_of(root)

    tags: set[str] = set()

    class Seen(HTMLParser):
        def handle_starttag(self, tag: str, attrs: object) -> None:
            tags.add(tag)

    Seen().feed(html)
    assert "main" in tags
    assert "script" not in tags


def test_texts_are_shown_only_where_they_are_given() -> None:
    report = make_report(classified(100), sampling=FEW)
    first = report.hardest[0].row
    assert "a text of its own" not in render_page(report)
    html = render_page(report, texts={first: "a text of its own " + "x" * 500})
    assert "a text of its own" in html
    assert "x" * 200 not in html


def test_all_that_is_known_is_told() -> None:
    outcome = classified(300)
    report = make_report(
        outcome,
        replace(outcome, logits=outcome.logits[:, ::-1].copy()),
        gate=Gate(rules=(MinimumGain(gain=0.9),)),
        costs=Costs(((0.0, 1.0, 1.0), (5.0, 0.0, 1.0), (1.0, 1.0, 0.0)), outcome.labels),
        speed=Speed(median_ms=3, p99_ms=9, rows_per_second=120, tokens=64),
        origin=Origin(model="models/m", version="2", seed="17"),
        sampling=FEW,
    )
    text = text_of(parsed(render_page(report)))
    for part in (
        "models/m version 2",
        "Must not take over",
        "It is better",
        "+90.0 points",
        "9.0 ms",
        "120 texts",
        "17",
    ):
        assert part in text, part
    assert "Deciding by what errors cost" in text


def test_a_stored_report_gives_the_same_page() -> None:
    report = make_report(scored(100), sampling=FEW)
    assert render_page(Report.from_json(report.to_json())) == render_page(report)


def test_an_unknown_language_is_refused() -> None:
    with pytest.raises(InvalidArgument, match="language"):
        render_page(make_report(scored(20), sampling=FEW), language="fr")


def test_elements_escape_what_is_not_an_element() -> None:
    assert element("p", "<b>", Html("<i>x</i>"), class_='"') == "<p class='\"'>&lt;b&gt;<i>x</i></p>"
    assert element("meta", charset="utf-8") == '<meta charset="utf-8" />'
    assert join("&", Html("&amp;")) == "&amp;&amp;"
