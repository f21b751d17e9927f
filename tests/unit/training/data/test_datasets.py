"""Uploads: every format gives the same rows and digest; what is wrong is named and nothing is stored."""

import csv
import io
import json
from contextlib import nullcontext
from dataclasses import replace
from typing import Any
from unittest.mock import ANY

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from symbiont.common.artifacts import ArtifactStore
from symbiont.common.errors import AlreadyExists, InvalidArgument, ResourceExhausted
from symbiont.training.data.datasets import Upload, keep
from symbiont.training.data.header import Header
from symbiont.training.data.rows import KIND, read_rows
from symbiont.training.store import Store
from symbiont.training.types import Dataset

ROWS = [('good, "very" good', "1"), ("很糟糕\n两行", "0"), ("fine", "1"), ("😀 emoji", "0")]


def upload(
    artifacts: ArtifactStore, content: bytes, format: str = "CSV", limit: int = 1 << 24, **header: Any
) -> Dataset:
    values: dict[str, Any] = {"id": "rows", "format": format, "text_column": "", "label_column": "", **header}
    pending = Upload(Header(**values), limit)
    try:
        for start in range(0, len(content), 7):
            pending.write(content[start : start + 7])
        pending.check()
        return pending.store(artifacts)
    finally:
        pending.close()


def stored(artifacts: ArtifactStore, digest: str) -> list[tuple[str, Any]]:
    return [(row.text, row.label) for row in read_rows(artifacts, digest)]


def delimited(delimiter: str) -> bytes:
    out = io.StringIO()
    csv.writer(out, delimiter=delimiter).writerows([("label", "text"), *((label, text) for text, label in ROWS)])
    return out.getvalue().encode()


def jsonl() -> bytes:
    return "\n".join(json.dumps({"text": text, "label": int(label)}) for text, label in ROWS).encode()


def parquet(**columns: list[object]) -> bytes:
    out = io.BytesIO()
    pq.write_table(pa.table(columns or {"text": [t for t, _ in ROWS], "label": [int(n) for _, n in ROWS]}), out)
    return out.getvalue()


FILES = {"CSV": delimited(","), "TSV": delimited("\t"), "JSONL": jsonl(), "PARQUET": parquet()}


@pytest.mark.parametrize("format", FILES)
def test_every_format_gives_the_same_rows_and_digest(artifacts: ArtifactStore, format: str) -> None:
    dataset = upload(artifacts, FILES[format], format)
    assert stored(artifacts, dataset.digest) == ROWS
    assert dataset.label_counts == (("0", 2), ("1", 2))
    assert (dataset.row_count, dataset.byte_count) == (4, len(FILES[format]))
    assert dataset.digest == upload(artifacts, FILES["CSV"]).digest


def test_a_byte_order_mark_and_other_columns_are_fine(artifacts: ArtifactStore) -> None:
    content = "\ufefftext,id,sentiment\na b,1,x\nc d,2,y\n".encode()
    dataset = upload(artifacts, content, label_column="sentiment")
    assert stored(artifacts, dataset.digest) == [("a b", "x"), ("c d", "y")]


