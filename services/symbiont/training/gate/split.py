"""Cuts rows into a part to train on and a part to test on.

Rows that belong together, by their group, by a business field, or because their texts are near or the same, stay on one
side. What groups or times put on both sides is tested on where it is not trained on.
"""

from collections import Counter, defaultdict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from symbiont.common.errors import InvalidArgument
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.deduplicate import shingles_of
from symbiont.training.gate.findings import Finding
from symbiont.training.gate.near import NearIndex
from symbiont.training.gate.settings import Split

# Most looks at each unit; a handful is enough.
_ROUNDS = 20


@dataclass(frozen=True)
class Parts:
    """Two parts of rows, each in their order, and what was found."""

    train: list[Row]
    test: list[Row]
    findings: tuple[Finding, ...] = ()


def split(rows: Sequence[Row], kind: LabelKind, settings: Split) -> Parts:
    """Cuts rows in two.

    Finds UNITS, sets of rows that had to stay together; WITHOUT_TIME, rows that are in the training part since they say
    no time; and IN_TRAINING_PART, rows that are in neither part, for they would be tested on and their texts are
    trained on.

    Raises:
        InvalidArgument: no row has the time or the field that is asked for, or one part would be empty.
    """
    units = _units(rows, settings)
    findings = [Finding("UNITS", sum(len(unit) > 1 for unit in units))] if any(len(unit) > 1 for unit in units) else []
    if settings.by_time:
        times = [_time(row.time) for row in rows]
        chosen = _latest(units, times, settings.test_fraction)
        without = tuple(place for place, time in enumerate(times) if time is None)
        findings += [Finding("WITHOUT_TIME", len(without), without[:100])] if without else []
    else:
        chosen = _stratified(units, [_stratum(row, kind) for row in rows], settings)
    if not 0 < len(chosen) < len(rows):
        raise InvalidArgument("split.test_fraction", f"{settings.test_fraction:g} leaves one of the two without rows")
    train = [row for place, row in enumerate(rows) if place not in chosen]
    known = {(row.text, row.pair) for row in train}
    again = [place for place in sorted(chosen) if (rows[place].text, rows[place].pair) in known]
    # Where it is so of all, there is nothing else to test on.
    if 0 < len(again) < len(chosen):
        chosen = chosen.difference(again)
        findings.append(Finding("IN_TRAINING_PART", len(again), tuple(again[:100])))
    return Parts(train, [rows[place] for place in sorted(chosen)], tuple(findings))


def _units(rows: Sequence[Row], settings: Split) -> list[list[int]]:
    """Returns the places of rows that stay together, the unit of the first row first."""
    leader = list(range(len(rows)))

    def find(place: int) -> int:
        while leader[place] != place:
            leader[place] = leader[leader[place]]
            place = leader[place]
        return place

    def join(one: int, other: int) -> None:
        low, high = sorted((find(one), find(other)))
        leader[high] = low

    first: dict[Hashable, int] = {}
    for place, row in enumerate(rows):
        of = [("", row.group or None), (settings.group_field, row.fields.get(settings.group_field))]
        named: list[Hashable] = [(name, value) for name, value in of if value is not None]
        # What is said in every group would make one of all, and what is said all the time would always be the latest.
        alone = not named and not settings.by_time
        for unit in named or ([(None, row.text, row.pair)] if alone else []):
            join(first.setdefault(unit, place), place)
    if settings.group_field and not any(settings.group_field in row.fields for row in rows):
        raise InvalidArgument("split.group_field", f"no row has a field {settings.group_field!r}")
    if settings.near_threshold:
        index = NearIndex(settings.near_threshold)
        for place, row in enumerate(rows):
            made = shingles_of(row)
            for other, _ in index.near(made):
                join(other, place)
            index.add(place, made)
    units: defaultdict[int, list[int]] = defaultdict(list)
    for place in range(len(rows)):
        units[find(place)].append(place)
    return list(units.values())


def _stratified(units: Sequence[Sequence[int]], strata: Sequence[str], settings: Split) -> set[int]:
    """Chooses units so that each stratum has its share of the test part.

    Large units first, each where it brings the shares nearer to what they should be, and again until none is better on
    the other side; single rows then fill up. What strata of few rows want is less than a row of each: of these the ones
    that want most give one, until the test part has its share of all rows.
    """
    wanted: defaultdict[str, float] = defaultdict(float)
    for stratum in strata:
        wanted[stratum] += settings.test_fraction
    source = np.random.default_rng(settings.seed)
    mixed = [units[place] for place in source.permutation(len(units)).tolist()]
    together = sorted((unit for unit in mixed if len(unit) > 1), key=len, reverse=True)
    counts = [Counter(strata[place] for place in unit) for unit in together]
    inside = [False] * len(together)
    for _ in range(_ROUNDS):
        moved = False
        for number, count in enumerate(counts):
            sign = -1 if inside[number] else 1
            # How much nearer to what is wanted, squared, it comes when the unit changes sides.
            if sum(wanted[name] ** 2 - (wanted[name] - sign * rows) ** 2 for name, rows in count.items()) > 0:
                inside[number], moved = not inside[number], True
                for name, rows in count.items():
                    wanted[name] -= sign * rows
        if not moved:
            break
    chosen = {place for unit, taken in zip(together, inside, strict=True) if taken for place in unit}
    spare: defaultdict[str, list[int]] = defaultdict(list)
    for (place,) in (unit for unit in mixed if len(unit) == 1):
        stratum = strata[place]
        if wanted[stratum] >= 0.5:
            wanted[stratum] -= 1
            chosen.add(place)
        else:
            spare[stratum].append(place)
    missing = max(round(settings.test_fraction * len(strata)) - len(chosen), 0)
    for stratum in sorted(spare, key=lambda name: wanted[name], reverse=True)[:missing]:
        chosen.add(spare[stratum].pop())
    return chosen


def _latest(units: Sequence[Sequence[int]], times: Sequence[datetime | None], fraction: float) -> set[int]:
    """Chooses units by their latest row, the latest first; all that are from one moment go together."""
    dated = [(max(found), unit) for unit in units if (found := [t for t in (times[p] for p in unit) if t is not None])]
    if not dated:
        raise InvalidArgument("split.by_time", "no row says when it is from")
    chosen: set[int] = set()
    last = None
    for time, unit in sorted(dated, key=lambda item: (item[0], -item[1][0]), reverse=True):
        if len(chosen) >= fraction * len(times) and time != last:
            break
        chosen.update(unit)
        last = time
    return chosen


def _time(text: str) -> datetime | None:
    try:
        time = datetime.fromisoformat(text)
    except ValueError:
        return None
    return time if time.tzinfo else time.replace(tzinfo=UTC)


def _stratum(row: Row, kind: LabelKind) -> str:
    label = row.label
    if kind is LabelKind.NUMBER or label is None:
        return ""
    if kind is LabelKind.ANSWERS:
        return str(bool(label))
    if isinstance(label, tuple):
        return " ".join(sorted({str(part[2]) if isinstance(part, tuple) else part for part in label}))  # type: ignore[misc]
    return str(label)
