"""The label that a row's values come to, by which two versions are compared."""

from typing import NamedTuple

from symbiont.common.errors import IntegrityError, SymbiontError
from symbiont.engine.row import Floats
from symbiont.inference.classify import classify
from symbiont.inference.tasks.pooled import labels_of
from symbiont.inference.types import BundleInfo


class Verdict(NamedTuple):
    """The label that is answered and its probability, 0 to 1.

    Of labels that each hold or not, all that hold and the highest.
    """

    label: str
    probability: float


def verdict(values: Floats | SymbiontError, bundle: BundleInfo) -> Verdict | None:
    """Returns what a row comes to; None for an error, for values that are no answer, and for tasks without labels."""
    if isinstance(values, SymbiontError):
        return None
    if bundle.head.kind == "classification":
        try:
            decided = classify(values, bundle, 1).decided
        except IntegrityError:
            return None
        return Verdict(decided.label, decided.probability)
    if bundle.head.kind == "multi_label" and len(values) == len(bundle.labels):
        found = labels_of(values, bundle, None)
        return Verdict(", ".join(sorted(each.label for each in found)), found[0].probability if found else 0.0)
    return None
