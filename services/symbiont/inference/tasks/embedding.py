"""Vectors of texts, and what is compared by them: pairs, and candidates with a query."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from symbiont.common.errors import IntegrityError
from symbiont.inference.instances import Instance, Pair, Query, Text
from symbiont.inference.results import Embedding, Similarity
from symbiont.inference.tasks.plan import Part, Plan, Windows, join, no_fields, no_threshold, whole, wrong_input
from symbiont.inference.tasks.ranking import rank, ranked_texts
from symbiont.inference.types import BundleInfo, Logits, PredictCall


def plan_embedding(call: PredictCall, bundle: BundleInfo) -> Plan:
    """A vector for a text, a cosine for a pair, an order for a query."""
    return join([_part(index, instance, call, bundle) for index, instance in enumerate(call.instances)])


def unit(values: Logits) -> NDArray[np.float32]:
    """Returns values [n] divided by their length.

    Raises:
        IntegrityError: the length is 0.
    """
    exact = values.astype(np.float64)
    length = float(np.sqrt(exact @ exact))
    if not length > 0:
        raise IntegrityError("the embedding is 0 everywhere: it has no direction")
    return (exact / length).astype(np.float32)


def _part(index: int, instance: Instance, call: PredictCall, bundle: BundleInfo) -> Part:
    field, size = f"instances[{index}]", bundle.head.outputs
    no_fields(field, instance)

    def vectors(texts: Sequence[Windows]) -> NDArray[np.float32]:
        return np.stack([unit(whole(windows, size)) for windows in texts])

    match instance.input:
        case Text(text):
            no_threshold(call)
            return Part([text], lambda texts: Embedding(vectors(texts)[0]))
        case Pair(first, second):
            no_threshold(call)
            return Part([first, second], lambda texts: Similarity(_cosines(vectors(texts))[0]))
        case Query(text, _, catalogue) if catalogue:
            # Its entries are looked up after, and off the event loop: see catalogues/matching.py.
            return Part([text], lambda texts: Embedding(vectors(texts)[0]))
        case Query(text, _, _) as query:
            candidates = ranked_texts(field, query)
            return Part([text, *candidates], lambda texts: rank(_cosines(vectors(texts)), call))
        case other:
            raise wrong_input(field, other, bundle, Text, Pair, Query)


def _cosines(vectors: NDArray[np.float32]) -> Sequence[float]:
    """Returns the cosine of the first vector with each other one."""
    cosines: list[float] = np.clip(vectors[1:].astype(np.float64) @ vectors[0].astype(np.float64), -1, 1).tolist()
    return cosines
