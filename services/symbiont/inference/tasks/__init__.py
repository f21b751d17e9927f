"""What a model's task makes of a call: which texts are computed, and how their values become results.

A task is a function from a call and the facts of a bundle to a Plan. It is chosen by the kind of the bundle's head.
"""

from collections.abc import Callable, Mapping

from symbiont.inference.tasks.embedding import plan_embedding
from symbiont.inference.tasks.entities import plan_entities
from symbiont.inference.tasks.plan import Plan
from symbiont.inference.tasks.pooled import plan_classification, plan_multi_label, plan_score
from symbiont.inference.tasks.spans import plan_spans
from symbiont.inference.types import BundleInfo, PredictCall

_TASKS: Mapping[str, Callable[[PredictCall, BundleInfo], Plan]] = {
    "classification": plan_classification,
    "multi_label": plan_multi_label,
    "score": plan_score,
    "embedding": plan_embedding,
    "entities": plan_entities,
    "spans": plan_spans,
}


def plan(call: PredictCall, bundle: BundleInfo) -> Plan:
    """Returns what a call must have computed.

    Raises:
        InvalidArgument: an instance or an option is not for this task; it names the field.
    """
    return _TASKS[bundle.head.kind](call, bundle)
