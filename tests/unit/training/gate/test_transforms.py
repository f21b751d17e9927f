"""Transforms in order, with what each found; what is stored says where it comes from, by digest."""

import json

import pytest

from support.planted import labelled, nearly
from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import InvalidArgument
from symbiont.common.sealing import Sealer
from symbiont.training.data.rows import KIND, ROWS, LabelKind, Row, read_rows, row_to_line
from symbiont.training.gate.findings import Finding
from symbiont.training.gate.lineage import Lineage, Parent, lineage, store, transform_of
from symbiont.training.gate.settings import Anonymize, Clean, Prepare, parse
from symbiont.training.gate.transforms import Beside, prepare

ASKED = parse(
    Prepare,
    {
        "transforms": [
            {"clean": {}},
            {"deduplicate": {"against": "datasets/test"}},
            {"anonymize": {"kinds": ["EMAIL"], "pseudonyms": {"key": "main"}}},
            {"balance": {"sampling": "DOWN"}},
        ]
    },
)


def made(artifacts: ArtifactStore) -> tuple[str, str]:
    rows = [*labelled(60), Row("<b>write</b> to ann@example.cn", "card"), labelled(60)[3], nearly(labelled(60)[5], 0)]
    parent = artifacts.put(KIND, {ROWS: b"".join(map(row_to_line, rows))}, {"kind": "dataset", "rows": len(rows)})
    test = labelled(60)[:4]
    beside = Beside({"datasets/test": test}, {"main": Sealer(b"k" * 32)})
    after, steps = prepare(
        list(read_rows(artifacts, parent)), LabelKind.CLASS, ASKED.transforms, beside, lambda *_: None
    )
    parents = [Parent(parent), Parent("0" * 64, "AGAINST")]
    return parent, store(artifacts, parents, after, LabelKind.CLASS, steps)


def test_the_same_input_and_settings_give_the_same_digest(artifacts: ArtifactStore) -> None:
    parent, digest = made(artifacts)
    assert made(artifacts) == (parent, digest)
    found = lineage(artifacts, digest)
    assert found.parents == (Parent(parent), Parent("0" * 64, "AGAINST"))
    assert [(s.kind, s.rows_before, s.rows_after) for s in found.steps] == [
        ("clean", 63, 63),
        ("deduplicate", 63, 57),
        ("anonymize", 57, 57),
        ("balance", 57, 56),
    ]
    assert found.steps[0].findings == (Finding("HTML", 1, (60,)),)
    assert found.steps[1].findings[0] == Finding("IN_OTHER_DATASET", 5, (0, 1, 2, 3, 61))
    assert [transform_of(step) for step in found.steps] == list(ASKED.transforms)
    assert found.steps[2].key_id == Sealer(b"k" * 32).key_id
    manifest = json.dumps(artifacts.manifest(KIND, digest))
    assert "ann@" not in manifest
    assert json.loads(manifest)["kind"] == "dataset"


def test_every_row_can_be_traced(artifacts: ArtifactStore) -> None:
    parent, digest = made(artifacts)
    before = list(read_rows(artifacts, parent))
    after = list(read_rows(artifacts, digest))
    assert [row.origin for row in after] == sorted({row.origin for row in after})
    assert all(row.label == before[row.origin].label for row in after)


def test_an_upload_comes_from_nowhere(artifacts: ArtifactStore) -> None:
    parent, _ = made(artifacts)
    assert lineage(artifacts, parent) == Lineage()


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({}, "transforms: "),
        ({"transforms": []}, "transforms: "),
        ({"transforms": [{}]}, r"transforms\[0\]: set one of clean, deduplicate"),
        ({"transforms": [{"clean": {}, "balance": {}}]}, r"transforms\[0\]: set one of"),
        ({"transforms": [{"clean": {"languages": ["english"]}}]}, r"transforms\[0\].clean.languages\[0\]: "),
        ({"transforms": [{"deduplicate": {"near_threshold": 0.2}}]}, r"transforms\[0\].deduplicate.near_threshold: "),
        ({"transforms": [{"deduplicate": {"against": "x"}}]}, r"not a resource name of the form datasets/\{id\}"),
        ({"transforms": [{"anonymize": {"tokens": {"key": "../x"}}}]}, r"transforms\[0\].anonymize.tokens.key: "),
        ({"transforms": [{"balance": {"max_ratio": 0.5}}]}, r"transforms\[0\].balance.max_ratio: "),
    ],
)
def test_what_is_wrong_is_named(values: dict[str, object], message: str) -> None:
    with pytest.raises(InvalidArgument, match=message):
        parse(Prepare, values)


def test_defaults() -> None:
    assert Clean().languages == ()
    assert Anonymize().mask is not None
    assert Anonymize().key == ""
