"""The data gate over gRPC: a real service, and its processes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.planted import flipped, labelled, nearly
from support.service import ServiceProcess
from support.training_suite import Suite
from symbiont.api.training.v1 import dataset_pb2 as pb
from symbiont.training.data.rows import Row

KEY = b"k" * 40
Transform = pb.Transform


@pytest.fixture(scope="module")
def suite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Suite]:
    folder = tmp_path_factory.mktemp("suite")
    (folder / "keys").mkdir()
    (folder / "keys" / "main").write_bytes(KEY)
    (folder / "keys" / "short").write_bytes(b"k")
    # The tokenization service is not asked.
    suite = Suite(folder, ServiceProcess, dataset_keys=folder / "keys", warm_workers=False)
    suite.training.start()
    rows, _ = flipped(labelled(300), 0.05)
    suite.upload("raw", csv_of([*rows, Row("<b>write</b> to ann@example.cn", "card"), rows[3], nearly(rows[5], 0)]))
    suite.upload("held", csv_of(rows[:10]))
    yield suite
    suite.channel.close()
    assert suite.training.stop() == 0


def csv_of(rows: list[Row]) -> bytes:
    return "\n".join(["text,label", *(f'"{row.text}",{row.label}' for row in rows)]).encode()


def last(stream: Any) -> Any:
    messages = list(stream)
    assert all(message.WhichOneof("message") == "progress" for message in messages[:-1])
    return messages[-1]


def prepare(suite: Suite, identifier: str, *transforms: pb.Transform, name: str = "datasets/raw") -> pb.Dataset:
    request = pb.PrepareDatasetRequest(name=name, dataset_id=identifier, transforms=transforms)
    made: pb.Dataset = last(suite.datasets.PrepareDataset(request, timeout=120)).dataset
    return made


def test_a_dataset_is_prepared_and_says_where_it_comes_from(suite: Suite) -> None:
    raw = suite.datasets.GetDataset(pb.GetDatasetRequest(name="datasets/raw"))
    held = suite.datasets.GetDataset(pb.GetDatasetRequest(name="datasets/held"))
    asked = [
        Transform(clean=pb.CleanTransform(unicode_form=pb.UNICODE_FORM_NFKC)),
        Transform(deduplicate=pb.DeduplicateTransform(against="datasets/held")),
        Transform(anonymize=pb.AnonymizeTransform(kinds=[pb.PII_KIND_EMAIL], pseudonyms=pb.PseudonymMode(key="main"))),
    ]
    made = prepare(suite, "clean", *asked)
    assert [(p.digest, p.role) for p in made.parents] == [
        (raw.digest, pb.PARENT_ROLE_SOURCE),
        (held.digest, pb.PARENT_ROLE_AGAINST),
    ]
    first, second, third = made.transforms
    assert first.clean == pb.CleanTransform(
        unicode_form=pb.UNICODE_FORM_NFKC,
        fold_width=True,
        strip_html=True,
        strip_control=True,
        collapse_whitespace=True,
        min_characters=1,
    )
    assert [(f.code, list(f.rows)) for f in first.findings][:1] == [("HTML", [300])]
    assert second.deduplicate == pb.DeduplicateTransform(near_threshold=0.8, against="datasets/held")
    assert {f.code: f.count for f in second.findings}["IN_OTHER_DATASET"] == 11
    assert (third.findings[0].code, third.changed_count) == ("PII_EMAIL", 1)
    assert len(third.key_id) == 12
    assert (made.row_count, made.transform_version) == (third.rows_after, 1)
    assert sum(c.count for c in made.label_counts) == made.row_count
    assert suite.datasets.GetDataset(pb.GetDatasetRequest(name="datasets/clean")) == made
    # Asked for again it is there already, under another id its rows are the same.
    assert prepare(suite, "clean", *asked) == made
    assert prepare(suite, "clean-two", *asked).digest == made.digest
    listed = suite.datasets.ListDatasets(pb.ListDatasetsRequest()).datasets
    assert {d.name for d in listed} >= {"datasets/clean", "datasets/clean-two"}


def test_a_prepared_dataset_can_be_trained_on_and_deleted(suite: Suite) -> None:
    prepare(suite, "short-lived", Transform(balance=pb.BalanceTransform()))
    suite.datasets.DeleteDataset(pb.DeleteDatasetRequest(name="datasets/short-lived"))
    with pytest.raises(grpc.RpcError) as caught:
        suite.datasets.GetDataset(pb.GetDatasetRequest(name="datasets/short-lived"))
    assert caught.value.code() is grpc.StatusCode.NOT_FOUND


def test_a_split_has_two_datasets_of_one_parent(suite: Suite) -> None:
    settings = pb.SplitSettings(test_fraction=0.25, near_threshold=0.8)
    request = pb.SplitDatasetRequest(
        name="datasets/raw", train_dataset_id="train", test_dataset_id="test", split=settings
    )
    parts = last(suite.datasets.SplitDataset(request, timeout=120)).datasets
    assert parts.train.row_count + parts.test.row_count == 303
    assert abs(parts.test.row_count - 76) <= 3
    assert parts.test.transforms[0].split == pb.SplitStep(part=pb.SPLIT_PART_TEST, settings=settings)
    assert parts.train.parents == parts.test.parents
    assert last(suite.datasets.SplitDataset(request, timeout=120)).datasets == parts


def test_a_report_names_the_planted_faults(suite: Suite) -> None:
    request = pb.ValidateDatasetRequest(name="datasets/raw", validation=pb.ValidationSettings(against="datasets/held"))
    messages = list(suite.datasets.ValidateDataset(request, timeout=120))
    parts = {m.progress.part for m in messages if m.WhichOneof("message") == "progress"}
    assert parts >= {"texts", "duplicates", "personal data", "labels"}
    report = messages[-1].report
    found = {f.code: f.count for f in report.findings}
    assert (found["IN_OTHER_DATASET"], found["PII_EMAIL"]) == (11, 1)
    _, wrong = flipped(labelled(300), 0.05)
    assert report.suspect_count == len(report.suspects)
    assert len(wrong & {s.row for s in report.suspects}) >= 0.7 * len(wrong)
    assert "ann@" not in str(report)


def test_rows_are_suggested_sent_out_and_come_back(suite: Suite) -> None:
    settings = pb.SuggestionSettings(count=12, strategy=pb.SUGGESTION_STRATEGY_SUSPECT)
    request = pb.SuggestRowsRequest(name="datasets/raw", suggestion=settings)
    suggested = last(suite.datasets.SuggestRows(request, timeout=120)).suggestions.suggestions
    assert 0 < len(suggested) <= 12
    export = pb.ExportRowsRequest(name="datasets/raw", format=pb.ANNOTATION_FORMAT_LABEL_STUDIO, suggestions=suggested)
    tasks = json.loads(b"".join(message.chunk for message in suite.datasets.ExportRows(export)))
    assert [task["data"]["row"] for task in tasks] == [item.row for item in suggested]
    for task in tasks:
        task["annotations"] = [{"result": task["predictions"][0]["result"]}]
    made = imported(suite, "relabelled", json.dumps(tasks).encode())
    step = made.transforms[0]
    assert step.label_import.format == pb.ANNOTATION_FORMAT_LABEL_STUDIO
    assert [(f.code, f.count) for f in step.findings] == [("LABELLED", len(suggested))]
    assert 0 < step.changed_count <= len(suggested)
    assert made.row_count == 303


def imported(suite: Suite, identifier: str, content: bytes, **header: Any) -> pb.Dataset:
    values = {"name": "datasets/raw", "dataset_id": identifier, "format": pb.ANNOTATION_FORMAT_LABEL_STUDIO, **header}
    messages = [pb.ImportLabelsRequest(header=pb.ImportLabelsHeader(**values))]
    messages += [pb.ImportLabelsRequest(chunk=content[i : i + 5000]) for i in range(0, len(content), 5000)]
    return suite.datasets.ImportLabels(iter(messages))


def refused(call: Any) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.RpcError) as caught:
        call()
    status = rpc_status.from_call(caught.value)
    bad = error_details_pb2.BadRequest()
    if status:
        for detail in status.details:
            detail.Unpack(bad)
    return caught.value.code(), bad.field_violations[0].field if bad.field_violations else ""


INVALID = grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    ("changes", "code", "field"),
    [
        ({"name": "raw"}, INVALID, "name"),
        ({"name": "datasets/none"}, grpc.StatusCode.NOT_FOUND, "name"),
        ({"dataset_id": "A"}, INVALID, "dataset_id"),
        ({"transforms": []}, INVALID, "transforms"),
        ({"transforms": [Transform()]}, INVALID, "transforms[0]"),
        (
            {"transforms": [Transform(clean=pb.CleanTransform(languages=["english"]))]},
            INVALID,
            "transforms[0].clean.languages[0]",
        ),
        (
            {"transforms": [Transform(clean={"unicode_form": 77})]},  # type: ignore[arg-type]
            INVALID,
            "transforms[0].clean.unicode_form",
        ),
        (
            {"transforms": [Transform(deduplicate=pb.DeduplicateTransform(near_threshold=0.1))]},
            INVALID,
            "transforms[0].deduplicate.near_threshold",
        ),
        (
            {"transforms": [Transform(deduplicate=pb.DeduplicateTransform(against="datasets/none"))]},
            INVALID,
            "transforms[0].deduplicate.against",
        ),
        (
            {"transforms": [Transform(anonymize={"kinds": [5], "tokens": {"key": "none"}})]},  # type: ignore[arg-type]
            INVALID,
            "transforms[0].anonymize.tokens.key",
        ),
        (
            {"transforms": [Transform(anonymize={"kinds": [5], "tokens": {"key": "short"}})]},  # type: ignore[arg-type]
            INVALID,
            "transforms[0].anonymize.tokens.key",
        ),
        ({"dataset_id": "held"}, grpc.StatusCode.ALREADY_EXISTS, ""),
    ],
)
def test_what_is_wrong_is_named_before_any_work(
    suite: Suite, changes: dict[str, Any], code: grpc.StatusCode, field: str
) -> None:
    values = {"name": "datasets/raw", "dataset_id": "x", "transforms": [Transform(clean=pb.CleanTransform())]} | changes
    request = pb.PrepareDatasetRequest(**values)
    assert refused(lambda: list(suite.datasets.PrepareDataset(request, timeout=60))) == (code, field)
    assert not list((suite.folder / "jobs" / "gate").glob("*.json"))


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"test_fraction": 1.5}, "split.test_fraction"),
        ({"by_time": True}, "split.by_time"),
        ({"group_field": "branch"}, "split.group_field"),
    ],
)
def test_a_bad_split_is_refused(suite: Suite, settings: dict[str, Any], field: str) -> None:
    request = pb.SplitDatasetRequest(
        name="datasets/raw", train_dataset_id="a", test_dataset_id="b", split=pb.SplitSettings(**settings)
    )
    assert refused(lambda: list(suite.datasets.SplitDataset(request, timeout=60))) == (INVALID, field)


def test_a_bad_file_of_labels_is_refused(suite: Suite) -> None:
    assert refused(lambda: imported(suite, "x", b"{")) == (INVALID, "chunk")
    assert refused(lambda: imported(suite, "x", b"[]", format=0)) == (INVALID, "header.format")
    assert refused(lambda: imported(suite, "X", b"[]")) == (INVALID, "header.dataset_id")
    assert refused(lambda: suite.datasets.ImportLabels(iter([pb.ImportLabelsRequest(chunk=b"")]))) == (
        INVALID,
        "header",
    )
    export = pb.ExportRowsRequest(
        name="datasets/raw", format=pb.ANNOTATION_FORMAT_CSV, suggestions=[pb.RowSuggestion(row=303)]
    )
    assert refused(lambda: list(suite.datasets.ExportRows(export))) == (INVALID, "suggestions[0].row")


def test_a_caller_who_leaves_ends_the_work_and_the_service_answers_meanwhile(suite: Suite, tmp_path: Path) -> None:
    rows = labelled(20_000, seed=3)
    suite.upload("large", csv_of(rows))
    request = pb.ValidateDatasetRequest(name="datasets/large")
    stream = suite.datasets.ValidateDataset(request, timeout=120)
    while next(stream).progress.part != "duplicates":
        pass
    # The service waits for no row.
    assert suite.datasets.GetDataset(pb.GetDatasetRequest(name="datasets/raw"), timeout=10).row_count == 303
    other = suite.datasets.ValidateDataset(pb.ValidateDatasetRequest(name="datasets/held"), timeout=120)
    assert next(other).progress.stage == pb.DATASET_WORK_STAGE_WAITING
    stream.cancel()
    assert list(other)[-1].report.row_count == 10
    assert not list((suite.folder / "jobs" / "gate").glob("*.json"))
