"""A call of every task in both protocols, and what the open one must say when the native one says something."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from google.protobuf.message import Message
from tritonclient.grpc import InferInput

from symbiont.api.inference.v1 import inference_pb2 as pb

DTYPES = {"BYTES": object, "BOOL": bool, "FP64": np.float64}


@dataclass(frozen=True)
class Case:
    """A call.

    Attributes:
        shape: of the bundle that is asked.
        inputs: of the open protocol: name, datatype, a value for each row.
        read: what the open protocol's outputs must be, by name, from the predictions of the native one.
        options: of PredictRequest; `parameters` are the same in the open protocol.
    """

    name: str
    shape: Mapping[str, Any]
    instances: Sequence[pb.Instance]
    inputs: Sequence[tuple[str, str, Sequence[Any]]]
    read: Callable[[Sequence[pb.Prediction]], Mapping[str, Any]]
    options: Mapping[str, Any] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def triton_inputs(self) -> list[InferInput]:
        """Returns the inputs as tritonclient has them."""
        made = []
        for name, datatype, rows in self.inputs:
            values = [row.encode() for row in rows] if datatype == "BYTES" else rows
            array = np.array(values, DTYPES[datatype])
            made.append(InferInput(name, list(array.shape), datatype).set_data_from_numpy(array))
        return made


def cases(texts: Sequence[str], fields: Sequence[Any]) -> list[Case]:
    """Returns a case for each task."""
    others = [*texts[1:], texts[0]]
    singles = [pb.Instance(text=text) for text in texts]
    pairs = [pb.Instance(pair=pb.Pair(first=a, second=b)) for a, b in zip(texts, others, strict=True)]
    questions = [
        pb.Instance(question_context=pb.QuestionContext(question=a, context=b))
        for a, b in zip(texts, others, strict=True)
    ]
    text, two = ("TEXT", "BYTES", texts), ("TEXT_PAIR", "BYTES", others)
    incomes, regions = [10.0 + n for n in range(len(texts))], ["north", "", "华东", "nowhere", "south"]
    regions, owners = [regions[n % 5] for n in range(len(texts))], [n % 2 == 0 for n in range(len(texts))]
    given = zip(texts, incomes, regions, owners, strict=True)
    columns = [text, ("FIELD_income", "FP64", incomes), ("FIELD_region", "BYTES", regions)]
    columns.append(("FIELD_owner", "BOOL", owners))
    return [
        Case("classification", {"num_labels": 3}, singles, [text], _classes),
        Case("pairs", {"takes": "pair"}, pairs, [text, two], _classes),
        Case(
            "multi_label",
            {"task": "multi_label"},
            singles,
            [text],
            lambda found: _labels(found, 3, 0.4),
            {"threshold": 0.0},
            {"threshold": "0.4"},
        ),
        Case("score", {"task": "score", "fields": fields}, [_credit(*row) for row in given], columns, _scores),
        Case("embedding", {"task": "embedding", "num_labels": 8}, singles, [text], _vectors),
        Case("similarity", {"task": "embedding", "num_labels": 8}, pairs, [text, two], _cosines),
        Case(
            "entities",
            {"task": "entities", "num_labels": 4},
            singles,
            [text],
            lambda found: {"ENTITIES": [as_values(p.entities) for p in found]},
            {"threshold": 0.3, "top_k": 2, "offset_unit": pb.OFFSET_UNIT_UTF8_BYTE},
            {"threshold": "0.3", "top_k": 2, "offset_unit": "utf8_byte"},
        ),
        Case(
            "spans",
            {"task": "spans"},
            questions,
            [text, two],
            lambda found: {"ANSWERS": [as_values(p.answer_spans) for p in found]},
            {"top_k": 3},
            {"top_k": 3},
        ),
    ]


def assert_close(given: Mapping[str, Any], expected: Mapping[str, Any], name: str) -> None:
    """Compares outputs: numbers within 1e-5, for rows of one batch may be added up in another order."""
    assert list(given) == list(expected), name
    for output, value in expected.items():
        if isinstance(value[0], dict):
            same([json.loads(document) for document in given[output]], value, f"{name} {output}")
        else:
            same(given[output], value, f"{name} {output}")


def same(given: Any, expected: Any, where: str) -> None:
    """Compares values of any shape, numbers within 1e-5."""
    if isinstance(expected, dict):
        assert set(given) == set(expected), where
        for key, value in expected.items():
            same(given[key], value, f"{where}.{key}")
    elif isinstance(expected, list | tuple):
        assert len(given) == len(expected), where
        for index, value in enumerate(expected):
            same(given[index], value, f"{where}[{index}]")
    elif isinstance(expected, float):
        assert given == pytest.approx(expected, abs=1e-5), where
    else:
        assert given == expected, where


def _credit(text: str, income: float, region: str, owner: bool) -> pb.Instance:
    made = [pb.BusinessField(name="income", number=income), pb.BusinessField(name="owner", flag=owner)]
    if region:
        made.append(pb.BusinessField(name="region", category=region))
    return pb.Instance(text=text, fields=made)


def _classes(found: Sequence[pb.Prediction]) -> Mapping[str, Any]:
    rows = [{c.label: c.probability for c in p.classification.classes} for p in found]
    return {
        "PROBABILITIES": [[row[f"label-{n}"] for n in range(len(row))] for row in rows],
        "LABEL": [p.classification.decided.label for p in found],
    }


def _labels(found: Sequence[pb.Prediction], count: int, threshold: float) -> Mapping[str, Any]:
    rows = [{c.label: c.probability for c in p.multi_label.labels} for p in found]
    values = [[row[f"label-{n}"] for n in range(count)] for row in rows]
    return {"PROBABILITIES": values, "HOLDS": [[value >= threshold for value in row] for row in values]}


def _scores(found: Sequence[pb.Prediction]) -> Mapping[str, Any]:
    return {"SCORE": [p.score.value for p in found]}


def _vectors(found: Sequence[pb.Prediction]) -> Mapping[str, Any]:
    return {"EMBEDDING": [list(p.embedding.values) for p in found]}


def _cosines(found: Sequence[pb.Prediction]) -> Mapping[str, Any]:
    return {"SIMILARITY": [p.similarity.cosine for p in found]}


def as_values(message: Any) -> dict[str, Any]:
    """Returns a message as a dict of its fields."""
    return {descriptor.name: _value(getattr(message, descriptor.name)) for descriptor in message.DESCRIPTOR.fields}


def _value(value: Any) -> Any:
    if isinstance(value, Message):
        return as_values(value)
    return [as_values(part) for part in value] if not isinstance(value, str | int | float) else value
