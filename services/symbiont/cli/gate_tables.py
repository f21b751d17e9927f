"""What the data gate found, as tables."""

from collections.abc import Iterable, Iterator

from rich.table import Table

from symbiont.api.training.v1.dataset_pb2 import Dataset, Finding, LeakKind, ValidationReport
from symbiont.cli.render import facts, share, table

# Of more rows, labels or languages only the first are shown.
_MOST = 10


def findings_table(findings: Iterable[Finding]) -> Table:
    """Returns what was found, and in which rows."""
    return table(["FOUND", ">COUNT", "WHAT", "ROWS"], ((f.code, f.count, f.text, _rows(f)) for f in findings))


def lineage_table(dataset: Dataset) -> Table:
    """Returns the steps that a dataset was made by."""
    rows = (
        (str(s.WhichOneof("step")).replace("_", "-"), s.rows_before, s.rows_after, s.changed_count, s.key_id)
        for s in dataset.transforms
    )
    return table(["STEP", ">ROWS BEFORE", ">ROWS AFTER", ">CHANGED", "KEY"], rows)


def report_tables(report: ValidationReport) -> Iterator[Table | str]:
    """Yields the parts of a report that have something to say, with a blank line between them."""
    languages = ", ".join(f"{found.language} {found.count:,}" for found in report.languages[:_MOST])
    balance = f"{len(report.labels)}, the largest {report.imbalance:.1f} times the smallest" if report.labels else ""
    yield facts(
        [
            ("rows", f"{report.row_count:,}"),
            ("languages", languages),
            ("labels", balance),
            ("suspect labels", f"{report.suspect_count:,}" if report.suspect_count else ""),
        ]
    )
    if report.findings:
        yield ""
        yield findings_table(report.findings)
    if report.leaks:
        yield ""
        rows = (
            (LeakKind.Name(leak.kind).removeprefix("LEAK_KIND_"), leak.name, share(leak.accuracy), share(leak.majority))
            for leak in report.leaks
        )
        yield table(["GIVES LABELS AWAY", "NAME", ">RIGHT", ">AS A GUESS"], rows)
    if report.shifts:
        yield ""
        moved = ((shift.label, shift.means, share(shift.share)) for shift in report.shifts)
        yield table(["LABEL THERE", "MEANS HERE", ">OF ITS ROWS"], moved)


def _rows(finding: Finding) -> str:
    shown = ", ".join(map(str, finding.rows[:_MOST]))
    return f"{shown}, …" if finding.count > _MOST and finding.rows else shown
