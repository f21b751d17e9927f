"""Every task head with rows of its kind of label, tiny ones that it can learn within seconds."""

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from support.registry import upload_rows
from support.tiny import BAD, FILLER, GOOD, labelled_rows
from symbiont.common.artifacts import ArtifactStore
from symbiont.training.types import Dataset

Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class HeadCase:
    """A head of a spec, and a dataset for it."""

    head: dict[str, Any]
    rows: Callable[[int], Rows]
    header: dict[str, Any] = field(default_factory=dict)

    def dataset(self, artifacts: ArtifactStore, identifier: str, count: int = 40) -> Dataset:
        """Stores so many rows."""
        return upload_rows(artifacts, self.rows(count), identifier, **self.header)


def _classes(count: int) -> Rows:
    return [{"text": text, "label": label} for text, label in labelled_rows(count)]


def _class_pairs(count: int) -> Rows:
    return [{**row, "pair": f"the {row['label']} bank" if i % 3 else "银行"} for i, row in enumerate(_classes(count))]


def _many(count: int) -> Rows:
    names = {"good": GOOD, "bad": BAD}
    return [
        {"text": row["text"], "label": [n for n, words in names.items() if set(words) & set(row["text"].split())]}
        for row in [*_classes(count - 4), *({"text": "the bank today was"} for _ in range(4))]
    ]


def _numbers(count: int) -> Rows:
    return [
        {"text": row["text"], "label": float(row["label"] == "good") + 0.25 * (i % 3)}
        for i, row in enumerate(_classes(count))
    ]


def _number_pairs(count: int) -> Rows:
    return [{**row, "pair": "good bank" if i % 2 else "bad bank"} for i, row in enumerate(_numbers(count))]


def _entities(count: int) -> Rows:
    source, rows = random.Random(0), []
    for _ in range(count):
        words, marks = source.choices(FILLER, k=source.randint(2, 10)), []
        place = source.randint(0, len(words))
        words[place:place] = source.choices(GOOD, k=source.randint(1, 2))
        start = len(" ".join([*words[:place], ""]))
        size = len(words) - len([w for w in words if w not in GOOD])
        marks.append({"start": start, "end": start + len(" ".join(words[place : place + size])), "label": "praise"})
        rows.append({"text": " ".join(words), "label": marks})
    return rows


def _answers(count: int) -> Rows:
    source, rows = random.Random(0), []
    for number in range(count):
        words = source.choices(FILLER, k=source.randint(4, 12))
        if number % 5:
            place = source.randint(0, len(words))
            words.insert(place, GOOD[number % len(GOOD)])
            found = [{"start": len(" ".join([*words[:place], ""])), "text": words[place]}]
        else:
            found = []
        rows.append({"text": "what is pleased", "pair": " ".join(words), "label": found})
    return rows


def _neighbours(count: int) -> Rows:
    return [
        {
            "text": " ".join(random.Random(i).choices(FILLER, k=5)),
            "pair": " ".join(random.Random(i).choices(FILLER, k=4)),
        }
        for i in range(count)
    ]


def _with_fields(count: int) -> Rows:
    source = random.Random(7)
    return [
        {
            **row,
            "amount": source.choice([None, float(row["label"] == "good") + source.random()]),
            "returning": source.choice([None, True, False]),
            "purpose": source.choice([None, "car", "房", "business"]),
            "since": source.choice([None, "2026-01-31", "2025-07-01"]),
        }
        for row in _classes(count)
    ]


FIELDS = (("amount", "NUMBER"), ("returning", "FLAG"), ("purpose", "CATEGORY"), ("since", "DATE"))


# Each head, and what it learns from where there is more than one thing.
HEADS: dict[str, HeadCase] = {
    "classification": HeadCase({}, _classes),
    "classification-pairs": HeadCase(
        {"classification": {"label_smoothing": 0.1, "focal_gamma": 1.0, "class_weights": "CLASS_WEIGHTS_BALANCED"}},
        _class_pairs,
        {"pair_column": "pair"},
    ),
    "fields": HeadCase({"business_fields": {}}, _with_fields, {"fields": FIELDS}),
    "fields-gated": HeadCase(
        {
            "business_fields": {"names": ["purpose", "amount"], "fusion": "FUSION_GATED"},
            "hidden_layers": [16, 8],
            "windows": True,
        },
        _with_fields,
        {"fields": FIELDS},
    ),
    "multi-label": HeadCase({"multi_label": {}, "windows": True}, _many, {"label_kind": "CLASSES"}),
    "score": HeadCase({"score": {}, "windows": True}, _numbers, {"label_kind": "NUMBER"}),
    "similarity": HeadCase(
        {"score": {"minimum": 0, "maximum": 2}}, _number_pairs, {"label_kind": "NUMBER", "pair_column": "pair"}
    ),
    "entities": HeadCase({"entities": {}}, _entities, {"label_kind": "ENTITIES"}),
    "spans": HeadCase({"spans": {"max_answer_tokens": 4}}, _answers, {"label_kind": "ANSWERS", "pair_column": "pair"}),
    "embedding": HeadCase({"embedding": {}}, _neighbours, {"label_kind": "NONE", "pair_column": "pair"}),
    "embedding-classes": HeadCase({"embedding": {"size": 8}}, _classes),
    "embedding-numbers": HeadCase(
        {"embedding": {"temperature": 0.1}}, _number_pairs, {"label_kind": "NUMBER", "pair_column": "pair"}
    ),
}
