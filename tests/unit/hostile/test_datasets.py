"""Uploads that somebody made to harm: refused by the field at fault, with nothing stored and little held in memory."""

import csv
import io
import json
import tracemalloc
import zipfile
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pyarrow as pa  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest

from symbiont.common.errors import InvalidArgument, ResourceExhausted, SymbiontError
from symbiont.training.data.datasets import Upload
from symbiont.training.data.header import Header
from symbiont.training.data.rows import LabelKind, Row
from symbiont.training.gate.annotations import AnnotationFormat, export, label

MIB = 1 << 20


def upload(content: bytes, format: str, most: int = 64 * MIB, **header: Any) -> SymbiontError:
    """Returns what an upload is refused with."""
    named: dict[str, Any] = {"text_column": "text", "label_column": "label"} | header
    pending = Upload(Header(id="rows", format=format, **named), most)
    try:
        pending.write(content)
        with pytest.raises(SymbiontError) as caught:
            pending.check()
    finally:
        pending.close()
    return caught.value


def parquet(table: pa.Table, **options: Any) -> bytes:
    stream = io.BytesIO()
    pq.write_table(table, stream, **options)
    return stream.getvalue()


def repeated(text: str, rows: int) -> pa.Table:
    """Returns rows of one text, which a file has once."""
    texts = pa.DictionaryArray.from_arrays(pa.array([0] * rows, pa.int32()), [text]).cast(pa.string())
    labels = pa.array(["a", "b"] * (rows // 2))
    return pa.table({"text": texts, "label": labels})


def test_rows_that_a_file_repeats_count_by_what_they_become() -> None:
    content = parquet(repeated("x" * 200_000, 2_000), compression="zstd")
    assert len(content) < MIB
    refused = upload(content, "PARQUET", most=8 * MIB)
    assert isinstance(refused, ResourceExhausted)
    assert refused.reason == "UPLOAD_TOO_LARGE"


def test_a_text_that_a_file_repeats_is_held_once() -> None:
    # As plain strings a batch of it alone would be 1,024 times 240 KB.
    content = parquet(repeated("x" * 240_000, 4_000), compression="zstd")
    # Of its own, since the peak of a pool never falls, and that of the rows above is a gigabyte.
    usual = pa.default_memory_pool()
    pool = pa.proxy_memory_pool(usual)
    pa.set_memory_pool(pool)
    try:
        upload(content, "PARQUET", most=8 * MIB)
    finally:
        pa.set_memory_pool(usual)
    assert 0 < pool.max_memory() < 128 * MIB


def test_a_row_group_that_is_huge_when_it_is_unpacked() -> None:
    numbers = pa.array([0.0] * 4_000_000)
    content = parquet(
        pa.table({"text": numbers, **{f"c{n}": numbers for n in range(36)}, "label": numbers}),
        compression="zstd",
        use_dictionary=False,
        row_group_size=4_000_000,
    )
    assert len(content) < MIB
    refused = upload(content, "PARQUET")
    assert isinstance(refused, InvalidArgument)
    assert "row group 0 has" in str(refused)


def test_extension_types_are_no_code(tmp_path: Path) -> None:
    class Evil(pa.ExtensionType):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(pa.string(), "tests.evil")

        def __arrow_ext_serialize__(self) -> bytes:
            return f"open({str(tmp_path / 'harm')!r}, 'w')".encode()

        @classmethod
        def __arrow_ext_deserialize__(cls, storage: Any, serialized: bytes) -> Any:
            (tmp_path / "harm").touch()
            return cls()

    # It is registered nowhere, as a stranger's is: its words are not read.
    column = pa.ExtensionArray.from_storage(Evil(), pa.array(["", ""]))
    refused = upload(parquet(pa.table({"text": column, "label": ["a", "b"]})), "PARQUET")
    assert isinstance(refused, InvalidArgument)
    assert not (tmp_path / "harm").exists()


@pytest.mark.parametrize("format", ["CSV", "TSV", "JSONL", "PARQUET"])
def test_archives_and_images_of_other_formats(format: str) -> None:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("../../evil.csv", "text,label\n" + "x,1\n" * 100_000)
    for content in (packed.getvalue(), b"\x1f\x8b\x08" + b"\0" * 64, b"PAR1" + b"\xff" * 64 + b"PAR1", b"\0" * 4096):
        assert isinstance(upload(content, format), InvalidArgument)


def test_a_line_without_an_end_is_not_held_whole() -> None:
    content = b"text,label\n" + b"x" * (48 * MIB)
    tracemalloc.start()
    refused = upload(content, "CSV")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert isinstance(refused, InvalidArgument)
    assert peak < 24 * MIB


@pytest.mark.parametrize("column", ["../../x", "a\0b", "=cmd()", "x" * 10_000, "'; drop table datasets; --"])
def test_columns_of_any_name_are_only_looked_up(column: str) -> None:
    try:
        refused = upload(b"text,label\na,1\nb,0\n", "CSV", text_column=column)
    except InvalidArgument as exc:
        refused = exc
    assert isinstance(refused, InvalidArgument)
    assert refused.field is not None
    assert refused.field.startswith("header.dataset.text_column")


FORMULAS = ["=HYPERLINK(A1)", "+1+1", "-2+3", "@SUM(1)", "\t=1", "\r=1", "'=1", "''@x", "plain", "it's", "'quoted'"]


def test_no_cell_of_an_exported_table_is_a_formula() -> None:
    rows = [Row(text, text.strip() or "x", pair=text) for text in FORMULAS]
    content = b"".join(export(rows, LabelKind.CLASS, "d" * 64, AnnotationFormat.CSV))
    for row in csv.DictReader(io.StringIO(content.decode(), newline="")):
        for cell in row.values():
            assert not cell.startswith(("=", "+", "-", "@", "\t", "\r")), cell


def test_labels_come_back_as_they_went() -> None:
    names = [text.strip() for text in FORMULAS]
    rows = [Row(f"text {number}", name) for number, name in enumerate(names)]
    content = b"".join(export(rows, LabelKind.CLASS, "d" * 64, AnnotationFormat.CSV)).decode()
    answered = io.StringIO(newline="")
    tasks = list(csv.DictReader(io.StringIO(content, newline="")))
    writer = csv.DictWriter(answered, tasks[0])
    writer.writeheader()
    writer.writerows({**task, "label": task["given"]} for task in tasks)
    back = label(rows, LabelKind.CLASS, "d" * 64, AnnotationFormat.CSV, answered.getvalue().encode(), False)
    assert [row.label for row in back.rows] == names
    assert back.changed == 0


LABEL_FILES: Iterable[tuple[AnnotationFormat, bytes]] = [
    (AnnotationFormat.LABEL_STUDIO, b"[" * 100_000),
    (AnnotationFormat.LABEL_STUDIO, b'[{"data": {"row": 0}, "annotations": 7}]'),
    (AnnotationFormat.LABEL_STUDIO, b'[{"data": {"row": 0}, "annotations": [{"result": 7}]}]'),
    (
        AnnotationFormat.LABEL_STUDIO,
        b'[{"data": {"row": 0}, "annotations": [{"result": [{"value": {"choices": 7}}]}]}]',
    ),
    (AnnotationFormat.LABEL_STUDIO, b'[{"data": {"row": [0]}}]'),
    (AnnotationFormat.LABEL_STUDIO, b'[{"data": {"row": 1e400}}]'),
    (AnnotationFormat.JSONL, b'{"row": true}'),
    (AnnotationFormat.JSONL, b'{"row": "' + b"9" * 5000 + b'"}'),
    (AnnotationFormat.JSONL, b'{"row": 0, "label": {"a": 1}}'),
    (AnnotationFormat.CSV, b"row,label\n\xb2,x\n"),
    (AnnotationFormat.CSV, "row,label\n²,x\n".encode()),
    (AnnotationFormat.CSV, b'row,label\n"0'),
    (AnnotationFormat.CSV, b"row,label\n0,a,b,c\n1"),
    (AnnotationFormat.CSV, json.dumps({"row": 0}).encode()),
]


@pytest.mark.parametrize(("format", "content"), LABEL_FILES)
@pytest.mark.parametrize("kind", [LabelKind.CLASS, LabelKind.CLASSES, LabelKind.ENTITIES, LabelKind.NUMBER])
def test_files_of_labels_that_are_made_to_harm(kind: LabelKind, format: AnnotationFormat, content: bytes) -> None:
    changed = 0
    # What cannot be read is refused, what has no label leaves the row as it is: nothing else may come of it.
    with suppress(InvalidArgument):
        changed = label([Row("a text", None)], kind, "d" * 64, format, content, False).changed
    # An annotation without marks says that there are none.
    assert changed == 0 or kind is LabelKind.ENTITIES
