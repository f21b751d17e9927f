"""Evens out how many rows classes have."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from math import floor

import numpy as np

from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.findings import Finding, Outcome
from symbiont.training.gate.settings import Balance, Sampling


def balance(rows: Sequence[Row], kind: LabelKind, settings: Balance) -> Outcome:
    """Takes rows of large classes out, or of small ones in again, at the end; the others keep their order.

    Finds DOWNSAMPLED and OVERSAMPLED, with the class in `text`.
    """
    if kind is not LabelKind.CLASS or not rows:
        return Outcome(list(rows))
    places: defaultdict[str, list[int]] = defaultdict(list)
    for place, row in enumerate(rows):
        places[str(row.label)].append(place)
    sizes = Counter({name: len(found) for name, found in places.items()})
    source = np.random.default_rng(settings.seed)
    most = max(floor(settings.max_ratio * min(sizes.values())), 1)
    least = -floor(-max(sizes.values()) / settings.max_ratio)
    gone, again, findings = set[int](), list[int](), list[Finding]()
    for name in sorted(places):
        if settings.sampling is Sampling.DOWN and sizes[name] > most:
            chosen = source.permutation(places[name])[most:].tolist()
            gone.update(chosen)
            findings.append(Finding("DOWNSAMPLED", len(chosen), text=name))
        if settings.sampling is Sampling.OVER and sizes[name] < least:
            chosen = _again(source, places[name], least - sizes[name])
            again += chosen
            findings.append(Finding("OVERSAMPLED", len(chosen), text=name))
    kept = [row for place, row in enumerate(rows) if place not in gone]
    return Outcome([*kept, *(rows[place] for place in sorted(again))], tuple(findings))


def _again(source: np.random.Generator, places: list[int], count: int) -> list[int]:
    """Draws rows so that none comes twice more than another."""
    whole, rest = divmod(count, len(places))
    extra: list[int] = source.permutation(places)[:rest].tolist()
    return places * whole + extra
