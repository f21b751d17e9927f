"""The data gate over gRPC: a real service, and its processes."""

import json
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from support.planted import flipped, labelled
from support.training_suite import Suite
from symbiont.api.training.v1 import dataset_pb2 as pb

Transform = pb.Transform


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
    assert (made.row_count, made.transform_version) == (third.rows_after, 2)
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


def test_a_caller_who_leaves_ends_the_work_and_the_service_answers_meanwhile(suite: Suite) -> None:
    lines = [f"{row.text},{row.label}" for row in labelled(20_000, seed=3)]
    suite.upload("large", "\n".join(["text,label", *lines]).encode())
    request = pb.ValidateDatasetRequest(name="datasets/large")
    stream = suite.datasets.ValidateDataset(request, timeout=120)
    while next(stream).progress.part != "duplicates":
        pass
    # The service waits for no row.
    assert suite.datasets.GetDataset(pb.GetDatasetRequest(name="datasets/raw"), timeout=60).row_count == 303
    other = suite.datasets.ValidateDataset(pb.ValidateDatasetRequest(name="datasets/held"), timeout=120)
    assert next(other).progress.stage == pb.DATASET_WORK_STAGE_WAITING
    stream.cancel()
    assert list(other)[-1].report.row_count == 10
    assert not list((suite.folder / "jobs" / "gate").glob("*.json"))


def upload(suite: Suite, identifier: str, content: str, **dataset: Any) -> pb.Dataset:
    values = pb.Dataset(format=pb.DATASET_FORMAT_JSONL, **dataset)
    header = pb.CreateDatasetHeader(dataset_id=identifier, dataset=values)
    messages = [pb.CreateDatasetRequest(header=header), pb.CreateDatasetRequest(chunk=content.encode())]
    return suite.datasets.CreateDataset(iter(messages))


def test_rows_without_labels_get_classes_from_people(suite: Suite) -> None:
    rows = labelled(30, seed=7)
    upload(suite, "pool", "\n".join(json.dumps({"text": row.text}) for row in rows), label_kind=pb.LABEL_KIND_NONE)
    settings = pb.SuggestionSettings(count=6, learn_from="datasets/raw")
    request = pb.SuggestRowsRequest(name="datasets/pool", suggestion=settings)
    bad = pb.SuggestRowsRequest(name="datasets/raw", suggestion={"count": 6, "learn_from": "datasets/pool"})  # type: ignore[arg-type]
    assert refused(lambda: list(suite.datasets.SuggestRows(bad, timeout=60))) == (INVALID, "suggestion.learn_from")
    chosen = last(suite.datasets.SuggestRows(request, timeout=120)).suggestions.suggestions
    assert sum(item.label == rows[item.row].label for item in chosen) >= 5
    content = "\n".join(["row,label", *(f"{item.row},{item.label}" for item in chosen)]).encode()
    header = {"name": "datasets/pool", "format": pb.ANNOTATION_FORMAT_CSV}
    assert refused(lambda: imported(suite, "some", content, **header)) == (INVALID, "header.only_labelled")
    made = imported(suite, "some", content, only_labelled=True, **header)
    assert (made.row_count, made.label_kind, made.label_column) == (6, pb.LABEL_KIND_CLASS, "label")
    assert prepare(suite, "some-clean", Transform(clean=pb.CleanTransform()), name="datasets/some").row_count == 6


def test_other_kinds_of_labels_pass_the_gate(suite: Suite) -> None:
    lines = [json.dumps({"text": f"<b>rate</b> number {n}", "label": n / 2}) for n in range(10)]
    upload(suite, "rated", "\n".join(lines), label_kind=pb.LABEL_KIND_NUMBER)
    request = pb.SplitDatasetRequest(
        name="datasets/rated", train_dataset_id="rated-train", test_dataset_id="rated-test"
    )
    parts = last(suite.datasets.SplitDataset(request, timeout=120)).datasets
    assert parts.train.label_kind == parts.test.label_kind == pb.LABEL_KIND_NUMBER
    assert min(parts.train.min_label, parts.test.min_label) == 0
    assert max(parts.train.max_label, parts.test.max_label) == 4.5
    assert parts.test.max_label - parts.test.min_label < 4.5
    marks = [
        {"text": "<i>in</i>  Rome", "label": [{"start": 11, "end": 15, "label": "city"}]},
        {"text": "a", "label": []},
    ]
    try:
        upload(suite, "marked", "\n".join(map(json.dumps, marks)), label_kind=pb.LABEL_KIND_ENTITIES)
    except grpc.RpcError as exc:
        pytest.fail(f"the upload has another form: {exc.details()}")
    made = prepare(suite, "marked-clean", Transform(clean=pb.CleanTransform()), name="datasets/marked")
    stored = (suite.folder / "artifacts" / "datasets" / made.digest / "rows.jsonl").read_text().splitlines()
    assert json.loads(stored[0]) == {"label": [[3, 7, "city"]], "origin": 0, "text": "in Rome"}


def test_of_business_fields_that_are_dates_no_other_text_is_made(suite: Suite) -> None:
    day = "2026-01-31"
    lines = [json.dumps({"text": f"{n} since {day}", "label": "xy"[n % 2], "paid": day}) for n in range(4)]
    fields = [pb.FieldColumn(name="paid", kind=pb.FIELD_KIND_DATE)]
    upload(suite, "dated", "\n".join(lines), fields=fields)
    asked = Transform(anonymize=pb.AnonymizeTransform(kinds=[pb.PII_KIND_DATE]))
    made = prepare(suite, "undated", asked, name="datasets/dated")
    assert [(found.code, found.count) for found in made.transforms[0].findings] == [("PII_DATE", 8)]
    stored = (suite.folder / "artifacts" / "datasets" / made.digest / "rows.jsonl").read_text().splitlines()
    assert json.loads(stored[0]) == {"label": "x", "origin": 0, "text": "0 since {DATE}"}
