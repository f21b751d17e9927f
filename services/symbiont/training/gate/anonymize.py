"""Replaces what tells of a person, in texts, pairs and business fields; labels that are positions follow."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace

from symbiont.common.sealing import Replace, Sealer, masked
from symbiont.training.data.rows import FieldValue, LabelKind, Row
from symbiont.training.gate.edits import Edit, Edited, apply
from symbiont.training.gate.findings import Notes, Outcome
from symbiont.training.gate.moving import widened
from symbiont.training.gate.pii.finder import Finder
from symbiont.training.gate.pii.kinds import Found, Kind
from symbiont.training.gate.pii.writing import plain
from symbiont.training.gate.settings import Anonymize

Tell = Callable[[int], None]
_EVERY = 64


def anonymize(
    rows: Sequence[Row],
    kind: LabelKind,
    settings: Anonymize,
    sealer: Sealer | None,
    tell: Tell = lambda _: None,
    dates: Collection[str] = (),
) -> Outcome:
    """Replaces the kinds that are asked for.

    Business fields of the names `dates` are left out where dates are asked for: what replaces a date is none, and
    nothing could be learnt from it.

    Finds PII_<KIND>, places by kind, and LABEL_LOST, rows that are gone because two parts of their label would be one:
    to leave such a row as it is would give away what it says. `sealer` is needed for modes with a key.
    """
    finder, notes, kept, changed = Finder(settings.kinds), Notes(), list[Row](), 0
    make, left_out = _replacing(settings, sealer), set(dates if Kind.DATE in settings.kinds else ())
    for number, row in enumerate(rows):
        if number % _EVERY == 0:
            tell(number)
        made = _anonymized(row, kind, finder, make, notes, left_out)
        if made is None:
            notes.add("LABEL_LOST", row)
            continue
        changed += made != row
        kept.append(made)
    return Outcome(kept, notes.findings(), changed)


def canonical(kind: str, value: str) -> str:
    """Returns what is the same for all ways of writing a value, so that these get one name."""
    value = plain(value)
    if kind in (Kind.PHONE, Kind.BANK_CARD, Kind.SSN):
        digits = "".join(filter(str.isdigit, value))
        return digits.removeprefix("86") if kind == Kind.PHONE and len(digits) == 13 else digits
    if kind == Kind.ID_CARD:
        return "".join(filter(str.isalnum, value)).casefold()
    if kind in (Kind.EMAIL, Kind.IBAN, Kind.LICENSE_PLATE, Kind.PASSPORT):
        return "".join(value.split()).replace("·", "").casefold()
    return " ".join(value.split()).casefold()


def _replacing(settings: Anonymize, sealer: Sealer | None) -> Replace:
    if settings.pseudonyms:
        assert sealer is not None  # noqa: S101 - the caller has looked for the key
        return lambda kind, value: sealer.name(kind, canonical(kind, value))
    if settings.tokens:
        assert sealer is not None  # noqa: S101
        return sealer.seal
    return masked


def _anonymized(
    row: Row, kind: LabelKind, finder: Finder, make: Replace, notes: Notes, left_out: Collection[str]
) -> Row | None:
    def edited(text: str) -> Edited:
        found = finder.find(text) if text else []
        for item in found:
            notes.add(f"PII_{item.kind}", row)
        return apply(text, (_edit(text, item, make) for item in found))

    made = widened(row, kind, edited(row.text), edited(row.pair))
    fields = {name: value for name, value in row.fields.items() if name not in left_out}
    if len(fields) < len(row.fields):
        notes.add(f"PII_{Kind.DATE}", row, len(row.fields) - len(fields))
    return made and replace(made, fields=_fields(fields, edited))


def _fields(fields: Mapping[str, FieldValue], edited: Callable[[str], Edited]) -> Mapping[str, FieldValue]:
    return {name: edited(value).text if isinstance(value, str) else value for name, value in fields.items()}


def _edit(text: str, item: Found, make: Replace) -> Edit:
    return item.start, item.end, make(item.kind, text[item.start : item.end])
