"""Tasks whose head reads one vector for a text: classes, labels, a score."""

import math
from collections.abc import Callable, Sequence
from functools import partial

from symbiont.bundle import MultiLabelHead, ScoreHead
from symbiont.common.errors import IntegrityError
from symbiont.inference.classify import classify, sigmoid
from symbiont.inference.instances import Input, Instance, Pair, Query, Text
from symbiont.inference.results import ClassProbability, MultiLabel, Result, Score
from symbiont.inference.tasks.plan import (
    Part,
    Plan,
    Windows,
    encode_fields,
    join,
    no_threshold,
    probability_threshold,
    stride_of,
    whole,
    wrong_input,
)
from symbiont.inference.tasks.ranking import rank, ranked_texts
from symbiont.inference.types import BundleInfo, Logits, PredictCall


def plan_classification(call: PredictCall, bundle: BundleInfo) -> Plan:
    """One class out of several."""
    no_threshold(call)
    outputs = bundle.head.outputs

    def read(texts: Sequence[Windows]) -> Result:
        return classify(whole(texts[0], outputs), bundle, call.top_k)

    parts = [_part(index, instance, bundle, read) for index, instance in enumerate(call.instances)]
    return join(parts, stride=stride_of(bundle))


def plan_multi_label(call: PredictCall, bundle: BundleInfo) -> Plan:
    """Labels that each hold or not."""
    asked = None if call.threshold is None else probability_threshold(call, 0.5)

    def read(texts: Sequence[Windows]) -> Result:
        return MultiLabel(labels_of(whole(texts[0], bundle.head.outputs), bundle, asked)[: call.top_k or None])

    parts = [_part(index, instance, bundle, read) for index, instance in enumerate(call.instances)]
    return join(parts, stride=stride_of(bundle))


def labels_of(logits: Logits, bundle: BundleInfo, threshold: float | None) -> tuple[ClassProbability, ...]:
    """Returns the labels that hold, most probable first; a threshold of None stands for the model's own."""
    head = bundle.head
    assert isinstance(head, MultiLabelHead)  # noqa: S101 - the task has chosen this function
    least = head.thresholds or (0.5,) * len(bundle.labels)
    found = [
        ClassProbability(label, probability)
        for label, own, probability in zip(bundle.labels, least, sigmoid(logits, bundle.temperature), strict=True)
        if probability >= (own if threshold is None else threshold)
    ]
    return tuple(sorted(found, key=lambda label: -label.probability))


def plan_score(call: PredictCall, bundle: BundleInfo) -> Plan:
    """A number, or, for a query, the order of its candidates by theirs."""
    parts = []
    for index, instance in enumerate(call.instances):
        if bundle.takes == "pair" and isinstance(instance.input, Query):
            parts.append(_ranking(index, instance, instance.input, call, bundle))
        else:
            no_threshold(call)
            parts.append(_part(index, instance, bundle, lambda texts: Score(_score(texts[0], bundle))))
    return join(parts, stride=stride_of(bundle))


def score_of(values: Logits, bundle: BundleInfo) -> float:
    """Returns the number that a head's one value stands for."""
    head = bundle.head
    assert isinstance(head, ScoreHead)  # noqa: S101 - the task has chosen this function
    linked = sigmoid(values, 1.0)[0] if head.link == "sigmoid" else float(values[0])
    return head.offset + head.scale * linked


def _score(windows: Windows, bundle: BundleInfo) -> float:
    value = score_of(whole(windows, 1), bundle)
    if not math.isfinite(value):
        raise IntegrityError("the score is not finite")
    return value


def _ranking(index: int, instance: Instance, query: Query, call: PredictCall, bundle: BundleInfo) -> Part:
    field = f"instances[{index}]"
    candidates = ranked_texts(field, query)

    def read(texts: Sequence[Windows]) -> Result:
        return rank([_score(windows, bundle) for windows in texts], call)

    encode = partial(encode_fields, field, instance)
    return Part([query.text] * len(candidates), read, candidates, encode(bundle), encode)


def _part(index: int, instance: Instance, bundle: BundleInfo, read: Callable[[Sequence[Windows]], Result]) -> Part:
    field, given = f"instances[{index}]", instance.input
    encode = partial(encode_fields, field, instance)
    features = encode(bundle)
    if bundle.takes == "text" and isinstance(given, Text):
        return Part([given.text], read, (), features, encode)
    if bundle.takes == "pair" and isinstance(given, Pair):
        return Part([given.first], read, [given.second], features, encode)
    raise wrong_input(field, given, bundle, *_takes(bundle))


def _takes(bundle: BundleInfo) -> Sequence[type[Input]]:
    if bundle.takes == "text":
        return [Text]
    return [Pair, Query] if bundle.head.kind == "score" else [Pair]
