"""Rows whose label is likely wrong, by two ways.

Confident learning (Northcutt et al. 2021, JAIR 70) asks a model about rows that it has not learned from; the other
looks for rows that are near to one of another class.
"""

from collections.abc import Sequence

import numpy as np
from cleanlab.filter import find_label_issues  # type: ignore[import-untyped]
from cleanlab.rank import get_label_quality_scores  # type: ignore[import-untyped]

from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.classes import Classes, classes_of
from symbiont.training.gate.deduplicate import shingles_of
from symbiont.training.gate.features import Features, Floats, Vectorizer, cross_validated
from symbiont.training.gate.findings import Finding, Outcome
from symbiont.training.gate.near import NearIndex
from symbiont.training.gate.results import Suspect
from symbiont.training.gate.settings import DropSuspects

_NEAR = 0.8


def suspects(rows: Sequence[Row], kind: LabelKind, seed: int = 0, features: Features | None = None) -> list[Suspect]:
    """Returns the suspects of rows with classes, most suspect first; none where labels are no classes.

    Args:
        rows: the rows.
        kind: what their labels are.
        seed: of the folds.
        features: [rows, n], dense or sparse; made of the texts where not given.
    """
    classes = classes_of(rows, kind)
    if not classes.enough:
        return []
    whole = Vectorizer(rows).features if features is None else features
    said = cross_validated(whole[classes.rows], classes.numbers, len(classes.names), seed)
    return ranked(classes, said, disagreements(rows))


def ranked(classes: Classes, said: Floats, near: dict[int, int]) -> list[Suspect]:
    """Returns the suspects, from what a model that did not learn from a row says of each class of it."""
    given = classes.numbers
    flagged = set(find_label_issues(given, said, filter_by="prune_by_noise_rate", n_jobs=1).nonzero()[0].tolist())
    quality = get_label_quality_scores(given, said, method="normalized_margin")
    best = said.argmax(axis=1)
    made: list[tuple[bool, float, int, Suspect]] = []
    for index, place in enumerate(classes.rows.tolist()):
        other = near.get(place, -1)
        if index in flagged or other >= 0:
            one, two = int(given[index]), int(best[index])
            suspect = Suspect(
                place,
                classes.names[one],
                classes.names[two],
                float(said[index, one]),
                float(said[index, two]),
                index in flagged,
                other,
            )
            made.append((index not in flagged, float(quality[index]), place, suspect))
    return [suspect for *_, suspect in sorted(made, key=lambda item: item[:3])]


def disagreements(rows: Sequence[Row], threshold: float = _NEAR) -> dict[int, int]:
    """Returns rows that are near to one of another label, both by place: row -> the other."""
    index, found = NearIndex(threshold), dict[int, int]()
    for place, row in enumerate(rows):
        made = shingles_of(row)
        for other, _ in index.near(made):
            if rows[other].label != row.label:
                found.setdefault(place, other)
                found.setdefault(other, place)
        index.add(place, made)
    return found


def drop_suspects(rows: Sequence[Row], kind: LabelKind, settings: DropSuspects) -> Outcome:
    """Takes out the most suspect rows, at most a share of all; finds them as SUSPECT."""
    found = [suspect for suspect in suspects(rows, kind, settings.seed) if suspect.confident]
    places = [suspect.row for suspect in found[: int(np.floor(settings.max_fraction * len(rows)))]]
    gone = set(places)
    findings = (Finding("SUSPECT", len(places), tuple(rows[place].origin for place in places[:100])),) if places else ()
    return Outcome([row for place, row in enumerate(rows) if place not in gone], findings)
