"""Cleaning: each step alone, and labels that are positions."""

import pytest

from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.clean import clean
from symbiont.training.gate.findings import Finding, numbered
from symbiont.training.gate.settings import Clean, UnicodeForm

OFF = {"fold_width": False, "strip_html": False, "strip_control": False, "collapse_whitespace": False}
NOTHING = Clean(unicode_form=UnicodeForm.NONE, **OFF)


def cleaned(text: str, settings: Clean) -> str:
    return clean([Row(text, "x")], LabelKind.CLASS, settings).rows[0].text


@pytest.mark.parametrize(
    ("settings", "before", "after"),
    [
        ({"strip_html": True}, "<p>a</p><b>b</b>c<br/>d", " a bc d"),
        ({"strip_html": True}, "x<script>var a = '<p>';</script>y<!-- no -->z", "x y z"),
        ({"strip_html": True}, "a < b &amp;&lt;b&gt; &nosuch; &#20320; i <3 u", "a < b &<b> &nosuch; 你 i <3 u"),
        ({"strip_control": True}, "a\u200bb\ufeffc\x00d\te\nf\u00ad", "abcd\te\nf"),
        ({"strip_control": True}, "👩‍👩‍👧 ❤️", "👩‍👩‍👧 ❤️"),
        ({"unicode_form": "NFC"}, "cafe\u0301 ①", "café ①"),
        ({"unicode_form": "NFKC"}, "cafe\u0301 ① ﬁ", "café 1 fi"),
        ({"unicode_form": "NFC"}, "가", "가"),
        ({"fold_width": True}, "ＡＢＣ１２３，你好！ｶﾞ", "ABC123，你好！ガ"),
        ({"collapse_whitespace": True}, "  a \t b\u3000c \n\n d ", "a b c\nd"),
    ],
)
def test_a_step(settings: dict[str, object], before: str, after: str) -> None:
    asked = Clean.model_validate({**NOTHING.model_dump(), **settings})
    assert cleaned(before, asked) == after
    assert cleaned(before, NOTHING) == before
    # Once is enough.
    assert cleaned(after, asked) == after or "<b>" in after


def test_rows_that_go_are_named() -> None:
    rows = numbered([Row("你好，请问利率", "a"), Row("<p></p>", "b"), Row("Where is my order?", "a"), Row("ok", "b")])
    outcome = clean(rows, LabelKind.CLASS, Clean(languages=("zh",), min_characters=3))
    assert [row.origin for row in outcome.rows] == [0]
    assert {(f.code, f.count, f.rows) for f in outcome.findings} == {
        ("HTML", 1, (1,)),
        ("WHITESPACE", 1, (1,)),
        ("EMPTY", 1, (1,)),
        ("LANGUAGE", 1, (2,)),
        ("TOO_SHORT", 1, (3,)),
    }


def test_marks_follow_or_the_row_stays() -> None:
    rows = numbered([Row("<b>Ann</b>  lives&nbsp;here", ((3, 6, "P"),)), Row("A&amp;B", ((0, 3, "P"),))])
    outcome = clean(rows, LabelKind.ENTITIES, Clean())
    first, second = outcome.rows
    assert (first.text, first.label) == ("Ann lives here", ((0, 3, "P"),))
    assert second == rows[1]
    assert outcome.findings[-1] == Finding("LABEL_STAYED", 1, (1,))
    assert outcome.changed == 1


def test_answers_follow_in_the_pair() -> None:
    row = Row("Who?", ((10, 15),), "It  was\u200b  Cafe\u0301 Ann")
    (made,) = clean([row], LabelKind.ANSWERS, Clean()).rows
    ((start, end),) = made.label  # type: ignore[misc, union-attr]
    assert made.pair == "It was Café Ann"
    assert made.pair[start:end] == "Café"  # type: ignore[misc]