@pytest.mark.parametrize(
    ("content", "format", "field", "message"),
    [
        (b"", "CSV", "chunk", "no rows"),
        (b"text,label\n", "CSV", "chunk", "no rows"),
        (b"", "JSONL", "chunk", "no rows"),
        (
            b"body,label\na,1\nb,0\n",
            "CSV",
            "header.dataset.text_column",
            "no column 'text'; it has 2 columns: 'body', 'label'",
        ),
        (b"text,class\na,1\nb,0\n", "CSV", "header.dataset.label_column", "no column 'label'"),
        (b'{"text": "a", "label": 1}\n{"text": "b"}', "JSONL", "header.dataset.label_column", "line 2"),
        (parquet(text=["a"], y=["b"]), "PARQUET", "header.dataset.label_column", "no column 'label'"),
        (b"text,label\na,1\nb\xff,0\n", "CSV", "chunk", "line 3 is not UTF-8: byte 0xff"),
        ("text,label\n你好,1\n".encode("gb18030"), "CSV", "chunk", "line 2 is not UTF-8"),
        ("text,label\na,1\n".encode("utf-16"), "CSV", "chunk", "not UTF-8"),
        (b"text,label\na,1\nb,1\n", "CSV", "chunk", "every row has the label '1'"),
        (b"text,label\na,1\n ,0\n", "CSV", "chunk", "row 2 has no text"),
        (b"text,label\na,1\nb,\n", "CSV", "chunk", "label of row 2"),
        (b"text,label\na,1\nb,0,9\n", "CSV", "chunk", "row 2 has 3 fields, the header has 2"),
        (b'text,label\n"a,1\nb,0\n', "CSV", "chunk", "cannot be read"),
        (b'{"text": "a", "label": 1}\n{"text": "b", ', "JSONL", "chunk", "line 2 is not JSON"),
        (b"[1, 2]", "JSONL", "chunk", "line 1 is not a JSON object"),
        (b'{"text": "a", "label": null}', "JSONL", "chunk", "row 1 has no label"),
        (b'{"text": "a", "label": NaN}', "JSONL", "chunk", "row 1 has no label"),
        (b'{"text": "a", "label": [1]}', "JSONL", "chunk", "neither text nor a number"),
        (b'{"text": 3, "label": 1}', "JSONL", "chunk", "row 1 has no text"),
        (b'{"text": "\\ud800", "label": 1}', "JSONL", "chunk", "text of row 1 is not Unicode: a lone surrogate"),
        (b'{"text": "a", "label": "\\ud800"}', "JSONL", "chunk", "label of row 1 is not Unicode: a lone surrogate"),
        (b'{"text": "a", "label": ' + b"[" * 100_000, "JSONL", "chunk", "line 1 has too deep a structure"),
        (b'{"text": "a", "label": ' + b"9" * 5_000 + b"}", "JSONL", "chunk", "too long a number"),
        (b"text,label\n" + b"x" * (1 << 22) + b"y", "CSV", "chunk", "line 2 is over 4194304 bytes"),
        (parquet()[:-30], "PARQUET", "chunk", "not readable Parquet"),
        (parquet()[: len(parquet()) // 2], "PARQUET", "chunk", "not readable Parquet"),
        (b"", "PARQUET", "chunk", "not readable Parquet"),
        (delimited(","), "PARQUET", "chunk", "not readable Parquet"),
        (b"text,label\n" + b"x" * (1 << 18) + b"y,1\n", "CSV", "chunk", "text of row 1 is over 262144 bytes"),
    ],
)
def test_what_is_wrong_is_named_and_nothing_is_stored(
    artifacts: ArtifactStore, content: bytes, format: str, field: str, message: str
) -> None:
    with pytest.raises(InvalidArgument, match=message) as caught:
        upload(artifacts, content, format)
    assert caught.value.field == field
    assert artifacts.list(KIND) == []


def test_a_row_is_not_mistaken_for_names_of_columns(artifacts: ArtifactStore) -> None:
    with pytest.raises(InvalidArgument) as caught:
        upload(artifacts, b"My number is 123-45-6789,negative\nfine,positive\n")
    assert "123" not in str(caught.value)
    assert "it has 2 columns: 'negative'" in str(caught.value)


def test_two_uploads_of_the_same_rows_do_not_take_them_from_each_other(artifacts: ArtifactStore, store: Store) -> None:
    store.add_dataset(upload(artifacts, FILES["CSV"], id="taken"))
    same = b"text,label\na,1\nb,0\n"
    for identifier, taken in (("taken", True), ("mine", False), ("taken", True)):
        pending = Upload(Header(identifier, "CSV", "", ""), 1 << 20)
        pending.write(same)
        pending.check()
        with pytest.raises(AlreadyExists) if taken else nullcontext():
            keep(pending, store, artifacts)
        pending.close()
    assert stored(artifacts, store.dataset("mine").digest) == [("a", "1"), ("b", "0")]
    assert len(artifacts.list(KIND)) == 2


@pytest.mark.parametrize(
    ("header", "field"),
    [
        ({"id": "Rows"}, "header.dataset_id"),
        ({"id": ""}, "header.dataset_id"),
        ({"id": "../rows"}, "header.dataset_id"),
        ({"format": "UNSPECIFIED"}, "header.dataset.format"),
        ({"format": "99"}, "header.dataset.format"),
        ({"text_column": "label"}, "header.dataset.label_column"),
        ({"byte_count": -1}, "header.byte_count"),
    ],
)
def test_a_wrong_header_is_refused_before_any_byte(header: dict[str, Any], field: str) -> None:
    values: dict[str, Any] = {"id": "rows", "format": "CSV", "text_column": "", "label_column": "", **header}
    with pytest.raises(InvalidArgument) as caught:
        Upload(Header(**values), 100)
    assert caught.value.field == field


def test_an_upload_has_a_limit(artifacts: ArtifactStore) -> None:
    with pytest.raises(ResourceExhausted, match="over 20 bytes"):
        upload(artifacts, FILES["CSV"], limit=20)
    # Known at once where the header says it.
    with pytest.raises(ResourceExhausted, match="over 20 bytes"):
        Upload(Header("rows", "CSV", "", "", byte_count=21), 20)


@pytest.mark.parametrize("format", FILES)
def test_an_upload_that_broke_between_two_rows_is_told_by_its_size(artifacts: ArtifactStore, format: str) -> None:
    whole = FILES[format]
    assert upload(artifacts, whole, format, byte_count=len(whole)) == replace(
        upload(artifacts, whole, format), create_time=ANY
    )
    for size in (len(whole) + 1, len(whole) - 1):
        with pytest.raises(InvalidArgument, match=f"it says {size}, {len(whole)} came") as caught:
            upload(artifacts, whole, format, byte_count=size)
        assert caught.value.field == "header.byte_count"
