"""What is personal goes, in every place of a row; what stands there instead keeps rows of one person together."""

import re

import pytest

from symbiont.common.sealing import Sealer
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.anonymize import anonymize, canonical
from symbiont.training.gate.findings import Finding, numbered
from symbiont.training.gate.pii.finder import structured_kinds
from symbiont.training.gate.settings import Anonymize
from symbiont.training.heads.fields import encode_fields, fit_fields

KINDS = tuple(structured_kinds())
SEALER = Sealer(b"k" * 32)
ROWS = numbered(
    [
        Row("call 139-1234-5678 or a@b.cn", "x", pair="A@B.cn", fields={"phone": "13912345678", "n": 13912345678.0}),
        Row("nothing here", "x"),
        Row("+86 13912345678", "x"),
    ]
)


def test_a_mask_is_the_kind() -> None:
    outcome = anonymize(ROWS, LabelKind.CLASS, Anonymize(kinds=KINDS), None)
    assert [row.text for row in outcome.rows] == ["call {PHONE} or {EMAIL}", "nothing here", "{PHONE}"]
    assert (outcome.rows[0].pair, outcome.rows[0].fields) == ("{EMAIL}", {"phone": "{PHONE}", "n": 13912345678.0})
    assert outcome.findings == (Finding("PII_PHONE", 3, (0, 2)), Finding("PII_EMAIL", 2, (0,)))
    assert outcome.changed == 2


def test_one_value_has_one_name_however_it_is_written() -> None:
    settings = Anonymize.model_validate({"kinds": KINDS, "pseudonyms": {"key": "main"}})
    first, _, last = anonymize(ROWS, LabelKind.CLASS, settings, SEALER).rows
    phone = last.text
    assert re.fullmatch(r"\{PHONE-[a-z2-7]{12}\}", phone)
    assert phone == first.fields["phone"]
    assert first.text == f"call {phone} or {first.pair}"
    other = anonymize(ROWS, LabelKind.CLASS, settings, Sealer(b"l" * 32)).rows[2].text
    assert other != phone


def test_tokens_go_back_with_the_key() -> None:
    settings = Anonymize.model_validate({"kinds": KINDS, "tokens": {"key": "main"}})
    made = anonymize(ROWS, LabelKind.CLASS, settings, SEALER).rows
    assert "139" not in made[0].text
    assert [SEALER.unseal(row.text)[0] for row in made] == [row.text for row in ROWS]
    assert SEALER.unseal(str(made[0].fields["phone"])) == ("13912345678", 1)
    assert made == anonymize(ROWS, LabelKind.CLASS, settings, SEALER).rows


def test_business_fields_that_are_dates_stay_dates_or_go() -> None:
    fields = [{"paid": "2026-01-31", "note": "since 2026-01-31"}, {"paid": "1899-02-01T10:20:00"}, {"note": "none"}]
    rows = numbered([Row(f"{n}", "x", fields=values) for n, values in enumerate(fields)])
    outcome = anonymize(rows, LabelKind.CLASS, Anonymize(kinds=("DATE",)), None, dates=("paid",))
    assert [row.fields for row in outcome.rows] == [{"note": "since {DATE}"}, {}, {"note": "none"}]
    assert outcome.findings == (Finding("PII_DATE", 3, (0, 1)),)
    assert outcome.changed == 2
    made = fit_fields([("paid", "FIELD_KIND_DATE"), ("note", "FIELD_KIND_CATEGORY")], outcome.rows)
    assert [encode_fields(made, row).tolist() for row in outcome.rows] == [[0, 1], [0, 0], [1, 0]]
    others = anonymize(rows, LabelKind.CLASS, Anonymize(kinds=KINDS[:3]), None, dates=("paid",))
    assert [row.fields for row in others.rows] == fields


def test_marks_and_answers_follow() -> None:
    text = "Mail ann@b.cn to Rome"
    row = Row(text, ((5, 13, "mail"), (17, 21, "city")))
    (made,) = anonymize([row], LabelKind.ENTITIES, Anonymize(kinds=KINDS), None).rows
    assert [made.text[start:end] for start, end, _ in made.label] == ["{EMAIL}", "Rome"]  # type: ignore[union-attr, misc]
    answer = Row("Whom?", ((5, 8),), pair=text)
    (made,) = anonymize([answer], LabelKind.ANSWERS, Anonymize(kinds=KINDS), None).rows
    ((start, end),) = made.label  # type: ignore[union-attr, misc]
    assert made.pair[start:end] == "{EMAIL}"  # type: ignore[misc]


def test_a_row_whose_label_cannot_follow_goes_rather_than_tells() -> None:
    row = Row("ann@b.cn", ((0, 3, "name"), (4, 8, "host")), origin=0)
    outcome = anonymize([row], LabelKind.ENTITIES, Anonymize(kinds=KINDS), None)
    assert outcome.rows == []
    assert outcome.findings[-1] == Finding("LABEL_LOST", 1, (0,))


@pytest.mark.parametrize(
    ("kind", "one", "other"),
    [
        ("PHONE", "+86 139-1234-5678", "13912345678"),
        ("PHONE", "１３８－１２３４－５６７８", "13812345678"),
        ("ID_CARD", "110105-19491231-002X", "１１０１０５１９４９１２３１００２ｘ"),
        ("EMAIL", "A@b.CN", "a＠B.cn"),
        ("BANK_CARD", "4111 1111 1111 1111", "4111-1111-1111-1111"),
        ("PERSON", "Ann  Lee", "ann lee"),
        ("LICENSE_PLATE", "沪C·F5Q60", "沪CF5Q60"),
    ],
)
def test_ways_of_writing(kind: str, one: str, other: str) -> None:
    assert canonical(kind, one) == canonical(kind, other)
