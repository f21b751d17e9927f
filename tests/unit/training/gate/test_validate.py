"""One report with every planted fault in it, and no personal value."""

from dataclasses import replace

from pydantic import TypeAdapter

from support.planted import flipped, labelled, nearly
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.findings import numbered
from symbiont.training.gate.results import Report
from symbiont.training.gate.settings import Validate
from symbiont.training.gate.validate import validate


def test_a_report_of_everything() -> None:
    rows, wrong = flipped(labelled(400), 0.05)
    rows = [replace(row, fields={"queue": str(row.label)}) for row in rows]
    rows += [rows[0], replace(rows[1], label="other"), nearly(rows[2], 0), Row("ok", "card"), Row("x" * 3000, "loan")]
    rows += [Row("mail ann@example.cn, card 4111 1111 1111 1111", "card")]
    told: list[str] = []
    report = validate(numbered(rows), LabelKind.CLASS, Validate(), rows[:5], lambda what, _: told.append(what))
    found = {finding.code: finding.count for finding in report.findings}
    assert found["TOO_SHORT"] == found["TOO_LONG"] == found["PII_EMAIL"] == found["PII_BANK_CARD"] == 1
    assert found["IN_OTHER_DATASET"] == 7
    assert found["NEAR_OTHER_DATASET"] == 1
    assert report.row_count == len(rows)
    assert [(leak.kind, leak.name) for leak in report.leaks][:1] == [("FIELD", "queue")]
    assert len(wrong & {suspect.row for suspect in report.suspects}) >= 0.7 * len(wrong)
    assert {code for code, _ in report.languages} >= {"en", "zh"}
    assert sum(count for _, count in report.labels) == len(rows)
    assert report.imbalance > 1
    assert list(dict.fromkeys(told)) == ["texts", "duplicates", "personal data", "leaks", "labels"]
    text = TypeAdapter(Report).dump_json(report)
    assert b"ann@" not in text
    assert b"4111" not in text
    assert TypeAdapter(Report).validate_json(text) == report


def test_rows_of_other_kinds() -> None:
    report = validate(numbered([Row("a", 1.0), Row("a", 2.0)]), LabelKind.NUMBER, Validate())
    assert (report.labels, report.imbalance, report.leaks, report.suspects) == ((), 0.0, (), ())
    assert {f.code for f in report.findings} == {"TOO_SHORT", "EXACT_DUPLICATE", "CONTRADICTION"}
