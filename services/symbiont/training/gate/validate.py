"""One report of everything that may be wrong with the rows of a dataset; of what is personal only counts are told."""

from collections import Counter
from collections.abc import Callable, Sequence

from symbiont.common.languages import language
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.anonymize import anonymize
from symbiont.training.gate.deduplicate import deduplicate
from symbiont.training.gate.findings import Finding, Notes
from symbiont.training.gate.labels import label_counts
from symbiont.training.gate.leaks import leaks
from symbiont.training.gate.pii.finder import structured_kinds
from symbiont.training.gate.pii.kinds import Kind
from symbiont.training.gate.results import Report
from symbiont.training.gate.settings import Anonymize, Deduplicate, Validate
from symbiont.training.gate.shift import label_shift
from symbiont.training.gate.suspects import suspects

# Told what is looked at, and how many rows of it are done.
Tell = Callable[[str, int], None]


def validate(
    rows: Sequence[Row],
    kind: LabelKind,
    settings: Validate,
    against: Sequence[Row] = (),
    tell: Tell = lambda *_: None,
    kinds: Sequence[Kind] | None = None,
) -> Report:
    """Looks at rows by their origin. Personal data are those of `kinds`, or where not given those that have a form."""
    tell("texts", 0)
    notes = Notes()
    spoken: Counter[str] = Counter()
    for row in rows:
        if len(row.text) < settings.short_characters:
            notes.add("TOO_SHORT", row)
        if len(row.text) > settings.long_characters:
            notes.add("TOO_LONG", row)
        spoken[language(row.text)] += 1
    repeated = deduplicate(
        rows, Deduplicate(near_threshold=settings.near_threshold), against, lambda done: tell("duplicates", done)
    )
    asked = Anonymize(kinds=tuple(kinds if kinds is not None else structured_kinds()))
    personal = anonymize(rows, kind, asked, None, lambda done: tell("personal data", done))
    labels = label_counts(rows)
    counts = [count for _, count in labels]
    tell("leaks", 0)
    given_away = leaks(rows, kind)
    tell("labels", 0)
    return Report(
        row_count=len(rows),
        findings=(*notes.findings(), *repeated.findings, *_personal(personal.findings)),
        languages=tuple(sorted(spoken.items(), key=lambda item: (-item[1], item[0]))),
        labels=labels,
        imbalance=max(counts) / min(counts) if counts else 0.0,
        leaks=tuple(given_away),
        suspects=tuple(suspects(rows, kind, settings.seed)),
        shifts=tuple(label_shift(rows, against, kind, settings.seed)) if against else (),
    )


def _personal(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    return tuple(finding for finding in findings if finding.code.startswith("PII_"))
